import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import type { Clock, Timer } from '@mesh/clock/clock';
import type { Container, Pod } from '@mesh/kube/types';
import { expandReferences, type ConfigFault } from './environment.ts';
import type { Mount } from './rootfs.ts';
import { VolumeDirectory } from './volume-directory.ts';
import {
  volumeContent,
  type PodVolume,
  type TokenSource,
  type VolumeContext,
  type VolumeFiles,
} from './volume-files.ts';

/** A token of the pod's ServiceAccount; `expiresAt` in wall milliseconds. */
export type TokenIssuer = (pod: Pod, source: TokenSource) => Promise<{ token: string; expiresAt: number }>;

interface PodVolumesOptions {
  directory: string;
  context: VolumeContext;
  issue: TokenIssuer;
  clock: Clock;
  onError: (error: unknown) => void;
}

interface HeldToken {
  token: string;
  /** Monotonic milliseconds. */
  renewAt: number;
}

/** Renewal after 80 % of a token's life, as kubelets do. */
const renewalShare = 0.8;
const renewalRetryMs = 5000;

/** The volumes of one pod: written before its containers start, rewritten when their sources or tokens change. */
export class PodVolumes {
  readonly #options: PodVolumesOptions;
  readonly #volumes: readonly PodVolume[];
  readonly #directories: Map<string, VolumeDirectory> = new Map();
  readonly #tokens: Map<string, HeldToken> = new Map();
  #timer: Timer | undefined;
  #closed = false;
  #writing: Promise<ConfigFault | undefined> = Promise.resolve(undefined);

  constructor(options: PodVolumesOptions) {
    this.#options = options;
    const { pod } = options.context;
    this.#volumes = pod.spec?.volumes ?? [];
  }

