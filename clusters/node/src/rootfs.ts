/**
 * The file system of a container: a private tmpfs with the host's program directories bound read-only, and nothing
 * else of the host: no home directories, no state directory, no devices but the harmless ones.
 */
import { readFileSync, lstatSync, readlinkSync, existsSync } from 'node:fs';
import { shellQuote, shellWords } from './shell-quote.ts';

export interface Mount {
  /** Directory or file on the node. */
  readonly source: string;
  /** Absolute path in the container. */
  readonly target: string;
  readonly readOnly: boolean;
  readonly kind: 'directory' | 'file';
}

export interface RootOptions {
  /** Empty directory on the node over which the container's root is mounted (in the container's mount namespace). */
  readonly root: string;
  readonly mounts: readonly Mount[];
  /** Directory with passwd, group, hosts, hostname, resolv.conf and nsswitch.conf of the pod. */
  readonly etc: string;
  /** Directory of the program bundles, seen as /opt/mesh. */
  readonly bundles: string;
  /** The Node binary, seen as /opt/mesh/bin/node. */
  readonly node: string;
  /** Shell script with the environment and the command, seen as /.launch. */
  readonly launch: string;
  /** Created when nothing provides it. */
  readonly workingDirectory: string;
}

/** What programs need of the host. `/etc/alternatives` and the loader's cache resolve Debian's links. */
const hostDirectories = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'];
const hostEtc = ['alternatives', 'ssl', 'ca-certificates', 'ld.so.cache', 'ld.so.conf', 'ld.so.conf.d'];
const hostEtcNetwork = ['protocols', 'services', 'ethertypes', 'iproute2', 'xtables.conf'];
const podEtc = ['passwd', 'group', 'hosts', 'hostname', 'resolv.conf', 'nsswitch.conf'];
const devices = ['null', 'zero', 'full', 'random', 'urandom', 'tty'];

/** Mount flags that a user namespace may not drop when it mounts the same thing again. */
const lockedFlags = new Set(['nosuid', 'nodev', 'noexec', 'noatime', 'nodiratime', 'relatime']);

interface MountPoint {
  path: string;
  flags: string[];
}

/** Mount points with their locked flags, from the text of /proc/self/mountinfo (proc(5)). */
export function parseMountInfo(text: string): MountPoint[] {
  const points: MountPoint[] = [];
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    const [path, options] = [fields[4], fields[5]];
    if (path === undefined || options === undefined) continue;
    points.push({
      path: path.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
      flags: options.split(',').filter((flag) => lockedFlags.has(flag)),
    });
  }
  return points;
}

/** Flags of the mount that `path` lies on. */
export function flagsAt(points: readonly MountPoint[], path: string): readonly string[] {
  let best: MountPoint | undefined;
  for (const point of points) {
    const inside = point.path === '/' || path === point.path || path.startsWith(`${point.path}/`);
    // Of two mounts on one path the later one is on top.
    if (inside && (best === undefined || point.path.length >= best.path.length)) best = point;
  }
  return best?.flags ?? [];
}

interface Layout {
  links: { path: string; target: string }[];
  binds: Mount[];
}

/** Reads once how the host is laid out: merged /usr or not, which configuration exists. */
function hostLayout(): Layout {
  const layout: Layout = { links: [], binds: [] };
  for (const path of hostDirectories) {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) continue;
    if (stat.isSymbolicLink()) layout.links.push({ path, target: readlinkSync(path) });
    else layout.binds.push({ source: path, target: path, readOnly: true, kind: 'directory' });
  }
  for (const name of [...hostEtc, ...hostEtcNetwork]) {
    const path = `/etc/${name}`;
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined || !existsSync(path)) continue;
    layout.binds.push({
      source: path,
      target: path,
      readOnly: true,
      kind: stat.isDirectory() ? 'directory' : 'file',
    });
  }
  return layout;
}

/** Renders what builds a container's root and becomes the container. */
export class RootBuilder {
  readonly #layout: Layout = hostLayout();
  readonly #points: MountPoint[];

  constructor(mountInfo: string = readFileSync('/proc/self/mountinfo', 'utf8')) {
    this.#points = parseMountInfo(mountInfo);
  }

