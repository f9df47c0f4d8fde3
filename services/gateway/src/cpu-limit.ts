/**
 * How many processors a container may use. Node reads the machine's count, and the quota of a control group only in
 * some of the places where it can be (v1 with separate controllers: not).
 */
const maxLoops = 8;

/**
 * Whole processors of the quota, at least 1, at most what the machine has and 8: a gateway without a quota on a large
 * node would fill it with processes of which a few do all the work.
 * @param readFile undefined when there is no such file
 */
export function cpuLimit(readFile: (path: string) => string | undefined, parallelism: number): number {
  return Math.max(1, Math.min(Math.floor(quota(readFile) ?? parallelism), parallelism, maxLoops));
}

function quota(readFile: (path: string) => string | undefined): number | undefined {
  const [limit, period] = (readFile('/sys/fs/cgroup/cpu.max') ?? '').trim().split(' ').map(Number);
  if (limit !== undefined && period !== undefined && limit > 0 && period > 0) return limit / period;
  const oldLimit = Number(readFile('/sys/fs/cgroup/cpu/cpu.cfs_quota_us') ?? Number.NaN);
  const oldPeriod = Number(readFile('/sys/fs/cgroup/cpu/cpu.cfs_period_us') ?? Number.NaN);
  return oldLimit > 0 && oldPeriod > 0 ? oldLimit / oldPeriod : undefined;
}
