/** One timer for many periodic tasks of the same period, so that a process that does nothing wakes up rarely. */
import type { Clock, Timer } from '@mesh/clock/clock';

export class SharedTicker {
  readonly #clock: Clock;
  readonly #periodMs: number;
  readonly #tasks: Set<() => void> = new Set();
  #timer: Timer | undefined;

  constructor(clock: Clock, periodMs: number) {
    this.#clock = clock;
    this.#periodMs = periodMs;
  }

  /** Calls `task` every period until cancelled; the first time within one. */
  add(task: () => void): Timer {
    this.#tasks.add(task);
    this.#timer ??= this.#clock.every(this.#periodMs, () => this.#tick(), true);
    return {
      cancel: () => {
        this.#tasks.delete(task);
        if (this.#tasks.size > 0) return;
        this.#timer?.cancel();
        this.#timer = undefined;
      },
    };
  }

  get periodMs(): number {
    return this.#periodMs;
  }

  #tick(): void {
    for (const task of this.#tasks) task();
  }
}
