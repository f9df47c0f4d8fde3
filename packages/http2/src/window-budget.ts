import type { Http2Limits } from './limits.ts';

/** Less is not worth a WINDOW_UPDATE. */
const leastGrantBytes = 16_384;

/**
 * What all connections of a process together may add to their windows (docs/flow-control.md): bytes that peers may
 * send and no reader takes. One asker gets at most a quarter of what is left, so that the first few never take all.
 */
export class WindowBudget {
  readonly #limits: Http2Limits;
  #used = 0;

  constructor(limits: Http2Limits) {
    this.#limits = limits;
  }

  /** Bytes granted and not given back. */
  get used(): number {
    return this.#used;
  }

  get left(): number {
    return this.#limits.values.http2_window_budget_bytes - this.#used;
  }

  /** Grants up to `bytes`, or 0. */
  take(bytes: number): number {
    const share = this.left >>> 2;
    if (bytes > share) this.#limits.hit('http2_window_budget_bytes');
    const granted = Math.min(bytes, share);
    if (granted < leastGrantBytes) return 0;
    this.#used += granted;
    return granted;
  }

  give(bytes: number): void {
    this.#used -= bytes;
  }
}
