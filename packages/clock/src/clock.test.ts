import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { pause, sleep } from './clock.ts';
import { systemClock } from './system.ts';

test('a pause that nobody cuts short lasts its time', async () => {
  const clock = new FakeClock();
  const { signal } = new AbortController();
  const paused = pause(clock, 500, signal);
  clock.advance(500);
  assert.equal(await paused, true);
});

test('an abort ends a pause at once, before it and in the middle of it, and a sleep by its reason', async () => {
  const clock = new FakeClock();
  const abort = new AbortController();
  const paused = pause(clock, 500, abort.signal);
  const slept = sleep(clock, 500, abort.signal);
  const reason = new Error('stopped');
  abort.abort(reason);
  assert.equal(await paused, false);
  await assert.rejects(slept, reason);
  assert.equal(await pause(clock, 500, abort.signal), false);
  assert.equal(clock.pending, 0);
});

test('a timer of the process that is longer than Node can count does not fire at once', async () => {
  let fired = 0;
  const timers = [2 ** 31, Number.POSITIVE_INFINITY].flatMap((ms) => [
    systemClock.after(ms, () => fired++),
    systemClock.every(ms, () => fired++),
  ]);
  await sleep(systemClock, 20);
  for (const timer of timers) timer.cancel();
  assert.equal(fired, 0);
});
