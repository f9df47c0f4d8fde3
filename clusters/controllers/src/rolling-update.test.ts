import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nextSizes, rollingLimits, type SetView } from './rolling-update.ts';

test('surge rounds up, unavailability down, and never both are zero', () => {
  assert.deepEqual(rollingLimits(4, '25%', '25%'), { surge: 1, unavailable: 1 });
  assert.deepEqual(rollingLimits(10, '25%', '25%'), { surge: 3, unavailable: 2 });
  assert.deepEqual(rollingLimits(1, undefined, undefined), { surge: 1, unavailable: 0 });
  assert.deepEqual(rollingLimits(3, 0, 0), { surge: 0, unavailable: 1 });
  assert.deepEqual(rollingLimits(3, 0, 9), { surge: 0, unavailable: 3 });
});

interface World {
  replicas: number;
  surge: number;
  unavailable: number;
  old: number[];
  /** How many pods become available between two looks, drawn in turn. */
  luck: number[];
}

const world: fc.Arbitrary<World> = fc.record({
  replicas: fc.integer({ min: 1, max: 12 }),
  surge: fc.integer({ min: 0, max: 4 }),
  unavailable: fc.integer({ min: 0, max: 4 }),
  old: fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 3 }),
  luck: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 10 }),
});

test('from any state: bounds hold at each step, and the update ends when pods become available', () => {
  fc.assert(
    fc.property(world, ({ replicas, surge, unavailable, old, luck }) => {
      const limits = rollingLimits(replicas, surge, unavailable);
      const fresh: SetView = { name: 'fresh', wanted: 0, available: 0 };
      const sets: SetView[] = [
        fresh,
        ...old.map((wanted, index) => ({ name: `old-${index}`, wanted, available: wanted })),
      ];
      const total = (value: (set: SetView) => number): number =>
        sets.reduce((sum, set) => sum + value(set), 0);
      for (let step = 0; step < 400; step++) {
        const before = {
          wanted: total(({ wanted }) => wanted),
          available: total(({ available }) => available),
        };
        const sizes = nextSizes({ replicas, limits, fresh, old: sets.slice(1) });
        for (const set of sets) {
          set.wanted = sizes.get(set.name) ?? set.wanted;
          set.available = Math.min(set.available, set.wanted);
        }
        const least = Math.min(before.available, replicas - limits.unavailable);
        assert.ok(total(({ available }) => available) >= least, 'never below what is promised');
        assert.ok(
          total(({ wanted }) => wanted) <= Math.max(before.wanted, replicas + limits.surge),
          'never above',
        );
        const gain = step < luck.length ? (luck[step] ?? 0) : 1;
        fresh.available = Math.min(fresh.wanted, fresh.available + gain);
      }
      assert.deepEqual([fresh.wanted, fresh.available], [replicas, replicas]);
      assert.ok(sets.slice(1).every(({ wanted }) => wanted === 0));
    }),
  );
});
