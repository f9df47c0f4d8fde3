import type { Clock, Timer } from '@mesh/clock/clock';

export interface DeadlineOwner {
  onDeadline(): void;
}

/**
 * One deadline of one connection that moves often and passes rarely. Moving it later costs a clock reading: the timer
 * that runs already looks again when it fires.
 */
export class Deadline {
  readonly #clock: Clock;
  readonly #owner: DeadlineOwner;
  #at = Number.POSITIVE_INFINITY;
  #timerAt = Number.POSITIVE_INFINITY;
  #timer: Timer | undefined = undefined;
  readonly #onTimer = (): void => {
    this.#timer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
    if (this.#at === Number.POSITIVE_INFINITY) return;
    const left = this.#at - this.#clock.now();
    if (left > 0) {
      this.#start(left);
      return;
    }
    this.#at = Number.POSITIVE_INFINITY;
    this.#owner.onDeadline();
  };

  constructor(clock: Clock, owner: DeadlineOwner) {
    this.#clock = clock;
    this.#owner = owner;
  }

  /** `delayMs` from now, instead of the former deadline. */
  set(delayMs: number): void {
    this.#at = this.#clock.now() + delayMs;
    if (this.#at >= this.#timerAt) return;
    this.#timer?.cancel();
    this.#start(delayMs);
  }

  /** No deadline. The timer may still fire once, to no effect. */
  clear(): void {
    this.#at = Number.POSITIVE_INFINITY;
  }

  /** Stops the timer for good. */
  close(): void {
    this.clear();
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
  }

  #start(delayMs: number): void {
    this.#timerAt = this.#at;
    this.#timer = this.#clock.after(delayMs, this.#onTimer, true);
  }
}
