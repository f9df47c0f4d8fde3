/** One measurement: a load, and what each proxy used meanwhile. */
import { existsSync } from 'node:fs';
import type { Unit } from './cells.ts';
import type { HopName } from './contestants/contestant.ts';
import type { LoadResult } from './load/load-result.ts';
import { cpuMicros, type MemoryUse, memoryUse, processTree, sumOf } from './process-usage.ts';
import type { Playing } from './stage-set.ts';

export interface HopUse extends MemoryUse {
  readonly name: HopName;
  /** CPU time of the whole load. */
  readonly cpuMicros: number;
}

export interface Sample extends LoadResult {
  readonly hops: readonly HopUse[];
}

export async function measure(
  { hops }: Pick<Playing, 'hops'>,
  load: () => Promise<LoadResult>,
): Promise<Sample> {
  const trees = hops.map(({ name, pid }) => {
    if (!existsSync(`/proc/${pid}/stat`)) throw new Error(`the ${name} proxy has ended`);
    return processTree(pid);
  });
  const before = trees.map((pids) => sumOf(pids, cpuMicros));
  const result = await load();
  const used = hops.map(({ name }, index): HopUse => {
    const pids = trees[index] ?? [];
    return { name, cpuMicros: sumOf(pids, cpuMicros) - (before[index] ?? 0), ...memoryOf(pids) };
  });
  return { ...result, hops: used };
}

export function memoryOf(pids: readonly number[]): MemoryUse {
  const uses = pids.map(memoryUse);
  return {
    privateBytes: uses.reduce((sum, { privateBytes }) => sum + privateBytes, 0),
    residentBytes: uses.reduce((sum, { residentBytes }) => sum + residentBytes, 0),
  };
}

/** How much was measured: requests, connections or GB. */
export function amount({ operations, bytes }: LoadResult, unit: Unit): number {
  return unit === 'GB' ? bytes / 1e9 : operations;
}

/** CPU time in µs of each hop for each unit that it carried. */
export function cpuOfHops(sample: Sample, unit: Unit): number[] {
  const carried = amount(sample, unit) + (sample.warmUp ?? 0);
  return sample.hops.map((hop) => hop.cpuMicros / carried);
}

/** CPU time in µs for each unit, mean of the hops; undefined without proxies. */
export function cpuPerHop(sample: Sample, unit: Unit): number | undefined {
  const hops = cpuOfHops(sample, unit);
  return hops.length === 0 ? undefined : hops.reduce((sum, micros) => sum + micros, 0) / hops.length;
}
