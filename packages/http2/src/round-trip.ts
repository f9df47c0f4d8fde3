const leastPauseMs = 100;
const mostPauseMs = 10_000;

/**
 * The shortest round trip of a connection: by its first SETTINGS, and by PING while data arrives. Queues on the way lengthen a round trip, and a
 * window that follows them would only lengthen the queues; a connection lives an hour at most, so that the next one
 * learns a route that became slower. PINGs are spaced out, 100 ms to 10 s, so that peers that count them see few.
 */
export class RoundTrip {
  #shortestMs = 0;
  #sentAt: number | undefined;
  #notBefore = Number.NEGATIVE_INFINITY;
  #pauseMs = leastPauseMs;

  /** Milliseconds; 0 until one was measured. */
  get ms(): number {
    return this.#shortestMs;
  }

  /** True when a PING is to be sent now. */
  begin(now: number): boolean {
    if (this.#sentAt !== undefined || now < this.#notBefore) return false;
    this.#sentAt = now;
    return true;
  }

  /** The answer to that PING. An answer to none is ignored. */
  end(now: number): void {
    if (this.#sentAt === undefined) return;
    const ms = now - this.#sentAt;
    this.#sentAt = undefined;
    this.observe(ms);
    this.#notBefore = now + this.#pauseMs;
    this.#pauseMs = Math.min(mostPauseMs, this.#pauseMs * 2);
  }

  /** Something else went there and back in `ms`. */
  observe(ms: number): void {
    this.#shortestMs = this.#shortestMs === 0 ? ms : Math.min(this.#shortestMs, ms);
  }
}
