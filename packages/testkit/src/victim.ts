import assert from 'node:assert/strict';
import { systemClock } from '@mesh/clock/system';

export interface VictimReport {
  /** Requests answered as they should be. */
  readonly served: number;
  readonly failures: readonly unknown[];
  /** Duration of each request, ms. For long forms: a machine that runs tests is no measure. */
  readonly latenciesMs: readonly number[];
}

export interface VictimOptions {
  /** Requests to make at least, however short the attack is. Default 20. */
  least?: number;
  /** Requests per second; by default the next one begins when the last is done. */
  ratePerSecond?: number;
}

/**
 * Somebody else's connection: makes requests, one at a time, while `attack` runs and until at least some were made.
 * `request` makes one and rejects when the answer is not right.
 */
export async function besideVictim(
  request: () => Promise<void>,
  attack: () => Promise<void>,
  { least = 20, ratePerSecond }: VictimOptions = {},
): Promise<VictimReport> {
  const failures: unknown[] = [];
  const latenciesMs: number[] = [];
  const state = { over: false };
  let made = 0;
  const victim = async (): Promise<void> => {
    const start = systemClock.now();
    while (!state.over || made < least) {
      const before = systemClock.now();
      made += 1;
      await request().then(
        () => latenciesMs.push(systemClock.now() - before),
        (fault: unknown) => failures.push(fault),
      );
      const pauseMs =
        ratePerSecond === undefined ? 0 : start + (made * 1000) / ratePerSecond - systemClock.now();
      await new Promise<void>((resolve) => {
        if (pauseMs > 0) setTimeout(resolve, pauseMs);
        else setImmediate(resolve);
      });
    }
  };
  const running = victim();
  try {
    await attack();
  } finally {
    state.over = true;
    await running;
  }
  return { served: latenciesMs.length, failures, latenciesMs };
}

/** Fails unless every request of the victim was answered. */
export function assertUnharmed({ served, failures }: VictimReport): void {
  assert.deepEqual(failures, [], 'the victim noticed');
  assert.ok(served > 0, 'the victim was never served');
}
