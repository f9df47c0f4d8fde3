/** Results as Markdown tables. */
import { amount, cpuOfHops, cpuPerHop, type Sample } from './measure.ts';
import { median } from './median.ts';
import { grouped, type Series } from './run.ts';

/** What was measured, and not nothing divided by nothing. */
const known = (value: number | undefined): value is number => Number.isFinite(value);

/** Median and, behind it, least and most. */
function spread(values: readonly number[], digits: number): string {
  if (values.length === 0) return '–';
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return `${median(values).toFixed(digits)} (${low.toFixed(digits)}–${high.toFixed(digits)})`;
}

/** A table for each cell and number of connections. `×` columns are ratios of medians: ours divided by the row's. */
export function tables(series: readonly Series[]): string {
  return grouped(series).map(table).join('\n');
}

function table(group: readonly Series[]): string {
  const [first] = group;
  if (first === undefined) return '';
  const { cell, connections } = first;
  const rate = cell.unit === 'GB' ? 'MB/s' : `${cell.unit}s/s`;
  const cpu = cell.unit === 'GB' ? 'CPU ms per GB and hop' : `CPU µs per ${cell.unit} and hop`;
  const latency = first.full.some(({ latencyMs }) => latencyMs !== undefined);
  const half = group.some((one) => one.half.length > 0);
  const head = [
    '',
    rate,
    cpu,
    'of each hop',
    'ours ×',
    ...(latency ? ['p50 / p99 / p99.9 ms'] : []),
    ...(half ? ['at half load'] : []),
    'private / resident MB of a hop',
  ];
  const reference = group.find(({ contestant }) => contestant === 'ours');
  return [
    `### ${cell.title}, ${connections} ${connections === 1 ? 'connection' : 'connections'} (\`${cell.name}\`)`,
    '',
    `| ${head.join(' | ')} |`,
    `|${head.map(() => '---').join('|')}|`,
    ...group.map((one) => `| ${row(one, reference, { latency, half }).join(' | ')} |`),
    '',
  ].join('\n');
}

export function cpuOf({ cell, full }: Series): number[] {
  return full.map((sample) => cpuPerHop(sample, cell.unit)).filter(known);
}

/** Units per second; MB/s for bytes. */
export function ratesOf({ cell, full }: Series): number[] {
  return full.map((sample) => (amount(sample, cell.unit) / sample.seconds) * (cell.unit === 'GB' ? 1000 : 1));
}

function row(
  series: Series,
  reference: Series | undefined,
  columns: { latency: boolean; half: boolean },
): string[] {
  const { cell, full, half, title } = series;
  // µs per GB would be a long number.
  const scale = cell.unit === 'GB' ? 1000 : 1;
  const digits = cell.unit === 'request' ? 1 : 0;
  const cpu = cpuOf(series).map((value) => value / scale);
  const own = reference === undefined ? [] : cpuOf(reference).map((value) => value / scale);
  return [
    title + remarks(full),
    spread(ratesOf(series), cell.unit === 'GB' ? 1 : 0),
    spread(cpu, digits),
    eachHop(series, scale, digits),
    cpu.length === 0 || own.length === 0 ? '–' : (median(own) / median(cpu)).toFixed(2),
    ...(columns.latency ? [latencies(full)] : []),
    ...(columns.half ? [latencies(half)] : []),
    memory(full),
  ];
}

function remarks(samples: readonly Sample[]): string {
  const failed = samples.reduce((sum, sample) => sum + sample.failed, 0);
  const silent = samples.filter(({ operations, bytes }) => operations === 0 && bytes === 0).length;
  return [
    failed === 0 ? '' : ` (**${failed} failed**)`,
    silent === 0 ? '' : ` (**nothing was answered in ${silent} of ${samples.length} repeats**)`,
  ].join('');
}

function eachHop({ cell, full }: Series, scale: number, digits: number): string {
  const hops = full[0]?.hops ?? [];
  if (hops.length === 0) return '–';
  const values = full.map((sample) => cpuOfHops(sample, cell.unit));
  return hops
    .map(({ name }, index) => {
      const value = median(values.map((each) => each[index]).filter(known)) / scale;
      return `${name} ${value.toFixed(digits)}`;
    })
    .join(', ');
}

function latencies(samples: readonly Sample[]): string {
  const of = (name: 'p50' | 'p99' | 'p999'): string =>
    median(samples.map(({ latencyMs }) => latencyMs?.[name]).filter(known)).toFixed(2);
  return samples.length === 0 ? '–' : `${of('p50')} / ${of('p99')} / ${of('p999')}`;
}

function memory(samples: readonly Sample[]): string {
  const [first] = samples;
  if (first === undefined || first.hops.length === 0) return '–';
  const largest = (name: 'privateBytes' | 'residentBytes'): string =>
    (median(samples.map(({ hops }) => Math.max(...hops.map((hop) => hop[name])))) / 1e6).toFixed(0);
  return `${largest('privateBytes')} / ${largest('residentBytes')}`;
}
