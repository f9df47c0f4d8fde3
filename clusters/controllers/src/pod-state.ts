import type { Pod } from '@mesh/kube/types';

/** Ready by its condition. */
export function isReady(pod: Pod): boolean {
  return readyCondition(pod)?.status === 'True';
}

/** Ended for good: its containers will not run again. */
export function isTerminal(pod: Pod): boolean {
  const phase = pod.status?.phase;
  return phase === 'Succeeded' || phase === 'Failed';
}

/** Counts towards a workload's replicas. */
export function isActive(pod: Pod): boolean {
  return !isTerminal(pod) && pod.metadata?.deletionTimestamp === undefined;
}

/** Wall milliseconds since when it is ready; undefined while it is not. */
export function readySince(pod: Pod): number | undefined {
  const condition = readyCondition(pod);
  if (condition?.status !== 'True') return undefined;
  const since = Date.parse(condition.lastTransitionTime ?? '');
  return Number.isNaN(since) ? 0 : since;
}

/** Ready for at least `minReadySeconds`; otherwise the milliseconds until then, undefined while not ready. */
export function availability(
  pod: Pod,
  { minReadySeconds, wallMs }: { minReadySeconds: number; wallMs: number },
): { available: boolean; inMs: number | undefined } {
  const since = readySince(pod);
  if (since === undefined) return { available: false, inMs: undefined };
  const leftMs = since + minReadySeconds * 1000 - wallMs;
  if (minReadySeconds === 0 || leftMs <= 0) return { available: true, inMs: undefined };
  return { available: false, inMs: leftMs };
}

function readyCondition(pod: Pod): NonNullable<NonNullable<Pod['status']>['conditions']>[number] | undefined {
  return pod.status?.conditions?.find(({ type }) => type === 'Ready');
}
