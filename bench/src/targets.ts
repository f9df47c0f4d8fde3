/** The targets that were set before anything was measured, and whether this run met them. */
import { median } from './median.ts';
import { cpuOf, ratesOf } from './report.ts';
import type { Results } from './results.ts';
import type { Series } from './run.ts';

export interface Target {
  readonly what: string;
  /** `atMost`: the value must not be more; otherwise not less. */
  readonly atMost: boolean;
  readonly required: number;
  readonly stretch: number;
  readonly unit: '' | ' ms' | ' MB';
  /** NaN: not measured in this run. */
  readonly value: number;
}

export type Verdict = 'stretch met' | 'met' | 'MISSED' | 'not measured';

export function verdict({ atMost, required, stretch, value }: Target): Verdict {
  if (Number.isNaN(value)) return 'not measured';
  const within = (bound: number): boolean => (atMost ? value <= bound : value >= bound);
  return within(stretch) ? 'stretch met' : within(required) ? 'met' : 'MISSED';
}

export function targets({
  series,
  sidecars,
  startMs,
}: Pick<Results, 'series' | 'sidecars' | 'startMs'>): Target[] {
  const find = (cell: string, connections: number, contestant: string): Series | undefined =>
    series.find(
      (one) => one.cell.name === cell && one.connections === connections && one.contestant === contestant,
    );
  const ratio = (
    values: (series: Series) => number[],
    [cell, connections, other]: readonly [string, number, string],
  ): number => {
    const [own, its] = [find(cell, connections, 'ours'), find(cell, connections, other)];
    return own === undefined || its === undefined ? Number.NaN : median(values(own)) / median(values(its));
  };
  const cpu = (
    what: string,
    cell: readonly [string, number, string],
    required: number,
    stretch: number,
  ): Target => ({
    ...{ what, required, stretch, atMost: true, unit: '' },
    value: ratio(cpuOf, cell),
  });
  const rate = (
    what: string,
    cell: readonly [string, number, string],
    required: number,
    stretch: number,
  ): Target => ({
    ...{ what, required, stretch, atMost: false, unit: '' },
    value: ratio(ratesOf, cell),
  });
  const p99 = (contestant: string): number =>
    median(find('steady', 32, contestant)?.full.map(({ latencyMs }) => latencyMs?.p99 ?? Number.NaN) ?? []);
  const sidecar = sidecars.find(({ contestant }) => contestant === 'ours');
  const size = (what: string, bytes: number | undefined, required: number, stretch: number): Target => ({
    ...{ what, required, stretch, atMost: true, unit: ' MB' },
    value: bytes === undefined ? Number.NaN : bytes / 1e6,
  });
  return [
    cpu('plain HTTP/1, CPU per request, ours : HAProxy, 32 connections', ['plain', 32, 'haproxy'], 1.6, 1.3),
    cpu(
      'mTLS pair, CPU per request and hop, ours : HAProxy, 32 connections',
      ['mtls', 32, 'haproxy'],
      1.5,
      1.2,
    ),
    cpu('the same at 1 connection', ['mtls', 1, 'haproxy'], 1.6, 1.2),
    cpu(
      'mTLS pair, CPU per request and hop, ours : node:http2, 32 connections',
      ['mtls', 32, 'node'],
      0.33,
      0.25,
    ),
    {
      ...{
        what: 'p99 that the mTLS pair adds at 2,000 requests/s',
        required: 1.5,
        stretch: 1,
        atMost: true,
        unit: ' ms',
      },
      value: p99('ours') - p99('direct'),
    },
    rate('opaque TCP, throughput, ours : HAProxy, one proxy', ['tcp', 32, 'haproxy'], 0.95, 1),
    rate('opaque TCP, throughput, ours : HAProxy, mTLS pair', ['tcp-mtls', 32, 'haproxy'], 0.9, 1),
    cpu('opaque TCP, CPU per GB, ours : HAProxy, one proxy', ['tcp', 32, 'haproxy'], 1.15, 1),
    cpu('opaque TCP, CPU per GB, ours : HAProxy, mTLS pair', ['tcp-mtls', 32, 'haproxy'], 1.15, 1),
    rate('one stream at 80 ms round trip, ours : no proxy', ['rtt-80', 1, 'direct'], 0.8, 0.95),
    size('sidecar idle, private', sidecar?.idle.privateBytes, 26, 18),
    size('sidecar idle, resident', sidecar?.idle.residentBytes, 60, 50),
    size('sidecar with 1,000 connections under load, private', sidecar?.loaded.privateBytes, 40, 30),
    size('sidecar with 1,000 connections under load, resident', sidecar?.loaded.residentBytes, 75, 65),
    {
      ...{ what: 'start to ready', required: 250, stretch: 150, atMost: true, unit: ' ms' },
      value: median(startMs),
    },
  ];
}

export function targetTable(all: readonly Target[]): string {
  return [
    '| target | required | stretch | measured | |',
    '|---|---|---|---|---|',
    ...all.map((target) => {
      const { what, atMost, required, stretch, unit, value } = target;
      const sign = atMost ? '≤' : '≥';
      const digits = unit === '' ? 2 : 1;
      const measured = Number.isNaN(value) ? '–' : `${value.toFixed(digits)}${unit}`;
      return `| ${what} | ${sign} ${required}${unit} | ${sign} ${stretch}${unit} | ${measured} | ${verdict(target)} |`;
    }),
    '',
  ].join('\n');
}
