import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { seededRandom } from '@mesh/clock/seeded';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { Reconciler } from './controller.ts';

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
};

test('adds while a key waits are merged; an add while it runs leads to one more run', async () => {
  const clock = new FakeClock();
  let runs = 0;
  const gates: (() => void)[] = [];
  const queue = new Reconciler({
    name: 'test',
    clock,
    random: seededRandom(1),
    reconcile: async () => {
      runs++;
      await new Promise<void>((resolve) => gates.push(resolve));
    },
  });
  queue.add('a');
  queue.add('a');
  await settle();
  assert.equal(runs, 0, 'nothing runs before start');
  queue.start();
  queue.add('a');
  queue.add('a');
  assert.equal(runs, 1, 'a key never runs twice at once');
  gates.shift()?.();
  await settle();
  assert.equal(runs, 2);
  gates.shift()?.();
  await settle();
  assert.equal(runs, 2);
  assert.ok(queue.idle);
});

test('a failing key comes back with growing delays, alone, and starts over after a success', async () => {
  const clock = new FakeClock();
  const at: number[] = [];
  let healthy = 0;
  let broken = true;
  const queue = new Reconciler({
    name: 'test',
    clock,
    random: { next: () => 0.5 },
    retryBaseMs: 100,
    retryCapMs: 400,
    reconcile: async (key) => {
      if (key === 'good') {
        healthy++;
        return;
      }
      at.push(clock.now());
      if (broken) throw new Error('no');
    },
  });
  queue.start();
  queue.add('bad');
  queue.add('good');
  await settle();
  await clock.advanceAsync(2000, 10);
  assert.equal(healthy, 1);
  const gaps = at.slice(1).map((time, index) => time - (at[index] ?? 0));
  assert.deepEqual(gaps.slice(0, 4), [100, 200, 400, 400]);
  broken = false;
  await clock.advanceAsync(400, 10);
  assert.ok(queue.idle);
  assert.equal(clock.pending, 0);
});

test('requeueAfterMs looks again after that time, sooner when the key is added', async () => {
  const clock = new FakeClock();
  const at: number[] = [];
  const queue = new Reconciler({
    name: 'test',
    clock,
    random: seededRandom(1),
    reconcile: async () => {
      at.push(clock.now());
      return { requeueAfterMs: 1000 };
    },
  });
  queue.start();
  queue.add('a');
  await settle();
  await clock.advanceAsync(2500, 100);
  queue.add('a');
  await settle();
  await clock.advanceAsync(1000, 100);
  assert.deepEqual(at, [0, 1000, 2000, 2500, 3500]);
  await queue.stop();
  assert.equal(clock.pending, 0);
});

test('stop waits for what runs and starts nothing more', async () => {
  const clock = new FakeClock();
  let finish: () => void = () => {};
  const ran: string[] = [];
  const queue = new Reconciler({
    name: 'test',
    clock,
    random: seededRandom(1),
    concurrency: 1,
    reconcile: async (key) => {
      ran.push(key);
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
    },
  });
  queue.start();
  queue.add('a');
  queue.add('b');
  let stopped = false;
  const stop = queue.stop().then(() => {
    stopped = true;
  });
  await settle();
  assert.equal(stopped, false);
  finish();
  await stop;
  queue.add('c');
  await settle();
  assert.deepEqual(ran, ['a']);
});

type Step = { kind: 'change'; key: string } | { kind: 'advance'; ms: number } | { kind: 'turn' };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('change' as const), key: fc.constantFrom('a', 'b', 'c') }),
  fc.record({ kind: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 500 }) }),
  fc.record({ kind: fc.constant('turn' as const) }),
);

test('no update is lost, whatever the interleaving of changes, slow reconciles and failures', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer(),
      async (steps, concurrency, seed) => {
        const clock = new FakeClock();
        const chance = seededRandom(seed);
        const desired = new Map<string, number>();
        const written = new Map<string, number>();
        const busy = new Set<string>();
        let calm = false;
        const queue = new Reconciler({
          name: 'test',
          clock,
          random: chance,
          concurrency,
          retryBaseMs: 10,
          retryCapMs: 200,
          reconcile: async (key) => {
            assert.ok(!busy.has(key), 'one key never runs twice at once');
            assert.ok(busy.size < concurrency);
            busy.add(key);
            const read = desired.get(key) ?? 0;
            const turns = Math.floor(chance.next() * 4);
            for (let turn = 0; turn < turns; turn++) await Promise.resolve();
            if (turns === 3) await new Promise((resolve) => setImmediate(resolve));
            busy.delete(key);
            if (!calm && chance.next() < 0.3) throw new Error('flaky');
            written.set(key, read);
          },
        });
        queue.start();
        for (const move of steps) {
          if (move.kind === 'change') {
            desired.set(move.key, (desired.get(move.key) ?? 0) + 1);
            queue.add(move.key);
          } else if (move.kind === 'advance') {
            clock.advance(move.ms);
          } else {
            await new Promise((resolve) => setImmediate(resolve));
          }
        }
        calm = true;
        for (let turn = 0; turn < 100 && !queue.idle; turn++) await clock.advanceAsync(50);
        assert.ok(queue.idle);
        assert.deepEqual([...written].sort(), [...desired].sort());
      },
    ),
    { numRuns: 100 },
  );
});
