/**
 * Three times what an application can do, then half of it, in real time: who is answered what. How soon, with processes of their
 * own, is what `npm run endurance -- overload` measures.
 */
import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { test } from 'node:test';
import { sleep } from '@mesh/clock/clock';
import { systemClock } from '@mesh/clock/system';
import { app, rig, send, spec } from './testing/forwarding-rig.ts';

const overloadMs = 1000;
const calmMs = 500;

/** What the application can do: so many requests at a time, each taking so long. */
const workers = 4;
const workMs = 40;
const capacityPerSecond = (workers * 1000) / workMs;
/** In flight at most: three times what the application works on. */
const inFlight = 3 * workers;

/** Answered requests of one phase. */
interface Phase {
  served: number;
  shed: number;
  others: number;
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
    const phase: Phase = { served: 0, shed: 0, others: 0 };
    const startedAt = systemClock.now();
    const open: Promise<void>[] = [];
    for (let sent = 0; (sent * 1000) / perSecond < ms; sent++) {
      const early = startedAt + (sent * 1000) / perSecond - systemClock.now();
      if (early > 0) await sleep(systemClock, early);
      const ask = async (): Promise<void> => {
        const { status } = await send(proxy, { agent, headers: { connection: 'keep-alive' } });
        phase[status === 200 ? 'served' : status === 503 ? 'shed' : 'others']++;
      };
      open.push(ask());
    }
    await Promise.all(open);
    return phase;
  };

  const before = await offer(capacityPerSecond / 2, calmMs);
  const overload = await offer(capacityPerSecond * 3, overloadMs);
  const settling = await offer(capacityPerSecond / 2, 2 * calmMs);
  const after = await offer(capacityPerSecond / 2, calmMs);
  const phases = [before, overload, settling, after];
  assert.deepEqual(
    phases.map(({ others }) => others),
    [0, 0, 0, 0],
  );
  assert.ok(overload.shed > overload.served);
  assert.ok(overload.served > 0);
  assert.equal(after.shed, 0);
  assert.equal(
    limits.hits('in_flight_requests'),
    phases.reduce((sum, { shed }) => sum + shed, 0),
  );
  assert.equal(pool.inFlight, 0);
});
