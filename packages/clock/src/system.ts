import { performance } from 'node:perf_hooks';
import type { Clock, Random, Timer } from './clock.ts';

/** 24 days: Node counts in 32 bits, and takes what is longer for no time at all. */
const longestMs = 2 ** 31 - 1;

class SystemTimer implements Timer {
  readonly #handle: NodeJS.Timeout;

  constructor(handle: NodeJS.Timeout, background: boolean) {
    this.#handle = handle;
    if (background) handle.unref();
  }

  cancel(): void {
    clearTimeout(this.#handle);
  }
}

/** The process clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (delayMs, task, background = false) =>
    new SystemTimer(setTimeout(task, Math.min(delayMs, longestMs)), background),
  every: (periodMs, task, background = false) =>
    new SystemTimer(setInterval(task, Math.min(periodMs, longestMs)), background),
};

/** The process's random numbers; for balancing and jitter, never for keys. */
export const systemRandom: Random = { next: () => Math.random() };
