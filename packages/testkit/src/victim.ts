import assert from 'node:assert/strict';
import type { Timer } from '@mesh/clock/clock';
import { systemClock } from '@mesh/clock/system';
import { retainedBytes, sweptBytes } from './retained-bytes.ts';

/** What an attack may make a process hold, all its connections together; the long form holds proxies to the same. */
export const attackMemoryBound: number = 32 * 1024 * 1024;
/** Between looks at what is held: at least so long, and so many times what the last one took, since each is a collection. */
const betweenLooksMs = 100;
const betweenLooksTimes = 10;

export interface VictimReport {
  /** Requests answered as they should be. */
  readonly served: number;
  readonly failures: readonly unknown[];
  /** Duration of each request, ms. For long forms: a machine that runs tests is no measure. */
  readonly latenciesMs: readonly number[];
  /** The most that this process held meanwhile beyond what it held before, garbage not counted: attackers are part of it. */
  readonly heldBytes: number;
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
  const before = sweptBytes();
  let most = before;
  const look = (): void => {
    const now = retainedBytes();
    if (now > most) most = Math.max(most, sweptBytes());
  };
  let looking: Timer;
  const lookAgain = (): void => {
    const start = systemClock.now();
    look();
    const tookMs = systemClock.now() - start;
    looking = systemClock.after(Math.max(betweenLooksMs, betweenLooksTimes * tookMs), lookAgain);
  };
  looking = systemClock.after(betweenLooksMs, lookAgain);
  const running = victim();
  try {
    await attack();
    look();
  } finally {
    looking.cancel();
    state.over = true;
    await running;
  }
  return { served: latenciesMs.length, failures, latenciesMs, heldBytes: most - before };
}

/** Fails unless every request of the victim was answered, and no more was held for the attack than may be. */
export function assertUnharmed({ served, failures, heldBytes }: VictimReport): void {
  assert.deepEqual(failures, [], 'the victim noticed');
  assert.ok(served > 0, 'the victim was never served');
  assert.ok(heldBytes <= attackMemoryBound, `${heldBytes} bytes were held, more than ${attackMemoryBound}`);
}
