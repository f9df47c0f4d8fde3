import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Death } from './dead-peers-stage.ts';
import type { Sample } from './load-main.ts';
import { outcomeOf } from './outcome.ts';
import { isGood, markdown, type Report } from './report.ts';

const diedAt = 10_000;
const sample = (at: number, ms: number, status = 200): Sample => ({
  at: diedAt + at,
  ms,
  status,
  waits: false,
});

test('a gateway is left when the last request that it took along has ended', () => {
  const outcome = outcomeOf(
    [
      sample(-50, 5),
      sample(-40, 3, 502),
      sample(-3, 1400, 502),
      sample(20, 30),
      sample(60, 1300, 502),
      sample(90, 700),
      { ...sample(3000, 1), status: 0, waits: true },
    ],
    diedAt,
  );
  assert.deepEqual(outcome, { leftAfterMs: 1397, firstGoodMs: 50, sent: 3, failed: 2, slowestGoodMs: 700 });
});

test('a gateway that is never left is seen by those who wait for it', () => {
  const waits = { at: diedAt + 5, ms: 3000, status: 0, waits: true };
  assert.equal(outcomeOf([waits], diedAt).leftAfterMs, 3005);
});

function report(death: Death, roundTripMs: number, leftAfterMs: number, firstGoodMs = 5): Report {
  const machine = { cpu: 'a', cores: 2, memoryGiB: 4, kernel: 'k', node: '24', load: 0, commit: 'c' };
  const outcome = { leftAfterMs, firstGoodMs, sent: 10, failed: 1, slowestGoodMs: 7 };
  const found = [{ death, roundTripMs, outcomes: [outcome, { ...outcome, leftAfterMs: 4 }] }];
  return { date: '2026-01-01T00:00:00Z', machine, options: { repeats: 2, rate: 200 }, found };
}

test('one death beyond the bound is no good result', () => {
  assert.ok(isGood(report('killed', 0, 300)));
  assert.ok(!isGood(report('killed', 0, 301)));
  assert.ok(isGood(report('gone', 200, 1700)), 'half a round trip, and 100 ms of the machine');
  assert.ok(!isGood(report('gone', 200, 1701)));
  assert.ok(isGood(report('stopped', 400, 2700)), 'six round trips');
  assert.ok(!isGood(report('killed', 0, 5, Number.POSITIVE_INFINITY)), 'nobody answers');
  assert.ok(!isGood({ ...report('killed', 0, 5), found: [] }));
  assert.match(markdown(report('killed', 0, 301)), /\| 153 \(4–301\) \| 300 \| .* \| \*\*MISSED\*\* \|/);
});
