import type { Clock } from '@mesh/clock/clock';

interface Bucket {
  tokens: number;
  at: number;
}

export interface RateOptions {
  clock: Clock;
  /** Refill; also the burst. */
  perMinute: number;
  /** Keys that are remembered; beyond it the least recently used one is forgotten. */
  maxEntries: number;
  /** A key had to be forgotten for another. */
  onForgotten?: () => void;
}

/** One token bucket per key, at most `maxEntries` of them. */
export class RateLimiter {
  readonly #options: RateOptions;
  readonly #buckets: Map<string, Bucket> = new Map();

  constructor(options: RateOptions) {
    this.#options = options;
  }

  /** Takes one token; false when there is none. */
  take(key: string): boolean {
    const { clock, perMinute, maxEntries } = this.#options;
    const now = clock.now();
    const bucket = this.#buckets.get(key) ?? { tokens: perMinute, at: now };
    bucket.tokens = Math.min(perMinute, bucket.tokens + ((now - bucket.at) / 60_000) * perMinute);
    bucket.at = now;
    // Moved to the end, so that the first entry is the least recently used one.
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > maxEntries) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
      this.#options.onForgotten?.();
    }
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }
}
