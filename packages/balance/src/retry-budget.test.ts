import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
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

void test('a fifth of the requests of the window is allowed on top', () => {
  const clock = new FakeClock();
  const budget = new RetryBudget(clock);
  for (let request = 0; request < 1000; request++) budget.deposit(clock.now());
  const retries = drain(budget);
  assert.ok(retries >= 299 && retries <= 300, `${retries}`);
});
