/** One measurement: a load, and what each proxy used meanwhile. */
import type { Cell, CellLoad, HopName } from './cells.ts';
import type { LoadResult } from './load/load-result.ts';
import { cpuMicros, type MemoryUse, memoryUse, processTree, sumOf } from './process-usage.ts';
import type { Playing } from './stage-set.ts';

export interface HopUse extends MemoryUse {
  readonly name: HopName;
  /** µs of CPU time for each request. */
  readonly cpuMicros: number;
}

export interface Sample extends LoadResult {
  readonly hops: readonly HopUse[];
}

export async function measure(cell: Cell, playing: Playing, load: CellLoad): Promise<Sample> {
  const trees = playing.hops.map(({ pid }) => processTree(pid));
  const before = trees.map((pids) => sumOf(pids, cpuMicros));
  const result = await cell.load(playing, load);
  const hops = playing.hops.map(({ name }, index): HopUse => {
    const pids = trees[index] ?? [];
    return {
      name,
      cpuMicros: (sumOf(pids, cpuMicros) - (before[index] ?? 0)) / result.requests,
      privateBytes: sumOf(pids, (pid) => memoryUse(pid).privateBytes),
      residentBytes: sumOf(pids, (pid) => memoryUse(pid).residentBytes),
    };
  });
  return { ...result, hops };
}
