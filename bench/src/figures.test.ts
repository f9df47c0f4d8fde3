import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { benchArguments } from './arguments.ts';
import { cells } from './cells.ts';
import { chart } from './chart.ts';
import { choose } from './choose.ts';
import { summary } from './load/h2load.ts';
import { differences } from './cross-check.ts';
import { Latencies } from './load/latencies.ts';
import { cpuOfHops, type Sample } from './measure.ts';
import { median } from './median.ts';
import { cpuMicros, memoryUse, processTree } from './process-usage.ts';
import { tables } from './report.ts';
import type { Series } from './run.ts';
import { targets, verdict } from './targets.ts';

function sample(cpu: readonly number[], operations = 1000): Sample {
  const hops = cpu.map((micros, index) => ({
    name: index === 0 ? ('outbound' as const) : ('inbound' as const),
    cpuMicros: micros * operations,
    privateBytes: 20e6,
    residentBytes: 50e6,
  }));
  return { operations, failed: 0, seconds: 2, bytes: 0, latencyMs: { p50: 1, p99: 2, p999: 3 }, hops };
}

function series(cell: string, contestant: string, full: Sample[]): Series {
  const found = cells.find(({ name }) => name === cell);
  assert.ok(found);
  return { cell: found, connections: 32, contestant, title: contestant, full, half: [] };
}

test('percentiles are values that were measured, by nearest rank', () => {
  const latencies = new Latencies(1000);
  for (let value = 1000; value >= 1; value--) latencies.add(value);
  latencies.add(5000);
  assert.equal(latencies.count, 1000);
  assert.deepEqual(latencies.summary(), { p50: 500, p99: 990, p999: 999 });
});

test('medians of odd, even and no values', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.ok(Number.isNaN(median([])));
});

test("h2load's log: failures are counted and have no latency", () => {
  const log = '1700000000000001\t200\t1500\n1700000000000002\t-1\t9\n1700000000000003\t503\t9\n';
  const { operations, failed, latencyMs } = summary(log, 1);
  assert.deepEqual({ operations, failed, p99: latencyMs?.p99 }, { operations: 1, failed: 2, p99: 1.5 });
});

test('CPU time is shared among all requests that were carried, those of the warm-up, too', () => {
  assert.deepEqual(cpuOfHops(sample([40, 60]), 'request'), [40, 60]);
  assert.deepEqual(cpuOfHops({ ...sample([40, 60]), warmUp: 1000 }, 'request'), [20, 30]);
});

test("ratios are of medians, and of the mean of a pair's hops", () => {
  const ours = series('mtls', 'ours', [sample([40, 60]), sample([44, 66]), sample([400, 600])]);
  const haproxy = series('mtls', 'haproxy', [sample([20, 30])]);
  const text = tables([ours, haproxy]);
  assert.match(
    text,
    /\| ours \| 500 .*\| 55\.0 \(50\.0–500\.0\) \| outbound 44\.0, inbound 66\.0 \| 1\.00 \|/,
  );
  assert.match(text, /\| haproxy \|.*\| 2\.20 \|/);
  const found = targets({ series: [ours, haproxy], sidecars: [], startMs: [100, 200, 300] });
  const ratio = found.find(({ what }) =>
    what.startsWith('mTLS pair, CPU per request and hop, ours : HAProxy'),
  );
  assert.ok(ratio);
  assert.ok(Math.abs(ratio.value - 2.2) < 1e-9);
  assert.equal(verdict(ratio), 'MISSED');
  const verdicts = Object.fromEntries(found.map((target) => [target.what, verdict(target)]));
  assert.equal(verdicts['start to ready'], 'met');
  assert.equal(verdicts['sidecar idle, private'], 'not measured');
});

test('at most and at least', () => {
  const bound = { what: '', required: 1.5, stretch: 1.2, unit: '' } as const;
  const verdicts = (atMost: boolean): string[] =>
    [1, 1.2, 1.5, 1.6, Number.NaN].map((value) => verdict({ ...bound, atMost, value }));
  assert.deepEqual(verdicts(true), ['stretch met', 'stretch met', 'met', 'MISSED', 'not measured']);
  assert.equal(verdict({ ...bound, required: 0.8, stretch: 0.95, atMost: false, value: 0.9 }), 'met');
});

