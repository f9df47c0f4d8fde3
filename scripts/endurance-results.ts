/** Results of long forms of tests, as files: `bench/results/SUBJECT.md` for people and `subject.json`. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Machine } from '../bench/src/machine.ts';

interface EnduranceRun {
  readonly subject: string;
  /** ISO 8601, of the start. */
  readonly date: string;
  readonly minutes: number;
  readonly machine: Machine;
  readonly passed: boolean;
}

/**
 * @param figures file that the test wrote; a test that failed before it had any has none, and leaves the last results alone
 */
export function writeResults(
  directory: string,
  { run, figures }: { run: EnduranceRun; figures: string },
): void {
  if (!existsSync(figures)) return;
  const found = JSON.parse(readFileSync(figures, 'utf8')) as Record<string, string>;
  writeFileSync(join(directory, `${run.subject.toUpperCase()}.md`), markdown(run, found));
  writeFileSync(
    join(directory, `${run.subject}.json`),
    `${JSON.stringify({ ...run, figures: found }, null, 1)}\n`,
  );
}

function markdown(
  { subject, date, minutes, machine, passed }: EnduranceRun,
  found: Record<string, string>,
): string {
  const { cores, cpu, memoryGiB, kernel, node, commit, load } = machine;
  return `# Results of \`npm run endurance -- ${subject}\`

${date.slice(0, 10)}, ${cores} × ${cpu}, ${memoryGiB} GiB, Linux ${kernel}, Node ${node}, commit ${commit}; load
average before the run ${load.toFixed(2)}. ${minutes.toFixed(1)} minutes. **${passed ? 'Passed' : 'FAILED'}.**

| | |
|---|---|
${Object.entries(found)
  .map(([what, value]) => `| ${what} | ${value} |\n`)
  .join('')}`;
}
