import {
  chownSync,
  mkdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  lstatSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { VolumeFiles } from './volume-files.ts';

/**
 * Replaces the content of a volume at once: files live in a numbered directory, `..data` points to the current one,
 * and each name is a link through it. A reader sees the old set or the new one, never a mixture.
 */
export class VolumeDirectory {
  readonly path: string;
  readonly #group: number | undefined;
  #generation = 0;
  #content = '';
  /** Names in the volume that are links. */
  #tops: ReadonlySet<string> = new Set();

  /** @param group owner group of the files (`fsGroup`), when the pod names one */
  constructor(path: string, group: number | undefined) {
    this.path = path;
    this.#group = group;
    mkdirSync(path, { recursive: true, mode: 0o755 });
  }

  /** Writes `files`; true when anything changed. */
  write(files: VolumeFiles): boolean {
    const print = JSON.stringify(
      [...files].map(([path, { content, mode }]) => [path, mode, content.toString('base64')]),
    );
    if (print === this.#content) return false;
    this.#content = print;
    const name = `..${(++this.#generation).toString().padStart(6, '0')}`;
    const target = join(this.path, name);
    mkdirSync(target, { mode: 0o755 });
    for (const [path, { content, mode }] of files) {
      const file = join(target, path);
      mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
      writeFileSync(file, content, { mode });
      if (this.#group !== undefined) chownSync(file, 0, this.#group);
    }
    const data = join(this.path, '..data');
    const previous =
      lstatSync(data, { throwIfNoEntry: false }) === undefined ? undefined : readlinkSync(data);
    const fresh = join(this.path, '..fresh');
    symlinkSync(name, fresh);
    renameSync(fresh, data);
    const tops = new Set([...files.keys()].map((path) => path.split('/')[0] ?? ''));
    for (const top of tops) {
      const link = join(this.path, top);
      if (lstatSync(link, { throwIfNoEntry: false }) === undefined) symlinkSync(`..data/${top}`, link);
    }
    // Names of files that are no longer there would lead nowhere.
    for (const top of this.#tops) if (!tops.has(top)) rmSync(join(this.path, top), { force: true });
    this.#tops = tops;
    if (previous !== undefined) rmSync(join(this.path, previous), { recursive: true, force: true });
    return true;
  }
}
