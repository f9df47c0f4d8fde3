/** Runs cells: in each repeat every contestant takes its turn, and another one begins. */
import type { Cell } from './cells.ts';
import { describeError } from '@mesh/errors/mesh-error';
import { cpuPerHop, measure, type Sample } from './measure.ts';
import type { Playing } from './stage-set.ts';

/** All samples of one contestant in one cell at one number of connections. */
export interface Series {
  readonly cell: Cell;
  readonly connections: number;
  readonly contestant: string;
  readonly title: string;
  readonly full: Sample[];
  /** At half of the rate that the full load of the same repeat reached. */
  readonly half: Sample[];
}

export interface RunOptions {
  /** Of each measurement. */
  readonly seconds: number;
  readonly repeats: number;
  /** Where targets are decided; as many as `repeats`, or more. */
  readonly decidingRepeats: number;
  /** Load before the first measurement of a contestant in a scene, for what is compiled at run time. */
  readonly warmUpSeconds: number;
  /** Replaces what each cell says. */
  readonly connections: readonly number[] | undefined;
  /** Whether latency at half load is measured. */
  readonly half: boolean;
}

/** Half load is measured at this number of connections. */
const mainConnections = 32;
/** Repeats of half load, of other numbers of connections and of long wires. */
const secondaryRepeats = 2;

interface Turn {
  readonly playing: Playing;
  readonly series: Series;
}

export interface RunReport {
  readonly say: (line: string) => void;
  /** Something could not be measured, and why. The rest goes on. */
  readonly skip: (what: string) => void;
}

/** @param cells all of one scene */
export async function run(
  cells: readonly Cell[],
  stages: readonly Playing[],
  options: RunOptions,
  { say, skip }: RunReport,
): Promise<Series[]> {
  const groups = cells.flatMap((cell) =>
    (options.connections ?? cell.connections).map((connections) => groupOf(cell, connections, stages)),
  );
  const warm = new Set<Playing>();
  const out = new Set<Playing>();
  for (let repeat = 0; repeat < options.decidingRepeats; repeat++) {
    for (const group of groups) {
      for (let turn = 0; turn < group.length; turn++) {
        const one = group[(turn + repeat) % group.length];
        if (one === undefined || !isDue(one.series, repeat, options)) continue;
        if (out.has(one.playing)) continue;
        try {
          await take(one, { ...options, half: options.half && repeat < secondaryRepeats }, warm);
          say(`${repeat + 1}: ${describe(one.series)}`);
        } catch (thrown) {
          out.add(one.playing);
          skip(`${one.series.title}, from the cell ${one.series.cell.name} on: ${describeError(thrown)}`);
        }
      }
    }
  }
  return groups.flat().map(({ series }) => series);
}

function groupOf(cell: Cell, connections: number, stages: readonly Playing[]): Turn[] {
  return stages
    .filter(({ hops }) => cell.baseline || hops.length > 0)
    .map((playing) => {
      const { name, title } = playing.contestant;
      return { playing, series: { cell, connections, contestant: name, title, full: [], half: [] } };
    });
}

/** All repeats are for the number of connections that targets speak of; the others have fewer, for the time that they take. */
function isDue({ connections, cell }: Series, repeat: number, options: RunOptions): boolean {
  if (repeat < secondaryRepeats) return true;
  const main = options.connections !== undefined || connections === mainConnections;
  const repeats = cell.decides ? options.decidingRepeats : options.repeats;
  return main && cell.scene.roundTripMs === 0 && repeat < repeats;
}

async function take({ playing, series }: Turn, options: RunOptions, warm: Set<Playing>): Promise<void> {
  const { cell, connections, full, half } = series;
  const { seconds, warmUpSeconds } = options;
  if (!warm.has(playing) && cell.scene.roundTripMs === 0 && warmUpSeconds > 0) {
    await cell.load(playing, { connections, seconds: warmUpSeconds });
    warm.add(playing);
  }
  const sample = await measure(playing, () => cell.load(playing, { connections, seconds }));
  full.push(sample);
  const { loadAt } = cell;
  const rate = sample.operations / sample.seconds / 2;
  if (!options.half || loadAt === undefined || connections !== mainConnections || rate === 0) return;
  half.push(await measure(playing, () => loadAt(playing, { connections, seconds }, rate)));
}

/** Those that are compared with each other. */
export function grouped(series: readonly Series[]): Series[][] {
  return [...Map.groupBy(series, ({ cell, connections }) => `${cell.name} ${connections}`).values()];
}

function describe({ cell, connections, contestant, full, half }: Series): string {
  const last = full.at(-1);
  if (last === undefined) return '';
  const { latencyMs, operations, seconds, bytes, failed } = last;
  const rate =
    cell.unit === 'GB'
      ? `${(bytes / 1e6 / seconds).toFixed(0)} MB/s`
      : `${Math.round(operations / seconds)}/s`;
  const latency =
    latencyMs === undefined ? '' : `p50 ${latencyMs.p50.toFixed(2)} p99 ${latencyMs.p99.toFixed(2)} ms`;
  // Not every repeat has one.
  const halfLatency = half.length === full.length ? half.at(-1)?.latencyMs : undefined;
  return [
    `${cell.name} ${connections}c ${contestant}: ${rate}`,
    `${(cpuPerHop(last, cell.unit) ?? 0).toFixed(1)} µs per ${cell.unit} and hop`,
    latency,
    halfLatency === undefined ? '' : `half p99 ${halfLatency.p99.toFixed(2)} ms`,
    failed === 0 ? '' : `${failed} FAILED`,
  ]
    .filter((part) => part !== '')
    .join(', ');
}
