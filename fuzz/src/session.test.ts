import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import { runSession, type SessionResult } from './session.ts';
import planted from './testing/planted-faults.ts';

async function fuzzed(name: string, hangMs: number, milliseconds = 120_000): Promise<SessionResult> {
  const target = planted.find((each) => each.name === name);
  assert.ok(target !== undefined);
  return runSession({
    clock: systemClock,
    target,
    targets: new URL('./testing/planted-faults.ts', import.meta.url).href,
    covers: /planted-faults/,
    seed: 1,
    milliseconds,
    hangMs,
    mostHeapMiB: 64,
  });
}

test('a fault behind four comparisons is found, and blamed on the input that did it', async () => {
  const { failure } = await fuzzed('planted-throw', 60_000);
  assert.equal(failure?.what, 'fault');
  assert.match(failure.detail, /the planted fault/);
  assert.equal(failure.input.toString('latin1', 0, 4), 'MESH');
});

test('a promise that rejects is a fault', async () => {
  const { failure } = await fuzzed('planted-rejection', 60_000);
  assert.equal(failure?.what, 'fault');
  assert.equal(failure.input[3], 0xff);
});

test('an input that never returns is a failure', async () => {
  const { failure } = await fuzzed('planted-hang', 2500);
  assert.equal(failure?.what, 'hang');
  assert.equal(failure.input[0], 0x4d);
});

test('an input that makes memory grow without end is a failure', async () => {
  const { failure } = await fuzzed('planted-growth', 60_000);
  assert.equal(failure?.what, 'memory');
  assert.equal(failure.input[0], 0x4d);
});
