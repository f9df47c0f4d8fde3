import assert from 'node:assert/strict';
import test from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { beforeDate } from './date-timer.ts';

const hour = 3_600_000;

test('it is due once the time has passed, by whichever clock', () => {
  for (const [jumpMs, dueMs] of [
    [0, 24 * hour],
    [-5 * hour, 24 * hour],
    [5 * hour, 19 * hour],
    [30 * hour, 60_000],
  ] as const) {
    const clock = new FakeClock();
    let calls = 0;
    beforeDate(clock, 24 * hour, () => calls++);
    clock.jumpWall(jumpMs);
    clock.advance(dueMs - 1);
    assert.equal(calls, 0, `${jumpMs}`);
    clock.advance(1);
    assert.equal(calls, 1, `${jumpMs}`);
    assert.equal(clock.pending, 0);
  }
});

test('what is cancelled is not called, however far it has got', () => {
  const clock = new FakeClock();
  const timer = beforeDate(clock, hour, () => assert.fail('was called'));
  clock.advance(hour / 2);
  timer.cancel();
  assert.equal(clock.pending, 0);
});
