/** Results as text. */
import { median } from './median.ts';
import type { Sample } from './measure.ts';
import { grouped, type Series } from './run.ts';

/** CPU of the whole way divided by its hops; undefined without proxies. */
export function cpuPerHop({ hops }: Sample): number | undefined {
  if (hops.length === 0) return undefined;
  return hops.reduce((sum, { cpuMicros }) => sum + cpuMicros, 0) / hops.length;
}

function spread(values: readonly number[], digits: number): string {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return `${median(values).toFixed(digits)} (${low.toFixed(digits)}–${high.toFixed(digits)})`;
}

/** One table for each cell and number of connections; ratios are of medians, to the first contestant named `ours`. */
export function tables(series: readonly Series[]): string {
  return grouped(series).map(table).join('\n');
}

function table(group: readonly Series[]): string {
  const [first] = group;
  if (first === undefined) return '';
  const reference = group.find(({ playing }) => playing.contestant.name === 'ours');
  const lines = [
    `### ${first.cell.title}, ${first.connections} connections`,
    '',
    '| | requests/s | CPU µs per request and hop | outbound, inbound | ours : it | p50 ms | p99 ms | p99.9 ms |',
    '|---|---|---|---|---|---|---|---|',
    ...group.map((one) => row(one, reference)),
    '',
  ];
  return lines.join('\n');
}

function row({ playing, samples }: Series, reference: Series | undefined): string {
  const cpu = samples.map(cpuPerHop).filter((value) => value !== undefined);
  const hops = playing.hops.map((_, index) =>
    median(samples.map((sample) => sample.hops[index]?.cpuMicros ?? Number.NaN)).toFixed(1),
  );
  const own = reference?.samples.map(cpuPerHop).filter((value) => value !== undefined) ?? [];
  const cells = [
    playing.contestant.title,
    spread(
      samples.map(({ requests, seconds }) => requests / seconds),
      0,
    ),
    cpu.length === 0 ? '–' : spread(cpu, 1),
    hops.join(', '),
    cpu.length === 0 || own.length === 0 ? '–' : (median(own) / median(cpu)).toFixed(2),
    ...(['p50', 'p99', 'p999'] as const).map((name) =>
      median(samples.map(({ latencyMs }) => latencyMs[name])).toFixed(2),
    ),
  ];
  return `| ${cells.join(' | ')} |`;
}
