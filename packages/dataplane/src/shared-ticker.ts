/**
 * One timer for many periodic tasks of the same period, so that a process that does nothing wakes up rarely.
 *
 * A tick that is late does not put off the next one, as it would with `every`: on a busy machine thirty of them would take a tenth
 * longer. After a pause of a period or more there is one tick, not those that were missed.
 */
import type { Clock, Timer } from '@mesh/clock/clock';

export class SharedTicker {
  readonly #clock: Clock;
  readonly #periodMs: number;
  readonly #tasks: Set<() => void> = new Set();
  #timer: Timer | undefined;
  #dueAt = 0;

  constructor(clock: Clock, periodMs: number) {
    this.#clock = clock;
    this.#periodMs = periodMs;
  }

  /** Calls `task` every period until cancelled; the first time within one. */
  add(task: () => void): Timer {
    this.#tasks.add(task);
    if (this.#timer === undefined) this.#arm(this.#clock.now());
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

  #arm(lastDueAt: number): void {
    const now = this.#clock.now();
    const dueAt = lastDueAt + this.#periodMs;
    this.#dueAt = dueAt > now ? dueAt : now + this.#periodMs;
    this.#timer = this.#clock.after(this.#dueAt - now, () => this.#tick(), true);
  }

  #tick(): void {
    this.#arm(this.#dueAt);
    for (const task of this.#tasks) task();
  }
}
