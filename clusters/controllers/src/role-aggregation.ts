import { isNotFound } from '@mesh/kube/api-error';
import type { ReconcileResult } from '@mesh/kube/controller';
import { isDeleting, parseKey } from '@mesh/kube/objects';
import { jsonEqual } from '@mesh/kube/patch';
import { clusterRoles } from '@mesh/kube/resources';
import { matchesSelector } from '@mesh/kube/selector';
import type { ClusterRole, Stored } from '@mesh/kube/types';
import type { ControllerContext } from './context.ts';
import { ControlLoop } from './control-loop.ts';

/** Fills ClusterRoles that have an `aggregationRule` with the rules of those that it selects. */
export function roleAggregationController(context: ControllerContext): ControlLoop {
  const known = context.informers.of(clusterRoles);
  return new ControlLoop(context, {
    name: 'clusterrole-aggregation',
    reconcile: (key) => reconcile(context, key),
  }).watch(clusterRoles, (changed) =>
    known
      .list()
      .filter((role) => role.metadata.name === changed.metadata.name || selects(role, changed))
      .map(({ metadata }) => metadata.name),
  );
}

async function reconcile({ client, informers }: ControllerContext, key: string): Promise<ReconcileResult> {
  const role = informers.of(clusterRoles).get(undefined, parseKey(key).name);
  if (role?.aggregationRule === undefined || isDeleting(role)) return;
  const sources = informers
    .of(clusterRoles)
    .list()
    .filter((other) => other.metadata.name !== role.metadata.name && selects(role, other))
    .sort((left, right) => (left.metadata.name < right.metadata.name ? -1 : 1));
  const rules: NonNullable<ClusterRole['rules']> = [];
  for (const rule of sources.flatMap((source) => source.rules ?? [])) {
    if (!rules.some((other) => jsonEqual(other, rule))) rules.push(rule);
  }
  if (jsonEqual(role.rules ?? [], rules)) return;
  const { uid, resourceVersion } = role.metadata;
  const body = { metadata: { uid, resourceVersion }, rules };
  await client
    .patch(clusterRoles, role.metadata, { patch: { type: 'merge', body } })
    .catch((thrown: unknown) => {
      if (!isNotFound(thrown)) throw thrown;
    });
}

function selects({ aggregationRule }: ClusterRole, { metadata }: Stored<ClusterRole>): boolean {
  return (aggregationRule?.clusterRoleSelectors ?? []).some((selector) =>
    matchesSelector(selector, metadata.labels),
  );
}
