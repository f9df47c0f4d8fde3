/** What a churn found, as a table, with a verdict. */
import type { RunFacts } from '../endurance-program.ts';
import { type Churned, type ChurnOptions, hurry, isBack, type Track, warmUpMinutes } from './churn.ts';
import type { Sample } from './samples.ts';
import { type Point, type Slope, slopeOf } from './slope.ts';

/** Of private memory, at the upper end of the confidence interval. */
const boundMbPerHour = 1;

interface Measure {
  readonly name: string;
  readonly unit: 'MB' | '';
  /** Of a block of samples. */
  readonly of: (block: readonly Sample[]) => number;
}

const megabytes = (
  of: (sample: Sample) => number,
  reduce: (values: readonly number[]) => number,
): Omit<Measure, 'name'> => ({ unit: 'MB', of: (block) => reduce(block.map(of)) / 1e6 });
const mean = (values: readonly number[]): number => values.reduce((sum, one) => sum + one, 0) / values.length;
const least = (values: readonly number[]): number => Math.min(...values);

/** Of the heap the least of a block: what is left after a collection, more or less. */
const measures: readonly Measure[] = [
  { name: 'private', ...megabytes(({ privateBytes }) => privateBytes, mean) },
  { name: 'resident', ...megabytes(({ residentBytes }) => residentBytes, mean) },
  { name: 'heap', ...megabytes(({ heapBytes }) => heapBytes, least) },
  { name: 'machine code', ...megabytes(({ codeBytes }) => codeBytes, mean) },
  { name: 'allocator', ...megabytes(({ mallocBytes }) => mallocBytes, mean) },
  { name: 'buffers', ...megabytes(({ externalBytes }) => externalBytes, least) },
  { name: 'descriptors', unit: '', of: (block) => mean(block.map(({ descriptors }) => descriptors)) },
  { name: 'metric lines', unit: '', of: (block) => mean(block.map(({ series }) => series)) },
];

/** Time of a block, so that garbage and its collection are in the same one. */
const blockMs = 60_000;

export type Verdict = 'flat' | 'grows' | 'not known';

interface Row {
  readonly program: string;
  readonly measure: string;
  readonly unit: string;
  /** A value for each block after the warm-up. */
  readonly points: readonly Point[];
  readonly slope: Slope;
}

export interface Report extends RunFacts {
  readonly options: ChurnOptions;
  readonly rows: readonly Row[];
  readonly clients: Churned['clients'];
  readonly kills: number;
  /** By program. */
  readonly verdicts: Readonly<Record<string, Verdict>>;
  /** Programs that hold more at the end than before, and what. */
  readonly kept: readonly string[];
  /** Private memory before the first client and when nothing was left to do, MB. */
  readonly quiet: readonly { readonly program: string; readonly before: number; readonly after: number }[];
}

export function reportOf(churned: Churned, facts: RunFacts & { options: ChurnOptions }): Report {
  const rows = churned.tracks.flatMap((track) => rowsOf(track, warmUpMinutes(facts.options) * 60_000));
  const isPrivate = rows.filter(({ measure }) => measure === 'private');
  return {
    ...facts,
    rows,
    clients: churned.clients,
    kills: churned.kills,
    verdicts: Object.fromEntries(isPrivate.map(({ program, slope }) => [program, verdictOf(slope)])),
    kept: churned.tracks.filter(({ before, after }) => !isBack(after, before)).map(keptBy),
    quiet: churned.tracks.map(({ name, before, after }) => ({
      program: name,
      before: before.privateBytes / 1e6,
      after: after.privateBytes / 1e6,
    })),
  };
}

/** Whether memory stays within the bound, grows beyond it, or neither can be said yet. */
function verdictOf({ perHour, marginPerHour }: Slope): Verdict {
  if (perHour + marginPerHour <= boundMbPerHour) return 'flat';
  return perHour - marginPerHour > 0 && perHour > boundMbPerHour ? 'grows' : 'not known';
}

