/** A condition as workloads, pods and nodes have it. */
export interface Condition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
  lastUpdateTime?: string;
}

/**
 * `conditions` with `wanted` in it. The transition time moves only when the status does, and nothing changes when
 * status, reason and message are as before.
 */
export function withCondition<C extends Condition>(conditions: readonly C[], wanted: C, now: string): C[] {
  const known = conditions.find(({ type }) => type === wanted.type);
  if (
    known !== undefined &&
    known.status === wanted.status &&
    known.reason === wanted.reason &&
    known.message === wanted.message
  ) {
    return [...conditions];
  }
  const lastTransitionTime = known?.status === wanted.status ? (known.lastTransitionTime ?? now) : now;
  const next = { ...wanted, lastTransitionTime };
  if (known === undefined) return [...conditions, next];
  return conditions.map((condition) => (condition === known ? next : condition));
}

export function withoutCondition<C extends Condition>(conditions: readonly C[], type: string): C[] {
  return conditions.filter((condition) => condition.type !== type);
}
