import assert from 'node:assert/strict';
import test from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { Notifier } from './notifier.ts';

test('changes of a short while are told once, and only to those concerned', () => {
  const clock = new FakeClock();
  const notifier = new Notifier({ clock, delayMs: 20 });
  const told: string[] = [];
  notifier.subscribe(['a', 'b'], () => told.push('ab'));
  const stop = notifier.subscribe(['b'], () => told.push('b'));
  notifier.mark('a');
  notifier.mark('b');
  notifier.mark('a');
  notifier.mark('c');
  assert.deepEqual(told, []);
  clock.advance(20);
  assert.deepEqual(told, ['ab', 'b']);
  notifier.mark('b');
  stop();
  clock.advance(20);
  assert.deepEqual(told, ['ab', 'b', 'ab']);
  clock.advance(1000);
  assert.equal(told.length, 3);
  assert.equal(clock.pending, 0);
});

test('a change made while telling is told in the next round', () => {
  const clock = new FakeClock();
  const notifier = new Notifier({ clock, delayMs: 20 });
  let count = 0;
  notifier.subscribe(['a'], () => {
    count++;
    if (count === 1) notifier.mark('a');
  });
  notifier.mark('a');
  clock.advance(20);
  assert.equal(count, 1);
  clock.advance(20);
  assert.equal(count, 2);
  notifier.mark('a');
  notifier.stop();
  clock.advance(20);
  assert.equal(count, 2);
});
