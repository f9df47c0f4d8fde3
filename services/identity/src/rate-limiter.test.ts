import assert from 'node:assert/strict';
import test from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { RateLimiter } from './rate-limiter.ts';

test('a burst, then the rate', () => {
  const clock = new FakeClock();
  const limiter = new RateLimiter({ clock, perMinute: 6, maxEntries: 10 });
  const takes = (): number => Array.from({ length: 20 }, () => limiter.take('a')).filter(Boolean).length;
  assert.equal(takes(), 6);
  clock.advance(10_000);
  assert.equal(takes(), 1);
  clock.advance(600_000);
  assert.equal(takes(), 6);
  assert.equal(limiter.take('b'), true);
});

test('the least recently used key is forgotten first', () => {
  const limiter = new RateLimiter({ clock: new FakeClock(), perMinute: 1, maxEntries: 2 });
  limiter.take('a');
  limiter.take('b');
  limiter.take('a');
  limiter.take('c');
  assert.equal(limiter.take('a'), false, 'a was used after b and is remembered');
  assert.equal(limiter.take('b'), true, 'b was forgotten');
});
