import { annotationOf } from '@mesh/kube/objects';
import type { Pod, Stored } from '@mesh/kube/types';
import { isReady, readySince } from './pod-state.ts';

const phaseRank: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

/** Each criterion gives a number; the lower one goes first. Order as in Kubernetes' ReplicaSet controller. */
const criteria: readonly ((pod: Stored<Pod>) => number)[] = [
  (pod) => (pod.spec?.nodeName === undefined ? 0 : 1),
  (pod) => phaseRank[pod.status?.phase ?? 'Pending'] ?? 0,
  (pod) => (isReady(pod) ? 1 : 0),
  deletionCost,
  (pod) => -(readySince(pod) ?? 0),
  (pod) => -restarts(pod),
  (pod) => -Date.parse(pod.metadata.creationTimestamp),
];

/** Pods in the order in which a scale down deletes them: those that serve least first. */
export function rankForDeletion(pods: readonly Stored<Pod>[]): Stored<Pod>[] {
  return [...pods].sort((left, right) => {
    for (const rank of criteria) {
      const difference = rank(left) - rank(right);
      if (difference !== 0 && !Number.isNaN(difference)) return difference;
    }
    return left.metadata.name < right.metadata.name ? -1 : 1;
  });
}

function deletionCost(pod: Stored<Pod>): number {
  const cost = Number(annotationOf(pod, 'controller.kubernetes.io/pod-deletion-cost') ?? '0');
  return Number.isInteger(cost) ? cost : 0;
}

function restarts(pod: Stored<Pod>): number {
  return (pod.status?.containerStatuses ?? []).reduce(
    (most, { restartCount }) => Math.max(most, restartCount),
    0,
  );
}
