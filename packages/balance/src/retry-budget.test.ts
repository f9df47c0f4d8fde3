import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
import fc from 'fast-check';
import { RetryBudget } from './retry-budget.ts';

function drain(budget: RetryBudget): number {
  let retries = 0;
  while (retries < 10_000 && budget.withdraw()) retries++;
  return retries;
}

void test('without traffic the floor alone is allowed, again after the window', () => {
  const clock = new FakeClock();
  const budget = new RetryBudget(clock);
  assert.equal(drain(budget), 100);
  clock.advance(5000);
  assert.equal(drain(budget), 0);
  clock.advance(5000);
  assert.equal(drain(budget), 100);
});

void test('a tenth of the requests of the window is allowed where that is more', () => {
  const clock = new FakeClock();
  const budget = new RetryBudget(clock);
  for (let request = 0; request < 3000; request++) budget.deposit(clock.now());
  assert.equal(drain(budget), 300);
});

void test('whatever the traffic, retries of any window stay within a tenth of its requests, or the floor', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ requests: fc.nat(400), retries: fc.nat(400) }), { maxLength: 40 }),
      (seconds) => {
        const clock = new FakeClock();
        const budget = new RetryBudget(clock);
        const granted: number[] = [];
        for (const { requests, retries } of seconds) {
          for (let request = 0; request < requests; request++) budget.deposit(clock.now());
          let allowed = 0;
          for (let retry = 0; retry < retries; retry++) if (budget.withdraw()) allowed++;
          granted.push(allowed);
          clock.advance(1000);
        }
        for (let end = 0; end < granted.length; end++) {
          const window = (values: number[]) =>
            values.slice(Math.max(0, end - 9), end + 1).reduce((sum, value) => sum + value, 0);
          // What was granted early in a window was earned by requests that have left it since.
          const earned = Math.max(
            100,
            ...granted.slice(Math.max(0, end - 9), end + 1).map((_, back) => {
              const at = Math.max(0, end - 9) + back;
              return (
                seconds.slice(Math.max(0, at - 9), at + 1).reduce((sum, { requests }) => sum + requests, 0) /
                10
              );
            }),
          );
          assert.ok(window(granted) <= earned);
        }
      },
    ),
  );
});
