/** What local clusters need of the machine, checked before anything starts; each lack names its remedy. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { MeshError } from '@mesh/errors/mesh-error';
import { toolPath } from '@mesh/node/run-tool';

/** Looks at the machine; tests put another one here. */
export interface Machine {
  readonly uid: number;
  readonly userName: string;
  hasCommand(name: string): boolean;
  /** Content of a file, undefined when it cannot be read. */
  file(path: string): string | undefined;
  /** Runs a command; the last words of its standard error when it fails. */
  trial(command: readonly string[]): string | undefined;
}

const tools: readonly { command: string; debianPackage: string; rootless?: boolean }[] = [
  { command: 'unshare', debianPackage: 'util-linux' },
  { command: 'nsenter', debianPackage: 'util-linux' },
  { command: 'setpriv', debianPackage: 'util-linux' },
  { command: 'hostname', debianPackage: 'hostname' },
  { command: 'ip', debianPackage: 'iproute2' },
  { command: 'iptables-restore', debianPackage: 'iptables' },
  { command: 'newuidmap', debianPackage: 'uidmap', rootless: true },
  { command: 'newgidmap', debianPackage: 'uidmap', rootless: true },
];

/** uids 0 to 65535 must exist in pods; uid 0 is the user, the others come from the range. */
const neededIds = 65_535;

/** Arguments of unshare that make the world's namespaces. */
export function worldNamespaces(uid: number): string[] {
  return [
    ...(uid === 0 ? [] : ['--user', '--map-root-user', '--map-auto']),
    ...['--net', '--mount', '--uts', '--ipc', '--pid', '--fork', '--kill-child', '--mount-proc'],
  ];
}

/** @throws MeshError packages-missing or namespaces-forbidden */
export function checkPrerequisites(machine: Machine = thisMachine()): void {
  const rootless = machine.uid !== 0;
  const missing = tools.filter(
    (tool) => (rootless || tool.rootless !== true) && !machine.hasCommand(tool.command),
  );
  if (missing.length > 0) {
    const packages = [...new Set(missing.map(({ debianPackage }) => debianPackage))].join(' ');
    const commands = missing.map(({ command }) => command).join(', ');
    throw new MeshError('packages-missing', `local clusters need ${commands}`, {
      remedy: `${rootless ? 'sudo ' : ''}apt-get install -y ${packages}`,
    });
  }
  if (rootless) checkRanges(machine);
  const words = machine.trial([
    'unshare',
    ...worldNamespaces(machine.uid),
    '--',
    'ip',
    'link',
    'set',
    'lo',
    'up',
  ]);
  if (words !== undefined) throw forbidden(machine, words);
}

function checkRanges({ file, userName, uid }: Machine): void {
  for (const [path, flag] of [
    ['/etc/subuid', '--add-subuids'],
    ['/etc/subgid', '--add-subgids'],
  ] as const) {
    const ranges = (file(path) ?? '')
      .split('\n')
      .map((line) => line.split(':'))
      .filter(([owner]) => owner === userName || owner === String(uid));
    if (ranges.some(([, , count]) => Number(count) >= neededIds)) continue;
    throw new MeshError(
      'namespaces-forbidden',
      `${path} has no range of ${neededIds + 1} ids for user ${userName}`,
      {
        remedy: `sudo usermod ${flag} 100000-165535 ${userName}`,
      },
    );
  }
}

/** Names the setting that is in the way, as far as it can be told. */
function forbidden({ file }: Machine, words: string): MeshError {
  const setting = (name: string): string | undefined =>
    file(`/proc/sys/${name.replaceAll('.', '/')}`)?.trim();
  const suspects: [name: string, bad: string, good: string][] = [
    ['kernel.unprivileged_userns_clone', '0', '1'],
    ['user.max_user_namespaces', '0', '15000'],
    ['user.max_net_namespaces', '0', '15000'],
    ['kernel.apparmor_restrict_unprivileged_userns', '1', '0'],
  ];
  const found = suspects.filter(([name, bad]) => setting(name) === bad);
  const said = `namespaces cannot be created: ${words}`;
  if (found.length === 0) {
    return new MeshError('namespaces-forbidden', said, {
      remedy:
        'In a container, it needs --privileged, or a machine of its own; elsewhere, ask who runs the machine.',
    });
  }
  const names = found.map(([name, bad]) => `${name} = ${bad}`).join(', ');
  return new MeshError('namespaces-forbidden', `${said} (${names})`, {
    remedy: found.map(([name, , good]) => `sudo sysctl -w ${name}=${good}`).join(' && '),
  });
}

function thisMachine(): Machine {
  const { uid, username } = userInfo();
  return {
    uid,
    userName: username,
    hasCommand: (name) => toolPath.split(':').some((directory) => existsSync(join(directory, name))),
    file(path) {
      try {
        return readFileSync(path, 'utf8');
      } catch {
        return undefined;
      }
    },
    trial([program = '', ...args]) {
      const { status, stderr, error } = spawnSync(program, args, {
        env: { PATH: toolPath },
        timeout: 10_000,
      });
      if (error !== undefined) return error.message;
      return status === 0 ? undefined : stderr.toString('utf8').trim().slice(-500) || `exit code ${status}`;
    },
  };
}
