/**
 * A bad path in real time: 200 ms, 1 % loss, standing still for a second now and then, and not one connection lost.
 * `npm run endurance -- keep-alive` takes half an hour with a stall each minute; the short form takes one stall.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sleep } from '@mesh/clock/clock';
import { seededRandom } from '@mesh/clock/seeded';
import { systemClock } from '@mesh/clock/system';
import { FaultRelay } from '@mesh/testkit/fault-relay';
import { carried, http2App, rig, send } from './testing/forwarding-rig.ts';

const long = process.env['ENDURANCE'] === '1';
const minuteMs = long ? 60_000 : 3000;
const minutes = long ? 30 : 1;
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
  while (systemClock.now() < end) {
    asked.push(ask());
    if (systemClock.now() >= stallAt) {
      relay.set({ stalled: true });
      await sleep(systemClock, stallMs);
      relay.set({ stalled: false });
      stallAt = nextMinute + (minuteMs - stallMs) * random.next();
      nextMinute += minuteMs;
    }
    await sleep(systemClock, 400 * random.next());
  }
  await Promise.all(asked);
  t.diagnostic(`${asked.length} requests, ${relay.accepted} connections`);
  assert.deepEqual(failures, []);
  assert.equal(limits.hits('peer_silence_ms'), 0);
  assert.equal(relay.accepted, 1);
});
