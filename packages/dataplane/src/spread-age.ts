/** Ages of connections of one listener: those that came together, after a restart, must not all come again together each hour. */

/** The share of an age by which connections are asked to leave earlier, at most. */
const spread = 0.1;
/** Multiples of it, modulo 1, lie evenly however many there are (golden ratio). */
const step = (Math.sqrt(5) - 1) / 2;

export class SpreadAge {
  readonly #mostMs: number;
  #count = 0;

  /** @param mostMs the first has all of it, the others up to a tenth less */
  constructor(mostMs: number) {
    this.#mostMs = mostMs;
  }

  /** Milliseconds that the next connection lasts. */
  next(): number {
    return this.#mostMs * (1 - spread * ((this.#count++ * step) % 1));
  }
}
