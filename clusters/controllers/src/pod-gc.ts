import { isNotFound } from '@mesh/kube/api-error';
import { isDeleting, keyOf, parseKey } from '@mesh/kube/objects';
import { nodes, pods } from '@mesh/kube/resources';
import type { ControllerContext } from './context.ts';
import { ControlLoop } from './control-loop.ts';
import { byNode } from './informer-set.ts';

/**
 * Removes pods that nobody will ever end: those of nodes that are gone, and deleted ones that never got a node.
 * @param quarantineMs time a node may be missing before its pods go, so that one replaced under its name keeps them
 */
export function podGarbageController(context: ControllerContext, quarantineMs: number): ControlLoop {
  const { client, clock, informers } = context;
  const missingSince = new Map<string, number>();
  return new ControlLoop(context, {
    name: 'pod-garbage-collector',
    reconcile: async (key) => {
      const pod = await client.find(pods, parseKey(key));
      if (pod === undefined) return;
      const node = pod.spec?.nodeName;
      if (node === undefined) {
        if (!isDeleting(pod)) return;
      } else {
        if ((await client.find(nodes, { name: node })) !== undefined) {
          missingSince.delete(node);
          return;
        }
        const since = missingSince.get(node) ?? clock.now();
        missingSince.set(node, since);
        const leftMs = since + quarantineMs - clock.now();
        if (leftMs > 0) return { requeueAfterMs: leftMs };
      }
      const { uid } = pod.metadata;
      await client
        .delete(pods, pod.metadata, { gracePeriodSeconds: 0, preconditions: { uid } })
        .catch((thrown: unknown) => {
          if (!isNotFound(thrown)) throw thrown;
        });
      return;
    },
  })
    .watch(pods, (pod) => {
      const node = pod.spec?.nodeName;
      const orphan =
        node === undefined ? isDeleting(pod) : informers.of(nodes).get(undefined, node) === undefined;
      return orphan ? [keyOf(pod)] : [];
    })
    .watch(nodes, (node) => informers.of(pods).byIndex(byNode, node.metadata.name).map(keyOf));
}
