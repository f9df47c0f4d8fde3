/** How long a dead gateway was still used, as its clients saw it. */
import type { Death } from './dead-peers-stage.ts';
import type { Sample } from './load-main.ts';

export interface Outcome {
  /** From the death until the last request that was lost with the gateway had ended, ms; 0: none was. */
  readonly leftAfterMs: number;
  /** From the death until the first good answer to a request that was sent after it, ms. */
  readonly firstGoodMs: number;
  readonly sent: number;
  readonly failed: number;
  /** Longest good answer of a request that was sent after the death, ms. */
  readonly slowestGoodMs: number;
}

/** Who waits longer than this when it is over is lost: no good answer takes so long. */
export const patienceMs = 1500;

/** @param diedAt ms of the wall clock */
export function outcomeOf(all: readonly Sample[], diedAt: number): Outcome {
  const samples = all.filter(({ waits, ms }) => !waits || ms >= patienceMs);
  const ended = samples.filter(({ at, ms }) => at + ms >= diedAt);
  const lost = ended.filter(({ status }) => status !== 200);
  const after = samples.filter(({ at }) => at >= diedAt);
  const good = after.filter(({ status }) => status === 200);
  const untilEnd = ({ at, ms }: Sample): number => at + ms - diedAt;
  return {
    leftAfterMs: Math.max(0, ...lost.map(untilEnd)),
    firstGoodMs: Math.min(...good.map(untilEnd)),
    sent: after.length,
    failed: lost.length,
    slowestGoodMs: Math.max(0, ...good.map(({ ms }) => ms)),
  };
}

const killedMs = 300;
const silenceMs = 1500;
const roundTrips = 6;

/** What the machine that measures may add: timers of two processes that share its processors with all others. */
const machineMs = 100;

/**
 * Within what a gateway must have been left, ms. A gateway that is silent is left so long after its last byte, which may have
 * been on its way for half a round trip.
 */
export function boundMs(death: Death, roundTripMs: number): number {
  return death === 'killed' ? killedMs : Math.max(silenceMs, roundTrips * roundTripMs);
}

/** Whether it was left in time, and another one answered in time. */
export function isInTime(death: Death, roundTripMs: number, { leftAfterMs, firstGoodMs }: Outcome): boolean {
  const slackMs = death === 'killed' ? 0 : roundTripMs / 2 + machineMs;
  return Math.max(leftAfterMs, firstGoodMs) <= boundMs(death, roundTripMs) + slackMs;
}
