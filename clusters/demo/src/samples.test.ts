import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstGoodAfter, parseLoadLine, quantile, type Sample, summarize } from './samples.ts';

const sample = (dueMs: number, latencyMs: number, status = 200, cluster = 'east'): Sample => ({
  dueMs,
  latencyMs,
  status,
  cluster,
});

test('a span counts failures, and latencies of good answers alone', () => {
  const span = summarize([sample(0, 1), sample(1, 3), sample(2, 5000, 504, ''), sample(3, 2, 200, 'west')]);
  assert.equal(span.requests, 4);
  assert.equal(span.failed, 1);
  assert.equal(span.success, 0.75);
  assert.equal(span.p50Ms, 2);
  assert.equal(span.p99Ms, 3);
  assert.deepEqual(span.clusters, [
    ['east', 2],
    ['west', 1],
  ]);
});

test('quantiles are nearest ranks', () => {
  const values = Array.from({ length: 100 }, (_, index) => index + 1);
  assert.equal(quantile(values, 0.5), 50);
  assert.equal(quantile(values, 0.99), 99);
  assert.equal(quantile([7], 0.99), 7);
  assert.ok(Number.isNaN(quantile([], 0.5)));
});

test('the first good answer counts from the fault, and only requests due after it', () => {
  const samples = [sample(90, 500), sample(110, 20, 503), sample(120, 60), sample(130, 40)];
  assert.equal(firstGoodAfter(samples, 100), 70);
  assert.equal(
    firstGoodAfter(samples, 100, ({ cluster }) => cluster === 'west'),
    undefined,
  );
});

test('log lines: timestamps before, other lines and cut lines', () => {
  assert.deepEqual(parseLoadLine('2026-01-01T00:00:00Z {"load":[[1,2,200,"east"]]}'), [sample(1, 2)]);
  assert.deepEqual(parseLoadLine('started'), []);
  assert.deepEqual(parseLoadLine('{"load":[[1,2,200,"ea'), []);
});