test('failed requests are not hidden', () => {
  const text = tables([series('mtls', 'ours', [{ ...sample([40, 60]), failed: 3 }])]);
  assert.match(text, /ours \(\*\*3 failed\*\*\)/);
});

test('a repeat without any answer is said, and spoils no median', () => {
  const text = tables([series('mtls', 'ours', [sample([40, 60]), { ...sample([40, 60]), operations: 0 }])]);
  assert.match(text, /ours \(\*\*nothing was answered in 1 of 2 repeats\*\*\) .*\| 50\.0 \(50\.0–50\.0\) \|/);
  assert.doesNotMatch(text, /Infinity|NaN/);
});

test('the chart has a bar for each that was measured, the longest for the most', () => {
  const svg = chart([
    series('mtls', 'ours', [sample([40, 60])]),
    series('mtls', 'haproxy', [sample([20, 30])]),
    series('body-64k', 'ours', [sample([900, 900])]),
  ]);
  const bars = Array.from(svg.matchAll(/<rect x="\d+" .*?width="([\d.]+)"/g), ([, width]) => Number(width));
  assert.equal(bars.length, 2);
  assert.equal(bars[0], 2 * (bars[1] ?? 0));
  assert.match(svg, /25\.0 µs, ours is 2\.00 ×/);
});

test('a process is charged for what it computes', () => {
  const before = cpuMicros(process.pid);
  const start = process.cpuUsage();
  while (process.cpuUsage(start).user < 60_000);
  const used = cpuMicros(process.pid) - before;
  assert.ok(used >= 40_000, `${used} µs`);
  assert.deepEqual(processTree(process.pid)[0], process.pid);
  const { privateBytes, residentBytes } = memoryUse(process.pid);
  assert.ok(privateBytes > 1e6 && residentBytes > privateBytes);
});

test('arguments: everything by default, less when asked, faults named', () => {
  assert.deepEqual(benchArguments([]), {
    cells: undefined,
    only: undefined,
    connections: undefined,
    seconds: 2,
    repeats: 3,
    decidingRepeats: 5,
    warmUpSeconds: 3,
    half: true,
    out: resolve(import.meta.dirname, '../results'),
  });
  const some = benchArguments(['--cells', 'plain,mtls', '--connections', '1,32', '--only', 'ours']);
  assert.deepEqual(some.cells, ['plain', 'mtls']);
  assert.deepEqual(some.connections, [1, 32]);
  assert.equal(some.out, undefined);
  assert.throws(() => benchArguments(['--seconds', '0']), /--seconds 0/);
  assert.throws(() => benchArguments(['--fast']), /--fast/);
  assert.throws(() => choose('cell', cells, ['nothing']), /there is no cell nothing/);
});

test('a closed loop is charged for the requests that it would have sent during a long one', () => {
  const latencies = new Latencies(1000);
  for (const ms of [1, 1, 1, 10]) latencies.add(ms);
  const { count } = latencies.corrected(2);
  assert.equal(count, 4 + 3, 'beside the 10 ms those of 8, 6 and 4');
  assert.equal(latencies.corrected(2).summary().p99, 10);
  assert.equal(latencies.corrected(20).count, 4);
});

test('two load generators see the same within the tolerance of each figure', () => {
  const theirs = { rate: 1000, p50: 1, p99: 4 };
  assert.deepEqual(differences({ theirs, ours: { rate: 1090, p50: 0.8, p99: 1.4 } }), []);
  assert.deepEqual(differences({ theirs, ours: { rate: 1120, p50: 0.7, p99: 1.3 } }), ['rate', 'p50', 'p99']);
  assert.deepEqual(differences({ theirs, ours: { ...theirs, p50: Number.NaN } }), ['p50']);
});
