import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LoadResult } from '../load/load-result.ts';
import type { Overloaded } from './overload.ts';
import { isGood, markdown, reportOf } from './report.ts';

const latency = (p99: number): { p50: number; p99: number; p999: number } => ({ p50: 1, p99, p999: p99 });

function load(change: Partial<LoadResult> = {}): LoadResult {
  return {
    operations: 1000,
    failed: 0,
    seconds: 10,
    bytes: 0,
    latencyMs: latency(50),
    lateMs: latency(1),
    ...change,
  };
}

/** @param shed p99 of what the sidecar turned away, in each round */
function found(shed: readonly number[], change: Partial<Overloaded> = {}): Overloaded {
  return {
    peakPerSecond: 100,
    before: load({ shed: { count: 0, latencyMs: latency(Number.NaN) } }),
    rounds: shed.map((p99) => ({
      overload: load({ shed: { count: 2000, latencyMs: latency(p99) } }),
      control: load({ operations: 0, shed: { count: 3000, latencyMs: latency(20) } }),
      proxy: { busy: 0.1, waited: 0.05 },
    })),
    after: load({ shed: { count: 0, latencyMs: latency(Number.NaN) } }),
    ...change,
  };
}

function report(overloaded: Overloaded) {
  const machine = { cpu: 'a', cores: 2, memoryGiB: 4, kernel: 'k', node: '24', load: 0, commit: 'c' };
  const options = { rounds: overloaded.rounds.length, seconds: 10 };
  return reportOf(overloaded, { date: '2026-01-01T00:00:00Z', machine, options });
}

test('what the load generator sees without a proxy is not held against it', () => {
  const good = report(found([29, 29, 90]));
  assert.ok(isGood(good), markdown(good));
  assert.match(markdown(good), /median of rounds: 9\.0 ms/);
  assert.ok(!isGood(report(found([31, 31, 21]))));
});

for (const [what, change] of [
  ['an answer that is neither', { after: load({ failed: 1 }) }],
  ['less than is possible', { peakPerSecond: 120 }],
  ['a slow recovery', { after: load({ latencyMs: latency(70) }) }],
  ['someone turned away at half load', { after: load({ shed: { count: 1, latencyMs: latency(1) } }) }],
] as const) {
  test(`${what} is no good result`, () => assert.ok(!isGood(report(found([21, 21, 21], change)))));
}

test('one round is not timed', () => assert.ok(isGood(report(found([500])))));
