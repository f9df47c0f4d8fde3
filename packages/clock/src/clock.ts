/**
 * Time and randomness as values that are handed in.
 *
 * No package outside this one reads the process clock, starts a timer or draws a random number by itself
 * (a repository test forbids it), so that a test can steer time and replay a run from a seed.
 */

/** Handle of a running timer; opaque to callers. */
export interface Timer {
  /** Stops the timer. Stopping a fired or stopped timer does nothing. */
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds, fractional, from an arbitrary origin. For durations and deadlines. */
  now(): number;
  /** Wall-clock milliseconds since the Unix epoch. For certificates, tokens and timestamps that people read. */
  wall(): number;
  /**
   * Calls `task` once, `delayMs` from now, at most 24 days. The timer keeps the process alive unless `background` is true.
   */
  after(delayMs: number, task: () => void, background?: boolean): Timer;
  /** Calls `task` every `periodMs`, at most 24 days, first one period from now. */
  every(periodMs: number, task: () => void, background?: boolean): Timer;
}

/** Uniform random numbers in [0, 1). */
export interface Random {
  next(): number;
}

/** Resolves after `delayMs`; rejects with the signal's reason when aborted first. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** As `sleep`, but an abort only ends it early. Resolves to whether the whole time passed. */
export async function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(clock, delayMs, signal);
    return true;
  } catch {
    return false;
  }
}

/**
 * Exponential back-off with symmetric jitter: `min(cap, base * 2^attempt)`, then ± `jitter` of it.
 * `attempt` counts from 0.
 */
export function backoffMs(
  attempt: number,
  random: Random,
  { baseMs, capMs, jitter = 0.1 }: { baseMs: number; capMs: number; jitter?: number },
): number {
  const plain = Math.min(capMs, baseMs * 2 ** Math.min(attempt, 30));
  return plain * (1 + jitter * (2 * random.next() - 1));
}