function rowsOf({ name, samples }: Track, warmUpMs: number): Row[] {
  const start = samples[0]?.atMs ?? 0;
  const blocks = [
    ...Map.groupBy(
      samples.filter(({ atMs }) => atMs >= start + warmUpMs),
      ({ atMs }) => Math.floor((atMs - start) / blockMs),
    ).entries(),
  ];
  return measures.map(({ name: measure, unit, of }) => {
    const points = blocks.map(([block, all]) => ({ atMs: block * blockMs, value: of(all) }));
    return { program: name, measure, unit, points, slope: slopeOf(points) };
  });
}

function keptBy({ name, before, after }: Track): string {
  const change = (what: 'descriptors' | 'connections' | 'inFlight'): string =>
    `${what} ${before[what]} before, ${after[what]} after`;
  return `${name}: ${change('descriptors')}, ${change('connections')}, ${change('inFlight')}`;
}

/** Below that slopes mean nothing, and only what is left at the end is judged. */
const leastMinutes = 20;

export function isGood({ verdicts, kept, options }: Report): boolean {
  const long = options.minutes >= leastMinutes;
  return kept.length === 0 && (!long || Object.values(verdicts).every((verdict) => verdict === 'flat'));
}

export function markdown(report: Report): string {
  const { date, machine, options, clients, kills, kept, quiet } = report;
  const failed = Object.entries(clients.failed);
  const failures = failed.reduce((sum, [, count]) => sum + count, 0);
  return `# Results of \`npm run endurance -- churn\`

${date.slice(0, 10)}, ${machine.cores} × ${machine.cpu}, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node ${machine.node}, commit ${machine.commit}; load
average before the run ${machine.load.toFixed(2)}. ${options.minutes} minutes, ${options.rate} actions of clients per second: ${clients.done} ended as they
should, ${failures} did not. The process of the clients was killed ${kills} times. What comes and goes, and how it is measured, is in
[../README.md](../README.md).

${options.minutes < leastMinutes ? '' : slopes(report)}## Left behind

Descriptors, connections and requests of each program, when the clients had gone, beside what there was before them:
${kept.length === 0 ? 'nothing is left.\n' : `\n${list(kept)}`}
${quietText(quiet)}${failed.length === 0 ? '' : `## What clients met instead\n\n${list(failed.map(([what, count]) => `${count} × ${what}`))}`}`;
}

function quietText(quiet: Report['quiet']): string {
  if (quiet.length === 0) return '';
  const each = quiet.map(
    ({ program, before, after }) => `${program} ${before.toFixed(1)} and ${after.toFixed(1)} MB`,
  );
  return `Private memory before the first client, and when nothing was left to do (an engine without work does not collect, and an allocator
keeps what it may need again): ${each.join(', ')}.

`;
}

const list = (lines: readonly string[]): string => lines.map((line) => `- ${line}\n`).join('');

function slopes({ rows, verdicts, options }: Report): string {
  return `## Memory

By least squares over a value for each minute after ${warmUpMinutes(options).toFixed(0)} minutes of warming up, of which clients did ${hurry.times} times as much in the
first ${(warmUpMinutes(options) * hurry.share).toFixed(0)}, with the half of the 95 % confidence interval, which counts that neighbours are alike. Machine code and what the C library's
allocator holds are parts of private memory. Flat: private memory grows by less than ${boundMbPerHour} MB per hour at the upper end of its interval.

| program | | first five minutes | last five minutes | per hour | verdict |
|---|---|---|---|---|---|
${rows.map((row) => `| ${rowCells(row, verdicts).join(' | ')} |\n`).join('')}
`;
}

function rowCells({ program, measure, unit, points, slope }: Row, verdicts: Report['verdicts']): string[] {
  const digits = unit === 'MB' ? 1 : 0;
  const level = (some: readonly Point[]): string => mean(some.map(({ value }) => value)).toFixed(digits);
  return [
    program,
    `${measure}${unit === '' ? '' : `, ${unit}`}`,
    level(points.slice(0, 5)),
    level(points.slice(-5)),
    `${slope.perHour.toFixed(2)} ± ${slope.marginPerHour.toFixed(2)}`,
    measure === 'private' ? `**${verdicts[program] ?? ''}**` : '',
  ];
}
