/** Runs cells: in each repeat every contestant takes its turn, and another one begins. */
import type { BenchArguments } from './arguments.ts';
import type { Cell } from './cells.ts';
import { measure, type Sample } from './measure.ts';
import type { Playing } from './stage-set.ts';

/** All samples of one contestant in one cell at one number of connections. */
export interface Series {
  readonly cell: Cell;
  readonly connections: number;
  readonly playing: Playing;
  readonly samples: Sample[];
}

export async function run(
  cells: readonly Cell[],
  playing: readonly Playing[],
  options: BenchArguments,
  say: (line: string) => void,
): Promise<Series[]> {
  const series = cells.flatMap((cell) =>
    (options.connections ?? cell.connections).flatMap((connections) =>
      playing
        .filter(({ stage }) => stage.mode === cell.mode)
        .map((playing): Series => ({ cell, connections, playing, samples: [] })),
    ),
  );
  const warm = new Set<Playing>();
  for (let repeat = 0; repeat < options.repeats; repeat++) {
    for (const group of grouped(series)) {
      for (let turn = 0; turn < group.length; turn++) {
        const one = group[(turn + repeat) % group.length];
        if (one === undefined) continue;
        const { cell, connections } = one;
        // What is compiled at run time gets the time for it once; then only connections are made anew.
        await cell.load(one.playing, { connections, seconds: warm.has(one.playing) ? 1 : 3 });
        warm.add(one.playing);
        one.samples.push(await measure(cell, one.playing, { connections, seconds: options.seconds }));
        say(`${repeat + 1}/${options.repeats} ${describe(one)}`);
      }
    }
  }
  return series;
}

/** Those that are compared with each other. */
export function grouped(series: readonly Series[]): Series[][] {
  return [...Map.groupBy(series, ({ cell, connections }) => `${cell.name} ${connections}`).values()];
}

function describe({ cell, connections, playing, samples }: Series): string {
  const last = samples.at(-1);
  if (last === undefined) return '';
  const cpu = last.hops.map(({ cpuMicros }) => cpuMicros.toFixed(1)).join(' + ');
  return [
    `${cell.name} ${connections}c ${playing.contestant.name}:`,
    `${Math.round(last.requests / last.seconds)}/s,`,
    `${cpu === '' ? '-' : cpu} µs,`,
    `p50 ${last.latencyMs.p50.toFixed(2)} p99 ${last.latencyMs.p99.toFixed(2)} ms`,
    last.failed === 0 ? '' : `, ${last.failed} FAILED`,
  ].join(' ');
}
