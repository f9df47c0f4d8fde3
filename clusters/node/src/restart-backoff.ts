/**
 * Delay before each restart of a container: the base, doubled per restart up to the cap, and the base again after it
 * ran for ten minutes (the kubelet's rule).
 */
export class RestartBackoff {
  readonly #baseMs: number;
  readonly #capMs: number;
  #restarts = 0;

  constructor({ baseMs, capMs }: { baseMs: number; capMs: number }) {
    this.#baseMs = baseMs;
    this.#capMs = capMs;
  }

  /** Milliseconds to wait after a container that ran for `ranMs`. */
  next(ranMs: number): number {
    if (ranMs >= forgetAfterMs) this.#restarts = 0;
    return Math.min(this.#capMs, this.#baseMs * 2 ** Math.min(this.#restarts++, 30));
  }
}

const forgetAfterMs = 10 * 60_000;
