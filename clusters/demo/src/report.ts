/** How the demo tells what it saw. */
import type { PhaseResult } from './phases.ts';

export interface Painter {
  (style: 'green' | 'red' | 'yellow' | 'bold' | 'dim', text: string): string;
}

const codes = { green: [32, 39], red: [31, 39], yellow: [33, 39], bold: [1, 22], dim: [2, 22] } as const;

/** Colours for a terminal, plain text elsewhere (https://no-color.org). */
export function painter({ terminal, noColor }: { terminal: boolean; noColor: boolean }): Painter {
  return (style, text) => {
    const [on, off] = codes[style];
    return terminal && !noColor ? `\u001b[${on}m${text}\u001b[${off}m` : text;
  };
}

const ms = (value: number): string =>
  Number.isNaN(value) ? '-' : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

/** Two or three lines for one phase. */
export function phaseLines({ name, what, span, firstGoodMs, faults }: PhaseResult, paint: Painter): string[] {
  const sign = faults.length === 0 ? paint('green', '√') : paint('red', '×');
  const who = span.clusters
    .map(([cluster, answers]) => `${cluster} ${Math.round((answers / Math.max(1, span.requests)) * 100)} %`)
    .join(', ');
  const facts = [
    `${span.requests} requests`,
    `${(span.success * 100).toFixed(span.success === 1 ? 0 : 2)} % good`,
    `p50 ${ms(span.p50Ms)}`,
    `p99 ${ms(span.p99Ms)}`,
    `answered by ${who === '' ? 'nobody' : who}`,
  ];
  const lines = [`${sign} ${paint('bold', name)}: ${what}`, `    ${facts.join('   ')}`];
  if (firstGoodMs !== undefined)
    lines.push(
      `    first good answer after ${paint('bold', ms(firstGoodMs))}, ${span.failed} requests failed`,
    );
  for (const fault of faults) lines.push(`    ${paint('red', fault)}`);
  return lines;
}

/** The whole run as one table. */
export function summaryTable(results: readonly PhaseResult[]): string[] {
  const header = ['PHASE', 'REQUESTS', 'GOOD', 'P50', 'P99', 'FIRST GOOD', 'FAILED', 'ANSWERED BY'];
  const rows = results.map(({ name, span, firstGoodMs }) => [
    name,
    String(span.requests),
    `${(span.success * 100).toFixed(2)} %`,
    ms(span.p50Ms),
    ms(span.p99Ms),
    firstGoodMs === undefined ? '-' : ms(firstGoodMs),
    String(span.failed),
    span.clusters.map(([cluster]) => cluster).join(', '),
  ]);
  const lines = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('   ')
      .trimEnd(),
  );
}
