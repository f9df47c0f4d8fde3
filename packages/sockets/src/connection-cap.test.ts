import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectionsThatFit, openFileLimit } from './connection-cap.ts';

test('a cap is as large as it is set, or as the open files allow two of for each connection', () => {
  assert.equal(connectionsThatFit(10_000, 2, 1_048_576), 10_000);
  assert.equal(connectionsThatFit(10_000, 2, Number.POSITIVE_INFINITY), 10_000);
  assert.equal(connectionsThatFit(10_000, 2, 4096), 1008);
  assert.equal(connectionsThatFit(10_000, 1, 4096), 2016);
  assert.equal(connectionsThatFit(10_000, 2, 10), 1, 'never none at all');
  assert.ok(openFileLimit() > 64);
});
