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

/**
 * The kubeconfig files, of which at least one exists.
 * @throws MeshError cli-no-kubeconfig naming where was looked
 */
function kubeconfigPaths({ flags, environment }: Access): readonly string[] {
  const candidates =
    flags.kubeconfig !== undefined
      ? [flags.kubeconfig]
      : environment['KUBECONFIG'] !== undefined && environment['KUBECONFIG'] !== ''
        ? environment['KUBECONFIG'].split(delimiter).filter((path) => path !== '')
        : [join(homedir(), '.kube', 'config')];
  if (!candidates.some((path) => existsSync(path))) {
    throw new MeshError('cli-no-kubeconfig', `there is no kubeconfig at ${candidates.join(', ')}`, {
      remedy: 'Name one with --kubeconfig FILE, or start local clusters: mesh local up',
    });
  }
  return candidates;
}

export function connectCluster(
  access: Access,
  context: string | undefined = access.flags.context,
): KubeClient {
  return new KubeClient({ ...fromKubeconfig(kubeconfigPaths(access), context), clock: access.clock });
}
