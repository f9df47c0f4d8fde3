/** Gateways die under load, one at a time, in each way and at each distance. */
import { sleep } from '@mesh/clock/clock';
import type { RunEnvironment } from '../endurance-program.ts';
import { DeadPeersStage, type Death } from './dead-peers-stage.ts';
import { boundMs, type Outcome, outcomeOf, patienceMs } from './outcome.ts';

export interface DeadPeersOptions {
  /** Deaths of each kind at each distance. */
  readonly repeats: number;
  /** Requests per second. */
  readonly rate: number;
}

export interface Found {
  readonly death: Death;
  readonly roundTripMs: number;
  readonly outcomes: readonly Outcome[];
}

/** At 400 ms six round trips are longer than the least silence. A process that was killed says so by its kernel, at any distance. */
const distances: Readonly<Record<number, readonly Death[]>> = {
  0: ['killed', 'stopped', 'gone'],
  80: ['killed', 'stopped', 'gone'],
  200: ['killed', 'stopped', 'gone'],
  400: ['gone'],
};
/** For latencies of the balancer and the round trip of the connection to be known. */
const settleMs = 1500;

export async function deadPeers(
  { repeats, rate }: DeadPeersOptions,
  environment: RunEnvironment,
): Promise<Found[]> {
  const { clock, say } = environment;
  const stage = await DeadPeersStage.open(environment, rate);
  const lose = async (death: Death, roundTripMs: number, index: number): Promise<Outcome> => {
    await sleep(clock, settleMs);
    await stage.take();
    const diedAt = await stage.lose(index, death);
    await sleep(clock, boundMs(death, roundTripMs) + patienceMs);
    const outcome = outcomeOf(await stage.take(), diedAt);
    await stage.heal(index, death);
    return outcome;
  };
  try {
    const found: Found[] = [];
    for (const [distance, deaths] of Object.entries(distances)) {
      const roundTripMs = Number(distance);
      await stage.moveAway(roundTripMs);
      for (const death of deaths) {
        const outcomes: Outcome[] = [];
        for (let repeat = 0; repeat < repeats; repeat++) {
          outcomes.push(await lose(death, roundTripMs, repeat % 2));
        }
        say(
          `${death} at ${roundTripMs} ms: left after ${outcomes.map(({ leftAfterMs }) => leftAfterMs).join(', ')} ms`,
        );
        found.push({ death, roundTripMs, outcomes });
      }
    }
    return found;
  } finally {
    await stage.close();
  }
}