  /** Writes what changed. A fault names the first volume that cannot be made now. Never rejects. */
  refresh(): Promise<ConfigFault | undefined> {
    this.#writing = this.#writing
      .then(() => this.#write())
      .catch((thrown: unknown) => ({ fault: thrown instanceof Error ? thrown.message : String(thrown) }));
    return this.#writing;
  }

  /** For changes that nobody waits for: what is mounted stays as it is when they cannot be written. */
  refreshBehind(): void {
    void this.refresh().then((fault) => {
      if (fault !== undefined) this.#options.onError(new Error(fault.fault));
    });
  }

  /** Resolves when nothing is written any more, so that the directory can be removed. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#writing;
  }

  /** What `container` sees of the volumes. */
  mounts(container: Container, environment: ReadonlyMap<string, string>): Mount[] | ConfigFault {
    const mounts: Mount[] = [];
    for (const { name, mountPath, readOnly, subPath, subPathExpr } of container.volumeMounts ?? []) {
      const volume = this.#volumes.find((candidate) => candidate.name === name);
      if (volume === undefined) return { fault: `volumeMount "${name}" names no volume of the pod` };
      const inside = subPathExpr === undefined ? (subPath ?? '') : expandReferences(subPathExpr, environment);
      if (inside.startsWith('/') || inside.split('/').includes('..') || !mountPath.startsWith('/')) {
        return { fault: `volumeMount "${name}": subPath must be relative without "..", mountPath absolute` };
      }
      const target = normalize(mountPath).replace(/\/+$/, '');
      if (target === '') return { fault: `volumeMount "${name}": mountPath may not be the root` };
      if (holdsPrograms(target)) {
        return {
          fault: `volumeMount "${name}": ${target} holds programs of the node, which make the container`,
        };
      }
      const source = join(this.#path(name), inside);
      // What a container wrote into a volume may be a link to anywhere on the node.
      if (!staysInside(this.#path(name), source)) {
        return { fault: `volumeMount "${name}": subPath ${inside} leads out of the volume` };
      }
      if (volume.emptyDir !== undefined && inside !== '') mkdirSync(source, { recursive: true, mode: 0o777 });
      if (!existsSync(source)) return { fault: `volumeMount "${name}": no ${inside} in the volume` };
      mounts.push({
        source,
        target,
        readOnly: readOnly === true || volume.emptyDir === undefined,
        kind: statSync(source).isDirectory() ? 'directory' : 'file',
      });
    }
    for (const outer of mounts) {
      for (const { target } of mounts) {
        if (!target.startsWith(`${outer.target}/`)) continue;
        if (hasLink(outer.source, target.slice(outer.target.length + 1))) {
          return { fault: `mountPath ${target} leads through a link in the volume at ${outer.target}` };
        }
      }
    }
    return mounts;
  }

  #path(volume: string): string {
    return join(this.#options.directory, volume);
  }

  async #write(): Promise<ConfigFault | undefined> {
    const { context } = this.#options;
    const group = context.pod.spec?.securityContext?.fsGroup;
    for (const volume of this.#volumes) {
      if (this.#closed) return undefined;
      const content = volumeContent(volume, context);
      if (content === undefined) {
        this.#makeEmpty(this.#path(volume.name), group);
        continue;
      }
      if ('fault' in content) return content;
      const files: VolumeFiles = new Map(content.files);
      for (const source of content.tokens) {
        const fault = await this.#addToken(files, volume.name, source);
        if (fault !== undefined) return fault;
        if (this.#closed) return undefined;
      }
      let directory = this.#directories.get(volume.name);
      if (directory === undefined) {
        directory = new VolumeDirectory(this.#path(volume.name), group);
        this.#directories.set(volume.name, directory);
      }
      directory.write(files);
    }
    this.#schedule();
    return undefined;
  }

  #makeEmpty(path: string, group: number | undefined): void {
    if (existsSync(path)) return;
    mkdirSync(path, { recursive: true });
    if (group !== undefined) chownSync(path, 0, group);
    chmodSync(path, group === undefined ? 0o777 : 0o2777);
  }

  async #addToken(files: VolumeFiles, volume: string, source: TokenSource): Promise<ConfigFault | undefined> {
    const { clock, issue, context, onError } = this.#options;
    const key = `${volume} ${source.path}`;
    let held = this.#tokens.get(key);
    if (held === undefined || clock.now() >= held.renewAt) {
      try {
        const { token, expiresAt } = await issue(context.pod, source);
        held = { token, renewAt: clock.now() + Math.max(1000, (expiresAt - clock.wall()) * renewalShare) };
      } catch (thrown) {
        // The old token may still be good for a fifth of its life.
        if (held === undefined) return { fault: thrown instanceof Error ? thrown.message : String(thrown) };
        held = { ...held, renewAt: clock.now() + renewalRetryMs };
        onError(thrown);
      }
      this.#tokens.set(key, held);
    }
    files.set(source.path, { content: Buffer.from(held.token), mode: source.mode });
    return undefined;
  }

  #schedule(): void {
    this.#timer?.cancel();
    let next = Number.POSITIVE_INFINITY;
    for (const { renewAt } of this.#tokens.values()) next = Math.min(next, renewAt);
    if (!Number.isFinite(next) || this.#closed) return;
    const delayMs = Math.max(0, next - this.#options.clock.now());
    this.#timer = this.#options.clock.after(delayMs, () => this.refreshBehind(), true);
  }
}

/**
 * Whether the set-up of a container, which still sees the whole node, runs or loads something from there: a volume in
 * its place would be run with the rights of the node.
 */
function holdsPrograms(target: string): boolean {
  if (target.startsWith('/usr/share/')) return false;
  const inside =
    /^\/(usr|bin|sbin|lib|lib32|lib64|libx32|opt\/mesh|opt\/mesh-bundles|etc\/alternatives|\.host|\.launch)(\/|$)/;
  return inside.test(target) || target.startsWith('/etc/ld.so.') || target === '/etc' || target === '/opt';
}

/** Whether `path`, or what exists of it, is in `volume` when all links are followed. */
function staysInside(volume: string, path: string): boolean {
  let known = path;
  while (known !== volume && lstatSync(known, { throwIfNoEntry: false }) === undefined)
    known = dirname(known);
  const base = realpathSync(volume);
  try {
    const real = realpathSync(known);
    return real === base || real.startsWith(`${base}/`);
  } catch {
    // A link that leads nowhere would be made, wherever it leads.
    return false;
  }
}

/** Whether one of the names that lead from `directory` to `path` below it is a link. */
function hasLink(directory: string, path: string): boolean {
  let here = directory;
  return path.split('/').some((name) => {
    here = join(here, name);
    return lstatSync(here, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  });
}
