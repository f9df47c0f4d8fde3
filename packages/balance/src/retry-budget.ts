/**
 * How many retries are allowed: a share of the requests of the last `windowMs`, plus a floor per second, so that
 * retries can never multiply the load of a service that is down.
 */
import type { Clock } from '@mesh/clock/clock';

export interface RetryBudgetOptions {
  /** Retries per request, 0 to 1. */
  readonly ratio: number;
  readonly minPerSecond: number;
  readonly windowMs: number;
}

export const defaultRetryBudget: RetryBudgetOptions = { ratio: 0.2, minPerSecond: 10, windowMs: 10_000 };

const slots = 10;

export class RetryBudget {
  readonly #options: RetryBudgetOptions;
  readonly #clock: Clock;
  /** Requests × ratio − retries, per slot of the window. */
  readonly #balance: Float64Array = new Float64Array(slots);
  #slot = 0;
  /** Until when `#slot` is the current one. */
  #slotEndsAt = 0;
  #sum = 0;

  constructor(clock: Clock, options: RetryBudgetOptions = defaultRetryBudget) {
    this.#clock = clock;
    this.#options = options;
    this.#enter(this.#slotAt(clock.now()));
  }

  /** A first attempt was made. */
  deposit(now: number): void {
    this.#add(this.#options.ratio, now);
  }

  /** True, and counted, when a retry is allowed. */
  withdraw(): boolean {
    const now = this.#clock.now();
    this.#expire(now);
    const { minPerSecond, windowMs } = this.#options;
    if (this.#sum + (minPerSecond * windowMs) / 1000 < 1) return false;
    this.#add(-1, now);
    return true;
  }

  #add(amount: number, now: number): void {
    this.#expire(now);
    const index = this.#slot % slots;
    this.#balance[index] = (this.#balance[index] as number) + amount;
    this.#sum += amount;
  }

  #expire(now: number): void {
    if (now < this.#slotEndsAt) return;
    const current = this.#slotAt(now);
    const passed = Math.min(slots, current - this.#slot);
    for (let step = 1; step <= passed; step++) {
      const index = (this.#slot + step) % slots;
      this.#sum -= this.#balance[index] as number;
      this.#balance[index] = 0;
    }
    if (passed === slots) this.#sum = 0;
    this.#enter(current);
  }

  #enter(slot: number): void {
    this.#slot = slot;
    this.#slotEndsAt = ((slot + 1) * this.#options.windowMs) / slots;
  }

  #slotAt(now: number): number {
    return Math.floor((now * slots) / this.#options.windowMs);
  }
}
