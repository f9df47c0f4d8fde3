/** How much of our API server's time a peer may take: so many writes in a row, and so many a second in the long run. */
import type { Clock } from '@mesh/clock/clock';

export interface WriteBudgetOptions {
  readonly burst: number;
  readonly perSecond: number;
}

export class WriteBudget {
  readonly #clock: Clock;
  readonly #options: WriteBudgetOptions;
  #left: number;
  #at: number;

  constructor(clock: Clock, options: WriteBudgetOptions) {
    this.#clock = clock;
    this.#options = options;
    this.#left = options.burst;
    this.#at = clock.now();
  }

  /** Something was written, whether or not there was something left. */
  spend(): void {
    this.#refill();
    this.#left--;
  }

  /** Milliseconds until the next write; 0 for now. */
  get waitMs(): number {
    this.#refill();
    return this.#left > 0 ? 0 : ((1 - this.#left) * 1000) / this.#options.perSecond;
  }

  #refill(): void {
    const now = this.#clock.now();
    const { burst, perSecond } = this.#options;
    this.#left = Math.min(burst, this.#left + ((now - this.#at) * perSecond) / 1000);
    this.#at = now;
  }
}
