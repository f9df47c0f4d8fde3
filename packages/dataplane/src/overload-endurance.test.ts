/**
 * Three times what an application can do, then half of it, in real time. `npm run endurance -- overload` takes a minute and
 * holds the times; the short form only sees who is answered what.
 */
import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { test } from 'node:test';
import { sleep } from '@mesh/clock/clock';
import { systemClock } from '@mesh/clock/system';
import { app, rig, send, spec } from './testing/forwarding-rig.ts';

const long = process.env['ENDURANCE'] === '1';
const overloadMs = long ? 60_000 : 1000;
const calmMs = long ? 10_000 : 500;

/** What the application can do: so many requests at a time, each taking so long. */
const workers = 4;
const workMs = 40;
const capacityPerSecond = (workers * 1000) / workMs;
/** In flight at most: three times what the application works on. */
const inFlight = 3 * workers;

/** Answered requests of one phase. */
class Phase {
  readonly served: number[] = [];
  readonly shed: number[] = [];
  readonly others: number[] = [];
  /** How much later than due each request started: what the machine itself adds. */
  readonly late: number[] = [];
  startedAt = 0;
  endedAt = 0;

  get goodputPerSecond(): number {
    return (this.served.length * 1000) / (this.endedAt - this.startedAt);
  }
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
}

void test('overload: as much is served as without it, the rest is turned away, and nothing of it stays', async (t) => {
  const waiting: (() => void)[] = [];
  let busy = 0;
  const next = (): void => {
    while (busy < workers && waiting.length > 0) {
      busy++;
      const answer = waiting.shift();
      setTimeout(() => {
        busy--;
        answer?.();
        next();
      }, workMs);
    }
  };
  const port = await app(t, (_, response) => {
    waiting.push(() => response.end('served'));
    next();
  });
  const { port: proxy, pool, limits } = await rig(t, { limits: { in_flight_requests: inFlight } });
  pool.apply([spec(port)], { replace: true });
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());

  /** Open loop: requests start when they are due, whatever became of those before. */
  const offer = async (perSecond: number, ms: number): Promise<Phase> => {
    const phase = new Phase();
    phase.startedAt = systemClock.now();
    const open: Promise<void>[] = [];
    for (let sent = 0; (sent * 1000) / perSecond < ms; sent++) {
      const due = phase.startedAt + (sent * 1000) / perSecond;
      const early = due - systemClock.now();
      if (early > 0) await sleep(systemClock, early);
      const startedAt = systemClock.now();
      phase.late.push(startedAt - due);
      const ask = async (): Promise<void> => {
        const { status } = await send(proxy, { agent, headers: { connection: 'keep-alive' } });
        const took = systemClock.now() - startedAt;
        (status === 200 ? phase.served : status === 503 ? phase.shed : phase.others).push(took);
      };
      open.push(ask());
    }
    await Promise.all(open);
    phase.endedAt = systemClock.now();
    return phase;
  };

  /** What the application really does on this machine: always as much in flight as may be. */
  const peak = async (ms: number): Promise<number> => {
    const startedAt = systemClock.now();
    let served = 0;
    const client = async (): Promise<void> => {
      while (systemClock.now() - startedAt < ms) {
        await send(proxy, { agent, headers: { connection: 'keep-alive' } });
        served++;
      }
    };
    await Promise.all(Array.from({ length: inFlight }, client));
    return (served * 1000) / (systemClock.now() - startedAt);
  };

  const peakPerSecond = await peak(calmMs);
  const before = await offer(capacityPerSecond / 2, calmMs);
  const overload = await offer(capacityPerSecond * 3, overloadMs);
  const settling = await offer(capacityPerSecond / 2, 2000);
  const after = await offer(capacityPerSecond / 2, calmMs);
  const phases = [before, overload, settling, after];
  for (const { others } of phases) assert.deepEqual(others, []);
  assert.ok(overload.shed.length > overload.served.length);
  const shed = phases.reduce((sum, phase) => sum + phase.shed.length, 0);
  assert.equal(limits.hits('in_flight_requests'), shed);
  assert.equal(pool.inFlight, 0);
  t.diagnostic(
    JSON.stringify({
      peakPerSecond: Math.round(peakPerSecond),
      goodputPerSecond: Math.round(overload.goodputPerSecond),
      lateP99Ms: phases.map(({ late }) => Math.round(quantile(late, 0.99))),
      shedP99Ms: Math.round(quantile(overload.shed, 0.99) * 10) / 10,
      p99Ms: phases.map(({ served }) => Math.round(quantile(served, 0.99))),
    }),
  );
  if (!long) return;
  assert.ok(overload.goodputPerSecond >= 0.9 * peakPerSecond);
  // A machine with other things to do adds its own delays to every time.
  assert.ok(quantile(overload.shed, 0.99) <= 10 + quantile(overload.late, 0.99));
  assert.ok(quantile(after.served, 0.99) <= 1.2 * quantile(before.served, 0.99) + quantile(after.late, 0.99));
});
