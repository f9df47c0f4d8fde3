import { MeshError } from '@mesh/errors/mesh-error';
import type { KubeClient } from '@mesh/kube/client';
import { deployments, pods } from '@mesh/kube/resources';
import type { Pod } from '@mesh/kube/types';
import { isRolledOut } from '../apply.ts';
import type { Check } from './run.ts';

/** A check that a Deployment is whole; what keeps its pods from being ready is part of the answer. */
export function deploymentReady(
  client: KubeClient,
  ref: { namespace: string; name: string },
  install: string,
): Check {
  return {
    description: `${ref.name} is running`,
    async run() {
      const found = await client.find(deployments, ref);
      if (found === undefined) {
        throw new MeshError('not-installed', `Deployment ${ref.namespace}/${ref.name} does not exist`, {
          remedy: install,
        });
      }
      if (found.spec?.replicas === 0) {
        throw new MeshError('cli-not-ready', 'it is scaled to 0 replicas', {
          remedy: `kubectl -n ${ref.namespace} scale deploy ${ref.name} --replicas=1`,
        });
      }
      if (isRolledOut(found)) return;
      const selector = Object.entries(found.spec?.selector.matchLabels ?? {}).map(
        ([key, value]) => `${key}=${value}`,
      );
      const { items } = await client.listAll(pods, {
        namespace: ref.namespace,
        labelSelector: selector.join(','),
      });
      const ready = `${found.status?.readyReplicas ?? 0} of ${found.spec?.replicas ?? 1} replicas are ready`;
      throw new MeshError('cli-not-ready', [ready, ...items.flatMap((pod) => podTrouble(pod))].join('\n'), {
        remedy: `kubectl -n ${ref.namespace} describe pods -l ${selector.join(',')}`,
      });
    },
  };
}

/** What the containers that are not ready say of themselves: all of them, or those that are `asked` for. */
export function podTrouble({ metadata, status }: Pod, asked?: ReadonlySet<string>): string[] {
  // One that is going away owes nobody anything, nor does one that has ended, as those of Jobs do.
  if (metadata?.deletionTimestamp !== undefined) return [];
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return [];
  const containers = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  return containers.flatMap(({ name, ready, state, restartCount, lastState }) => {
    if (ready || state?.terminated?.exitCode === 0 || asked?.has(name) === false) return [];
    const why = state?.waiting ?? state?.terminated ?? lastState?.terminated;
    const reason = why?.reason ?? (state?.running === undefined ? 'not started' : 'running, not ready');
    const detail = why?.message === undefined ? '' : `: ${why.message}`;
    return [`${metadata?.name ?? ''}/${name}: ${reason}${detail} (${restartCount} restarts)`];
  });
}
