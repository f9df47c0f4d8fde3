import type { Latency } from './load-result.ts';

/** Every latency of a run, as it was: nothing is rounded into buckets. Bounded; what comes later is not kept. */
export class Latencies {
  readonly #values: Float64Array;
  #count = 0;

  constructor(capacity: number) {
    this.#values = new Float64Array(capacity);
  }

  get count(): number {
    return this.#count;
  }

  add(ms: number): void {
    if (this.#count < this.#values.length) this.#values[this.#count++] = ms;
  }

  /** With those that a client would have seen that sends every `expectedMs` and was held up by a long one (coordinated omission). */
  corrected(expectedMs: number): Latencies {
    const values = this.#values.subarray(0, this.#count);
    const corrected = new Latencies(Math.min(10 * this.#count, this.#values.length));
    for (const ms of values) {
      corrected.add(ms);
      for (let missed = ms - expectedMs; missed > expectedMs; missed -= expectedMs) corrected.add(missed);
    }
    return corrected;
  }

  /** NaN of none. */
  summary(): Latency {
    const sorted = this.#values.subarray(0, this.#count).sort();
    const at = (share: number): number =>
      sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
    return { p50: at(0.5), p99: at(0.99), p999: at(0.999) };
  }
}
