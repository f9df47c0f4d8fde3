/**
 * A bad path in real time: 200 ms, 1 % loss, standing still for a second now and then, and not one connection lost.
 * `npm run endurance -- keep-alive` takes half an hour with a stall each minute; the short form takes one stall.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sleep } from '@mesh/clock/clock';
import { seededRandom } from '@mesh/clock/seeded';
import { systemClock } from '@mesh/clock/system';
import { isEndurance, keepResult } from '@mesh/testkit/endurance-result';
import { FaultRelay } from '@mesh/testkit/fault-relay';
import { carried, http2App, rig, send } from './testing/forwarding-rig.ts';

const minuteMs = isEndurance ? 60_000 : 3000;
const minutes = isEndurance ? 30 : 1;
const stallMs = 1000;
const rttMs = 200;

void test(`${minutes} × ${minuteMs / 1000} s at ${rttMs} ms with 1 % loss and a stall of 1 s in each`, async (t) => {
  const random = seededRandom(11);
  const app = await http2App(t, (stream) => {
    // Long enough that requests wait across stalls.
    setTimeout(() => {
      if (stream.destroyed) return;
      stream.respond({ ':status': 200 });
      stream.end('ok');
    }, 2000 * random.next());
  });
  const relay = new FaultRelay({ host: '127.0.0.1', port: app, clock: systemClock, random });
  await relay.start();
  t.after(() => relay.kill());
  relay.set({ delayMs: rttMs / 2, lossShare: 0.01, recoveryMs: rttMs });
  const { port, pool, limits } = await rig(t);
  pool.apply([carried(relay.port)], { replace: true });

  const failures: string[] = [];
  const asked: Promise<void>[] = [];
  const ask = async (): Promise<void> => {
    const { status, headers } = await send(port);
    if (status !== 200) failures.push(`${status} ${String(headers['l5d-proxy-error'])}`);
  };
  const end = systemClock.now() + minutes * minuteMs;
  let stallAt = systemClock.now() + (minuteMs - stallMs) * random.next();
  let nextMinute = systemClock.now() + minuteMs;
  let stalls = 0;
  while (systemClock.now() < end) {
    asked.push(ask());
    if (systemClock.now() >= stallAt) {
      stalls++;
      relay.set({ stalled: true });
      await sleep(systemClock, stallMs);
      relay.set({ stalled: false });
      stallAt = nextMinute + (minuteMs - stallMs) * random.next();
      nextMinute += minuteMs;
    }
    await sleep(systemClock, 400 * random.next());
  }
  await Promise.all(asked);
  const alarms = limits.hits('peer_silence_ms');
  keepResult({
    'round trip': `${rttMs} ms`,
    loss: '1 % of what is sent, each one round trip late',
    stalls: `${stalls}, of ${stallMs / 1000} s each`,
    requests: `${asked.length}`,
    'requests that failed': `${failures.length}`,
    'peers left for silence': `${alarms}`,
    'connections, of which one is needed': `${relay.accepted}`,
  });
  t.diagnostic(`${asked.length} requests, ${relay.accepted} connections`);
  assert.deepEqual(failures, []);
  assert.equal(alarms, 0);
  assert.equal(relay.accepted, 1);
});
