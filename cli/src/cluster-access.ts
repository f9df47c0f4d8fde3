/** Which cluster a command talks to. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Clock } from '@mesh/clock/clock';
import { MeshError } from '@mesh/errors/mesh-error';
import { KubeClient } from '@mesh/kube/client';
import { fromKubeconfig } from '@mesh/kube/config';

interface Access {
  flags: { readonly kubeconfig: string | undefined; readonly context: string | undefined };
  environment: Readonly<Record<string, string | undefined>>;
  clock: Clock;
}

/** @throws MeshError cli-no-kubeconfig naming where was looked */
export function kubeconfigPath({ flags, environment }: Omit<Access, 'clock'>): string {
  const candidates =
    flags.kubeconfig !== undefined
      ? [flags.kubeconfig]
      : environment['KUBECONFIG'] !== undefined && environment['KUBECONFIG'] !== ''
        ? environment['KUBECONFIG'].split(delimiter)
        : [join(homedir(), '.kube', 'config')];
  const found = candidates.find((path) => existsSync(path));
  if (found === undefined) {
    throw new MeshError('cli-no-kubeconfig', `there is no kubeconfig at ${candidates.join(', ')}`, {
      remedy: 'Name one with --kubeconfig FILE, or start local clusters: mesh local up',
    });
  }
  return found;
}

export function connectCluster(
  access: Access,
  context: string | undefined = access.flags.context,
): KubeClient {
  return new KubeClient({ ...fromKubeconfig(kubeconfigPath(access), context), clock: access.clock });
}
