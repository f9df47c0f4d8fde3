/** Everything that one run found, and its files in `bench/results`. */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chart } from './chart.ts';
import { type CrossCheck, crossCheckTable } from './cross-check.ts';
import type { Machine } from './machine.ts';
import { median } from './median.ts';
import { tables } from './report.ts';
import type { RunOptions, Series } from './run.ts';
import type { SidecarFacts } from './sidecar.ts';
import { targets, targetTable } from './targets.ts';

export interface Participant {
  readonly name: string;
  readonly title: string;
  readonly version: string;
  /** Why it was not run; empty when it was. */
  readonly absent: string;
}

export interface Results {
  /** ISO 8601. */
  readonly date: string;
  readonly minutes: number;
  readonly machine: Machine;
  readonly options: RunOptions;
  readonly participants: readonly Participant[];
  readonly series: readonly Series[];
  readonly sidecars: readonly SidecarFacts[];
  /** Start to ready of our sidecar, each time. */
  readonly startMs: readonly number[];
  readonly crossChecks: readonly CrossCheck[];
  /** Cells that could not run, each with the reason. */
  readonly skipped: readonly string[];
}

/** @param stages folders of the stages, whose configurations are published */
export function writeResults(results: Results, directory: string, stages: readonly string[]): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'RESULTS.md'), markdown(results));
  writeFileSync(
    join(directory, 'results.json'),
    // Where they were written says nothing to those who read them.
    `${JSON.stringify({ ...results, targets: targets(results) }, (key, value: unknown) => (key === 'out' ? undefined : value), 1)}\n`,
  );
  writeFileSync(join(directory, 'chart.svg'), chart(results.series));
  const published = join(directory, 'configurations');
  rmSync(published, { recursive: true, force: true });
  for (const stage of stages) publish(stage, published);
}

/** Copies the configurations of a stage, with its folder called DIRECTORY and certificates left out. */
function publish(stage: string, target: string): void {
  const name = stage.slice(stage.lastIndexOf('/') + 1);
  const parent = stage.slice(0, stage.lastIndexOf('/'));
  const files = readdirSync(stage).filter((file) => /\.(cfg|conf|json|env|yaml)$/.test(file));
  if (files.length === 0) return;
  mkdirSync(join(target, name), { recursive: true });
  for (const file of files) {
    cpSync(join(stage, file), join(target, name, file));
    const text = readFileSync(join(stage, file), 'utf8')
      .replaceAll(parent, 'DIRECTORY')
      .replaceAll(/-----BEGIN.*-----END [A-Z ]+-----(\\n)?/g, 'PEM');
    writeFileSync(join(target, name, file), text);
  }
}

export function markdown(results: Results): string {
  const { date, minutes, machine, options, participants, series, sidecars, startMs, crossChecks, skipped } =
    results;
  const list = (lines: readonly string[]): string => lines.map((line) => `- ${line}\n`).join('');
  const { repeats, decidingRepeats, seconds } = options;
  const often = decidingRepeats > repeats ? `, ${decidingRepeats} where targets are decided` : '';
  return `# Results of \`npm run bench\`

${date.slice(0, 10)}, ${machine.cores} × ${machine.cpu}, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, commit ${machine.commit}; load
average before the run ${machine.load.toFixed(2)}. ${repeats} repeats of ${seconds} s${often}, ${minutes.toFixed(1)} minutes in all.

Median, and least to most in parentheses. "ours ×" is our CPU time divided by that of the row, from medians of this run. How it
is measured, and what is fair about it, is in [../README.md](../README.md); the configurations of everybody are in
[configurations](configurations), all figures in [results.json](results.json).

${list(participants.map(({ title, version, absent }) => (absent === '' ? `${title} ${version}`.trim() : `${title}: **not run**, ${absent}`)))}
![CPU time per request and hop](chart.svg)

## Targets

${targetTable(targets(results))}
## Cells

${tables(series)}${skipped.length === 0 ? '' : `### Not measured\n\n${list(skipped)}\n`}
${sidecarTable(sidecars, startMs)}${crossChecks.length === 0 ? '' : `## Our driver against others'\n\n${crossCheckTable(crossChecks)}`}`;
}

function sidecarTable(sidecars: readonly SidecarFacts[], startMs: readonly number[]): string {
  if (sidecars.length === 0) return '';
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
  const rows = sidecars.map(
    ({ title, idle, loaded, failed }) =>
      `| ${title}${failed === 0 ? '' : ` (**${failed} failed**)`} | ${megabytes(idle.privateBytes)} / ${megabytes(idle.residentBytes)} | ${megabytes(loaded.privateBytes)} / ${megabytes(loaded.residentBytes)} |`,
  );
  const start =
    startMs.length === 0
      ? ''
      : `\nStart to ready: ${median(startMs).toFixed(0)} ms (${startMs.map((ms) => ms.toFixed(0)).join(', ')}).\n`;
  return `## A sidecar by itself

| private / resident MB | idle | 1,000 connections, 2,000 requests/s |
|---|---|---|
${rows.join('\n')}
${start}
`;
}
