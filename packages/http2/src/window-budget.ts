import type { Http2Limits } from './limits.ts';

/** Less is not worth a WINDOW_UPDATE. */
const leastGrantBytes = 16_384;

/**
 * What all connections of a process together may add to their windows (docs/flow-control.md): bytes that peers may
 * send and no reader takes; and what they return before a reader took it. One asker gets at most a quarter of what is left, so that the first few never take all.
 * And the header lists of requests that are more than a connection may hold of its own.
 */
export class WindowBudget {
  readonly #limits: Http2Limits;
  #used = 0;
  #owed = 0;
  #heads = 0;

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

  /** Bytes of all connections that were returned to their peers although no reader has taken them. */
  get owed(): number {
    return this.#owed;
  }

  /** Of `bytes` that arrived for readers, how many may be returned at once; `settle` once they are taken. */
  advance(bytes: number): number {
    const left = this.#limits.values.http2_owed_budget_bytes - this.#owed;
    if (bytes > left) this.#limits.hit('http2_owed_budget_bytes');
    const advanced = Math.min(bytes, left);
    this.#owed += advanced;
    return advanced;
  }

  settle(bytes: number): void {
    this.#owed -= bytes;
  }

  /** Header lists, in bytes, that connections hold beyond their own share. */
  get heads(): number {
    return this.#heads;
  }

  /** Room for `bytes` more of them, all or nothing; `giveHeads` gives it back. */
  takeHeads(bytes: number): boolean {
    if (this.#heads + bytes > this.#limits.values.http2_head_budget_bytes) {
      this.#limits.hit('http2_head_budget_bytes');
      return false;
    }
    this.#heads += bytes;
    return true;
  }

  giveHeads(bytes: number): void {
    this.#heads -= bytes;
  }
}
