import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isoTime } from './iso-time.ts';

/** Of the years 0 and 9999. */
const first = Date.UTC(2000, 0, 1) - 730_485 * 86_400_000;
const last = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

test('a moment is written as Date writes it', () => {
  fc.assert(
    fc.property(fc.integer({ min: first, max: last }), (wallMs) => {
      assert.equal(isoTime(wallMs), new Date(wallMs).toISOString());
    }),
    { numRuns: 2000 },
  );
});

test('so is each day of four centuries, leap days among them', () => {
  for (let day = 0; day <= 146_097; day++) {
    const wallMs = day * 86_400_000 + 86_399_999;
    if (isoTime(wallMs) !== new Date(wallMs).toISOString()) assert.fail(`${isoTime(wallMs)} is wrong`);
  }
});

test('fractions of a millisecond are cut', () => {
  assert.equal(isoTime(1_764_088_200_123.9), '2025-11-25T16:30:00.123Z');
});
