/**
 * How many retries are allowed: a share of the requests of the last `windowMs`, or a few per second where that is more, so that
 * retries can never multiply the load of a service that is down, and a rare request can still be sent again.
 */
import type { Clock } from '@mesh/clock/clock';

export interface RetryBudgetOptions {
  /** Retries per request, 0 to 1. */
  readonly ratio: number;
  readonly minPerSecond: number;
  readonly windowMs: number;
}

/** A service that refuses everything is asked at most 1.1 times as often as its clients ask. */
const defaultRetryBudget: RetryBudgetOptions = { ratio: 0.1, minPerSecond: 10, windowMs: 10_000 };

const slots = 10;

export class RetryBudget {
  readonly #options: RetryBudgetOptions;
  readonly #clock: Clock;
  /** Requests and retries, each per slot of the window and in sum. */
  readonly #requests: Float64Array = new Float64Array(slots);
  readonly #retries: Float64Array = new Float64Array(slots);
  #requestSum = 0;
  #retrySum = 0;
  #slot = 0;
  /** Until when `#slot` is the current one. */
  #slotEndsAt = 0;

  constructor(clock: Clock, options: RetryBudgetOptions = defaultRetryBudget) {
    this.#clock = clock;
    this.#options = options;
    this.#enter(this.#slotAt(clock.now()));
  }

  /** A first attempt was made. */
  deposit(now: number): void {
    this.#expire(now);
    const index = this.#slot % slots;
    this.#requests[index] = (this.#requests[index] as number) + 1;
    this.#requestSum++;
  }

  /** True, and counted, when a retry is allowed. */
  withdraw(): boolean {
    this.#expire(this.#clock.now());
    const { minPerSecond, ratio, windowMs } = this.#options;
    const allowed = Math.max((minPerSecond * windowMs) / 1000, ratio * this.#requestSum);
    if (this.#retrySum + 1 > allowed) return false;
    const index = this.#slot % slots;
    this.#retries[index] = (this.#retries[index] as number) + 1;
    this.#retrySum++;
    return true;
  }

  #expire(now: number): void {
    if (now < this.#slotEndsAt) return;
    const current = this.#slotAt(now);
    const passed = Math.min(slots, current - this.#slot);
    for (let step = 1; step <= passed; step++) {
      const index = (this.#slot + step) % slots;
      this.#requestSum -= this.#requests[index] as number;
      this.#retrySum -= this.#retries[index] as number;
      this.#requests[index] = 0;
      this.#retries[index] = 0;
    }
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
