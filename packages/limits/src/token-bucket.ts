/** A token bucket: a burst, refilled with a tenth of it per second of the caller's clock. */
export class TokenBucket {
  readonly #burst: number;
  #tokens: number;
  #last: number;

  constructor(burst: number, now: number) {
    this.#burst = burst;
    this.#tokens = burst;
    this.#last = now;
  }

  /** Takes one token; false when there is none. `now` in monotonic milliseconds. */
  take(now: number): boolean {
    if (this.#tokens < this.#burst) {
      this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#last) * this.#burst) / 10_000);
    }
    this.#last = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Gives one token back for a sign of honest use. */
  give(): void {
    if (this.#tokens < this.#burst) this.#tokens += 1;
  }
}
