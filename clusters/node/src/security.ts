import type { Container, Pod } from '@mesh/kube/types';
import type { ConfigFault } from './environment.ts';

/** As whom a container runs. */
export interface ContainerUser {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
  /** Lower case without `cap_`. */
  readonly capabilities: readonly string[];
}

/** Capabilities a container may add: what a redirecting init container needs, inside the pod's own network. */
const grantable: ReadonlySet<string> = new Set(['NET_ADMIN', 'NET_RAW']);

/** User of images that must not run as root and name no user. */
const nobody = 65534;

export function containerUser(pod: Pod, container: Container): ContainerUser | ConfigFault {
  const own = container.securityContext;
  const shared = pod.spec?.securityContext;
  if (own?.privileged === true) {
    return { fault: `container "${container.name}": privileged containers are not supported on this node` };
  }
  const nonRoot = own?.runAsNonRoot ?? shared?.runAsNonRoot ?? false;
  const uid = own?.runAsUser ?? shared?.runAsUser ?? (nonRoot ? nobody : 0);
  if (nonRoot && uid === 0) {
    return { fault: `container "${container.name}": runAsNonRoot is set, but runAsUser is 0` };
  }
  const gid = own?.runAsGroup ?? shared?.runAsGroup ?? 0;
  const groups = [...(shared?.supplementalGroups ?? [])];
  if (shared?.fsGroup !== undefined) groups.push(shared.fsGroup);
  for (const id of [uid, gid, ...groups]) {
    if (!Number.isInteger(id) || id < 0 || id > 65535) {
      return { fault: `container "${container.name}": user or group ${id} is outside 0 to 65535` };
    }
  }
  const capabilities = (own?.capabilities?.add ?? [])
    .map((name) => name.toUpperCase().replace(/^CAP_/, ''))
    .filter((name) => grantable.has(name))
    .map((name) => name.toLowerCase());
  return { uid, gid, groups, capabilities };
}

/** Command line prefix that becomes `user` for good: no other capability, and no way to gain one. */
export function becomeUser({ uid, gid, groups, capabilities }: ContainerUser): string[] {
  const kept = capabilities.map((name) => `,+${name}`).join('');
  return [
    'setpriv',
    `--reuid=${uid}`,
    `--regid=${gid}`,
    groups.length === 0 ? '--clear-groups' : `--groups=${groups.join(',')}`,
    '--no-new-privs',
    `--inh-caps=-all${kept}`,
    `--bounding-set=-all${kept}`,
    '--',
  ];
}
