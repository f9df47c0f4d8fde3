/** Runs cells: in each repeat every contestant takes its turn, and another one begins. */
import type { Cell } from './cells.ts';
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
  /** Before the first measurement of a contestant in a cell, for what is compiled at run time; then a second is enough. */
  readonly warmUpSeconds: number;
  /** Replaces what each cell says. */
  readonly connections: readonly number[] | undefined;
  /** Whether latency at half load is measured. */
  readonly half: boolean;
}

/** Half load is measured at this number of connections. */
const halfLoadConnections = 32;
/** For new connections, when programs are warm. */
const shortWarmUpSeconds = 1;

interface Turn {
  readonly playing: Playing;
  readonly series: Series;
}

/** @param cells all of one scene */
export async function run(
  cells: readonly Cell[],
  stages: readonly Playing[],
  options: RunOptions,
  say: (line: string) => void,
): Promise<Series[]> {
  const groups = cells.flatMap((cell) =>
    (options.connections ?? cell.connections).map((connections) => groupOf(cell, connections, stages)),
  );
  const warm = new Set<string>();
  for (let repeat = 0; repeat < options.repeats; repeat++) {
    for (const group of groups) {
      for (let turn = 0; turn < group.length; turn++) {
        const one = group[(turn + repeat) % group.length];
        if (one !== undefined) await take(one, options, warm);
        if (one !== undefined) say(`${repeat + 1}/${options.repeats} ${describe(one.series)}`);
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

async function take({ playing, series }: Turn, options: RunOptions, warm: Set<string>): Promise<void> {
  const { cell, connections, full, half } = series;
  const { seconds } = options;
  const key = `${playing.contestant.name} ${cell.name}`;
  const warmUp = warm.has(key) ? Math.min(shortWarmUpSeconds, options.warmUpSeconds) : options.warmUpSeconds;
  if (cell.scene.roundTripMs === 0 && warmUp > 0) {
    await cell.load(playing, { connections, seconds: warmUp });
    warm.add(key);
  }
  const sample = await measure(playing, () => cell.load(playing, { connections, seconds }));
  full.push(sample);
  const { loadAt } = cell;
  if (!options.half || loadAt === undefined || connections !== halfLoadConnections) return;
  const rate = sample.operations / sample.seconds / 2;
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
  const halfLatency = half.at(-1)?.latencyMs;
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
