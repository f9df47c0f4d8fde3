import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@mesh/clock/seeded';
import { type Point, slopeOf } from './slope.ts';

const minuteMs = 60_000;

/** A value for each minute of an hour: `perHour` of growth, and noise of which a share stays for the next minute. */
function series(perHour: number, { seed, stays = 0 }: { seed: number; stays?: number }): Point[] {
  const random = seededRandom(seed);
  let noise = 0;
  return Array.from({ length: 60 }, (_, minute) => {
    noise = noise * stays + random.next() - 0.5;
    return { atMs: minute * minuteMs, value: 40 + (perHour * minute) / 60 + noise };
  });
}

test('a line without noise is found as it is', () => {
  const points = [0, 1, 2, 3, 4].map((minute) => ({ atMs: minute * minuteMs, value: 7 + minute / 10 }));
  const { perHour, marginPerHour } = slopeOf(points);
  assert.ok(Math.abs(perHour - 6) < 1e-9);
  assert.ok(marginPerHour < 1e-6);
});

for (const stays of [0, 0.8]) {
  test(`the interval holds the slope it was made with, noise ${stays === 0 ? 'independent' : 'that stays'}`, () => {
    let held = 0;
    const runs = 400;
    for (let seed = 1; seed <= runs; seed++) {
      const { perHour, marginPerHour } = slopeOf(series(2, { seed, stays }));
      if (Math.abs(perHour - 2) <= marginPerHour) held++;
    }
    // 95 % of independent noise; of noise that stays somewhat less, as its correlation is itself an estimate.
    assert.ok(held / runs >= (stays === 0 ? 0.92 : 0.85), `${held} of ${runs}`);
  });
}

test('too few points say nothing', () => {
  assert.ok(Number.isNaN(slopeOf(series(1, { seed: 1 }).slice(0, 3)).perHour));
});