  /** One table for `mount -a`: a container's dozen and a half mounts cost one process. */
  fstab(options: RootOptions): string {
    const { root } = options;
    const lines = [`proc ${escapeField(root)}/proc proc nosuid,nodev,noexec 0 0`];
    // A container that runs as uid 0 must not write the kernel's settings, which it may own.
    for (const path of ['sys', 'sysrq-trigger', 'irq', 'bus']) {
      const place = `${escapeField(root)}/proc/${path}`;
      if (existsSync(`/proc/${path}`)) lines.push(`${place} ${place} none bind,ro,nosuid,nodev,noexec 0 0`);
    }
    for (const { source, target, readOnly } of this.#binds(options)) {
      const flags = flagsAt(this.#points, source).filter((flag) => flag === 'noexec');
      const isDevice = source.startsWith('/dev/');
      const mode = isDevice ? ['bind'] : ['bind', readOnly ? 'ro' : 'rw', 'nosuid', 'nodev', ...flags];
      lines.push(`${escapeField(source)} ${escapeField(root + target)} none ${mode.join(',')} 0 0`);
    }
    return `${lines.join('\n')}\n`;
  }

  /**
   * POSIX shell; runs as root in the pod's namespaces and a mount namespace of its own, and ends by executing
   * `launch`, words of a command line in the container.
   */
  script(options: RootOptions, fstab: string, launch: readonly string[]): string {
    const { root } = options;
    const directories = new Set(['/opt/mesh/bin']);
    const files: string[] = [];
    for (const { target, kind } of this.#binds(options)) {
      if (kind === 'directory') directories.add(target);
      else {
        const parent = target.slice(0, target.lastIndexOf('/'));
        if (parent !== '') directories.add(parent);
        files.push(target);
      }
    }
    const words = (paths: Iterable<string>): string => shellWords([...paths].map((path) => `.${path}`));
    return `${[
      'set -e',
      'umask 022',
      `mount -n -t tmpfs -o mode=0755,nosuid,nodev tmpfs ${shellQuote(root)}`,
      `cd ${shellQuote(root)}`,
      'mkdir -m 0755 dev etc home opt proc run srv var .host',
      'mkdir -m 0700 root',
      'mkdir -p -m 0755 var/lib var/log var/cache run/lock',
      'mkdir -m 1777 tmp var/tmp dev/shm',
      'ln -s ../run var/run',
      'ln -s /proc/self/fd dev/fd',
      'ln -s /proc/self/fd/0 dev/stdin',
      'ln -s /proc/self/fd/1 dev/stdout',
      'ln -s /proc/self/fd/2 dev/stderr',
      ...this.#layout.links.map(({ path, target }) => `ln -s ${shellQuote(target)} .${path}`),
      `mkdir -p ${words(directories)}`,
      `touch ${words(files)}`,
      `mount -n -a -T ${shellQuote(fstab)}`,
      `[ -d ${words([options.workingDirectory])} ] || mkdir -p ${words([options.workingDirectory])}`,
      '(cd opt/mesh && ln -s ../mesh-bundles/* .)',
      'pivot_root . .host',
      'umount -n -l /.host',
      'rmdir /.host',
      `exec chroot / ${shellWords(launch)}`,
    ].join('\n')}\n`;
  }

  #binds(options: RootOptions): Mount[] {
    const file = (source: string, target: string): Mount => ({
      source,
      target,
      readOnly: true,
      kind: 'file',
    });
    return [
      ...this.#layout.binds,
      { source: options.bundles, target: '/opt/mesh-bundles', readOnly: true, kind: 'directory' },
      file(options.node, '/opt/mesh/bin/node'),
      file(options.launch, '/.launch'),
      ...podEtc.map((name) => file(`${options.etc}/${name}`, `/etc/${name}`)),
      ...devices.map((name) => file(`/dev/${name}`, `/dev/${name}`)),
      // Parents before what lies inside them.
      ...[...options.mounts].sort((one, other) => one.target.length - other.target.length),
    ];
  }
}

/** A field of fstab(5): blanks are octal. */
function escapeField(field: string): string {
  return field.replace(/[\s\\#]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`);
}
