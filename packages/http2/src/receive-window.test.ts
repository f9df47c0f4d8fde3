import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LimitLedger } from '@mesh/limits/limits';
import { http2Limits } from './limits.ts';
import { ReceiveWindow } from './receive-window.ts';
import { WindowBudget } from './window-budget.ts';

const start = 100_000;
const owedBytes = 50_000;

/** The window beside what a peer and readers may do; amounts are cut to what is possible. */
class Model {
  readonly budget: WindowBudget = new WindowBudget(
    new LimitLedger(http2Limits, { http2_window_budget_bytes: 1_000_000 }),
  );
  readonly window: ReceiveWindow = new ReceiveWindow({ windowBytes: start, owedBytes, budget: this.budget });
  /** What the peer may still send. */
  credit = 65_535 + this.window.takeAll();
  owed = 0;
  grown = 0;

  send(bytes: number, taken: boolean): void {
    const sent = Math.min(bytes, this.credit);
    this.credit -= sent;
    assert.ok(this.window.arrived(sent));
    if (taken) {
      this.window.delivered(sent);
      this.owed += sent;
    } else {
      this.window.dropped(sent);
    }
    this.credit += this.window.takeUpdate();
  }

  consume(bytes: number): void {
    const given = Math.min(bytes, this.owed);
    this.owed -= given;
    this.window.consumed(given);
    this.credit += this.window.takeUpdate();
  }

  grow(bytes: number): void {
    this.grown += this.window.grow(bytes);
    this.credit += this.window.takeUpdate();
  }

  shrink(bytes: number): void {
    const less = Math.min(bytes, this.grown);
    this.grown -= less;
    this.window.shrink(less);
  }
}

const amount = fc.integer({ min: 0, max: 200_000 });
const step = fc.oneof(
  fc.tuple(fc.constant('send' as const), amount),
  fc.tuple(fc.constant('drop' as const), amount),
  fc.tuple(fc.constant('consume' as const), amount),
  fc.tuple(fc.constant('grow' as const), amount),
  fc.tuple(fc.constant('shrink' as const), amount),
);

test('what a peer can make us hold is the window, what may be owed, and what the budget granted', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const model = new Model();
      for (const [kind, bytes] of steps) {
        if (kind === 'send' || kind === 'drop') model.send(bytes, kind === 'send');
        else model[kind](bytes);
        assert.ok(model.budget.used >= model.grown, 'the budget lacks what was granted');
        assert.ok(model.owed + model.credit <= start + owedBytes + model.budget.used);
        // Readers that owe more than they may are waited for, and for nothing else.
        const withheld = Math.max(0, model.owed - owedBytes);
        assert.ok(model.credit * 2 >= start - withheld, `${model.credit} left, ${withheld} withheld`);
      }

      // Everything is read and nothing grows any more: as the peer sends on, all of the budget comes back.
      model.shrink(model.grown);
      model.consume(model.owed);
      for (let round = 0; round < 100; round++) {
        model.send(20_000, true);
        model.consume(model.owed);
      }
      assert.equal(model.budget.used, 0);
      assert.ok(model.credit > start / 2 && model.credit <= start, `${model.credit} left to the peer`);
    }),
    { numRuns: 300 },
  );
});

test('a connection that ends gives all back', () => {
  const { window, budget } = new Model();
  window.grow(100_000);
  window.shrink(40_000);
  assert.ok(budget.used > 0);
  window.close();
  window.close();
  assert.equal(budget.used, 0);
});
