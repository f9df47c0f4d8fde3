import { isNotFound, KubeApiError } from '@mesh/kube/api-error';
import type { ReconcileResult } from '@mesh/kube/controller';
import { discover, type ServedResource } from '@mesh/kube/discovery';
import { isDeleting } from '@mesh/kube/objects';
import { jsonEqual } from '@mesh/kube/patch';
import { namespaces } from '@mesh/kube/resources';
import type { Namespace, Stored } from '@mesh/kube/types';
import { type Condition, withCondition } from './conditions.ts';
import { apiTime, type ControllerContext } from './context.ts';
import { ControlLoop } from './control-loop.ts';

const finalizer = 'kubernetes';
/** How soon to look again while content remains: grace periods and finalizers end without telling us. */
const recheckMs = 300;

/** Empties namespaces that are being deleted, of every type the server has, and then lets them go. */
export function namespaceDeletionController(context: ControllerContext): ControlLoop {
  return new ControlLoop(context, {
    name: 'namespace-deletion',
    concurrency: 2,
    reconcile: (name) => reconcile(context, name),
  }).watch(namespaces, (namespace) => (isDeleting(namespace) ? [namespace.metadata.name] : []));
}

async function reconcile(context: ControllerContext, name: string): Promise<ReconcileResult> {
  const { client, clock } = context;
  const namespace = await client.find(namespaces, { name });
  if (namespace === undefined || !isDeleting(namespace)) return;
  if (!(namespace.spec?.finalizers ?? []).includes(finalizer)) return;
  const { served, failed } = await discover(client);
  const remaining = new Map<string, number>();
  for (const resource of served) {
    if (!resource.type.namespaced || !resource.verbs.includes('list') || !resource.verbs.includes('delete'))
      continue;
    const left = await empty(context, name, resource);
    if (left > 0) remaining.set(qualified(resource), left);
  }
  if (remaining.size === 0 && failed.length === 0) {
    await finalize(context, namespace);
    return;
  }
  const now = apiTime(clock.wall());
  let conditions: Condition[] = namespace.status?.conditions ?? [];
  conditions = withCondition(
    conditions,
    failed.length === 0
      ? {
          type: 'NamespaceDeletionDiscoveryFailure',
          status: 'False',
          reason: 'ResourcesDiscovered',
          message: 'All resources successfully discovered',
        }
      : {
          type: 'NamespaceDeletionDiscoveryFailure',
          status: 'True',
          reason: 'DiscoveryFailed',
          message: `Discovery failed for some groups: ${failed.join(', ')}`,
        },
    now,
  );
  const counts = [...remaining].map(([type, left]) => `${type} has ${left} resource instances`);
  conditions = withCondition(
    conditions,
    remaining.size === 0
      ? {
          type: 'NamespaceContentRemaining',
          status: 'False',
          reason: 'ContentRemoved',
          message: 'All content successfully removed',
        }
      : {
          type: 'NamespaceContentRemaining',
          status: 'True',
          reason: 'SomeResourcesRemain',
          message: `Some resources are remaining: ${counts.sort().join(', ')}`,
        },
    now,
  );
  const status = { ...namespace.status, phase: 'Terminating', conditions };
  if (!jsonEqual(namespace.status ?? {}, status)) {
    await client.updateStatus(namespaces, { ...namespace, status }).catch(ignoreGone);
  }
  return { requeueAfterMs: recheckMs };
}

/** Asks to delete everything of one type and gives back how many objects are still there. */
async function empty(
  { client }: ControllerContext,
  namespace: string,
  { type }: ServedResource,
): Promise<number> {
  let left = 0;
  try {
    const { items } = await client.listAll(type, { namespace });
    for (const item of items) {
      left++;
      if (isDeleting(item)) continue;
      const { uid } = item.metadata;
      await client
        .delete(type, item.metadata, { propagationPolicy: 'Background', preconditions: { uid } })
        .catch(ignoreGone);
    }
    if (left === 0) return 0;
    return (await client.listAll(type, { namespace })).items.length;
  } catch (thrown) {
    // a type that was removed, or cannot be listed, since it was discovered
    if (thrown instanceof KubeApiError && (thrown.status === 404 || thrown.status === 405)) return 0;
    throw thrown;
  }
}

async function finalize({ client }: ControllerContext, namespace: Stored<Namespace>): Promise<void> {
  const finalizers = (namespace.spec?.finalizers ?? []).filter((name) => name !== finalizer);
  const body = { ...namespace, spec: { ...namespace.spec, finalizers } };
  await client.update(namespaces, body, { subresource: 'finalize' }).catch(ignoreGone);
}

function qualified({ type }: ServedResource): string {
  return type.group === '' ? type.plural : `${type.plural}.${type.group}`;
}

function ignoreGone(thrown: unknown): void {
  if (!isNotFound(thrown)) throw thrown;
}
