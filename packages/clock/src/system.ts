import { performance } from 'node:perf_hooks';
import type { Clock, Random, Timer } from './clock.ts';

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
  after: (delayMs, task, background = false) => new SystemTimer(setTimeout(task, delayMs), background),
  every: (periodMs, task, background = false) => new SystemTimer(setInterval(task, periodMs), background),
};

/** The process's random numbers; for balancing and jitter, never for keys. */
export const systemRandom: Random = { next: () => Math.random() };
