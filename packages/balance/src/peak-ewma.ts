/**
 * Round-trip estimate that takes peaks at once and forgets them slowly.
 *
 * A sample above the estimate replaces it; a lower one is blended in with weight 1 − e^(−elapsed ÷ decay). Reading
 * decays the estimate too, so that an endpoint that was slow once is tried again without a sample.
 */
export interface PeakEwmaOptions {
  /** Estimate before the first sample, ms. */
  readonly defaultRttMs: number;
  /** Time constant, ms: after this long an unused estimate has fallen to 37 %. */
  readonly decayMs: number;
}

export const defaultPeakEwma: PeakEwmaOptions = { defaultRttMs: 30, decayMs: 10_000 };

export class PeakEwma {
  readonly #decayMs: number;
  #rttMs: number;
  #at: number;

  constructor({ defaultRttMs, decayMs }: PeakEwmaOptions, now: number) {
    this.#decayMs = decayMs;
    this.#rttMs = defaultRttMs;
    this.#at = now;
  }

  observe(rttMs: number, now: number): void {
    if (rttMs >= this.#rttMs) {
      this.#rttMs = rttMs;
    } else {
      const kept = Math.exp((this.#at - now) / this.#decayMs);
      this.#rttMs = rttMs + (this.#rttMs - rttMs) * kept;
    }
    this.#at = now;
  }

  /** Estimate at `now`, ms; above 0. */
  read(now: number): number {
    return now <= this.#at ? this.#rttMs : this.#rttMs * Math.exp((this.#at - now) / this.#decayMs);
  }
}
