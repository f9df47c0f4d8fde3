import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultPeakEwma, PeakEwma } from './peak-ewma.ts';

void test('a peak counts at once and is forgotten over the decay time', () => {
  const ewma = new PeakEwma(defaultPeakEwma, 0);
  assert.equal(ewma.read(0), 30);
  ewma.observe(200, 0);
  assert.equal(ewma.read(0), 200);
  ewma.observe(10, 10_000);
  const blended = ewma.read(10_000);
  assert.ok(Math.abs(blended - (10 + 190 / Math.E)) < 1e-9);
});

void test('reading decays without a sample', () => {
  const ewma = new PeakEwma(defaultPeakEwma, 0);
  ewma.observe(100, 0);
  assert.ok(Math.abs(ewma.read(10_000) - 100 / Math.E) < 1e-9);
});
