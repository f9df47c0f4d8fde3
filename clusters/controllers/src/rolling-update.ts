/** The arithmetic of a rolling update, on numbers alone. */

/** `maxSurge` or `maxUnavailable`: a count, or a percentage of the replicas as text. */
export type Amount = number | string | undefined;

export interface RollingLimits {
  /** Pods above the wanted number that may exist. */
  surge: number;
  /** Pods below the wanted number that may be unavailable. */
  unavailable: number;
}

/** Percentages of surge round up, those of unavailability down; both zero would never move, so one may be missing. */
export function rollingLimits(replicas: number, maxSurge: Amount, maxUnavailable: Amount): RollingLimits {
  const surge = Math.ceil(resolve(maxSurge ?? '25%', replicas));
  const unavailable = Math.floor(resolve(maxUnavailable ?? '25%', replicas));
  if (surge === 0 && unavailable === 0) return { surge, unavailable: 1 };
  return { surge, unavailable: Math.min(unavailable, replicas) };
}

function resolve(amount: number | string, replicas: number): number {
  if (typeof amount === 'number') return amount;
  const percent = /^(\d+)%$/.exec(amount);
  return percent === null ? 0 : (Number(percent[1]) * replicas) / 100;
}

/** One ReplicaSet as the arithmetic sees it. */
export interface SetView {
  name: string;
  /** `spec.replicas`. */
  wanted: number;
  /** `status.availableReplicas`. */
  available: number;
}

export interface RollingState {
  replicas: number;
  limits: RollingLimits;
  /** The set with the new template. */
  fresh: SetView;
  /** All others, oldest first. */
  old: readonly SetView[];
}

/** The size that each set shall have next, by name; sets that stay as they are left out. */
export function nextSizes({ replicas, limits, fresh, old }: RollingState): Map<string, number> {
  const sizes = new Map<string, number>();
  const oldWanted = sum(old, ({ wanted }) => wanted);
  const grown = nextFreshSize({ replicas, limits, fresh, total: fresh.wanted + oldWanted });
  if (grown !== fresh.wanted) sizes.set(fresh.name, grown);

  const least = replicas - limits.unavailable;
  const freshUnavailable = Math.max(0, grown - availableOf(fresh));
  let removable = grown + oldWanted - least - freshUnavailable;
  const left = new Map(old.map((set) => [set, set.wanted]));
  const take = (set: SetView, count: number): void => {
    const taken = Math.max(0, Math.min(count, removable, left.get(set) ?? 0));
    removable -= taken;
    left.set(set, (left.get(set) ?? 0) - taken);
  };
  // pods that serve nobody go first: they cost no capacity
  for (const set of old) take(set, set.wanted - availableOf(set));
  const spare =
    sum(old, (set) => Math.min(left.get(set) ?? 0, availableOf(set))) + availableOf(fresh) - least;
  removable = Math.min(removable, Math.max(0, spare));
  for (const set of old) take(set, left.get(set) ?? 0);
  for (const [set, size] of left) if (size !== set.wanted) sizes.set(set.name, size);
  return sizes;
}

function nextFreshSize(state: {
  replicas: number;
  limits: RollingLimits;
  fresh: SetView;
  total: number;
}): number {
  const { replicas, limits, fresh, total } = state;
  if (fresh.wanted >= replicas) return replicas;
  const room = replicas + limits.surge - total;
  return room <= 0 ? fresh.wanted : Math.min(replicas, fresh.wanted + room);
}

/** A status may lag behind a scale down, so it never counts for more than is wanted. */
function availableOf({ wanted, available }: SetView): number {
  return Math.min(wanted, available);
}

function sum(sets: readonly SetView[], value: (set: SetView) => number): number {
  return sets.reduce((total, set) => total + value(set), 0);
}
