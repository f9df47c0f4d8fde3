/** Clients that ask and leave at once share a connection with others: it must not end for them as by a rapid reset. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import { LimitLedger } from '@mesh/limits/limits';
import { dialTcp, listen } from '@mesh/testkit/servers';
import { connectHttp2 } from './client.ts';
import { http2Limits } from './limits.ts';
import { serveHttp2 } from './server.ts';
import { settingId } from './settings.ts';
import { Collector, EchoListener, requestHead, send } from './testing/exchange.ts';
import {
  block,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADERS,
  RST_STREAM,
  settings,
  startClient,
  turn,
} from './testing/raw-peer.ts';

test('of many resets at once half of what a server bears leave, the others when their streams are no longer young', async () => {
  const rig = startClient();
  const { client, clock, limits, transport } = rig;
  client.receive(settings([settingId.maxConcurrentStreams, 100]));
  const resets = (): number => transport.of(RST_STREAM).length;
  const leave = (times: number): void => {
    for (let time = 0; time < times; time++) {
      client.request(requestHead('/'), true, new Collector()).reset('cancel');
    }
  };
  const atOnce = limits.values.http2_peer_resets / 2;
  leave(atOnce + 30);
  await turn();
  assert.equal(resets(), atOnce);
  assert.equal(client.activeStreams, 0);
  assert.equal(client.capacity, 70, 'the server still counts those that were not told');
  let changes = 0;
  client.onChange = () => void changes++;
  leave(70);
  assert.equal(client.capacity, 0);
  // An answer to one that was given up is dropped.
  const late = 2 * atOnce + 1;
  client.receive(frame(HEADERS, END_HEADERS | END_STREAM, late, block(':status', '200')));
  clock.advance(2 * limits.values.http2_rapid_reset_ms - 1);
  await turn();
  assert.equal(resets(), atOnce);
  clock.advance(1);
  await turn();
  assert.equal(resets(), atOnce + 100);
  assert.equal(client.capacity, 100);
  assert.ok(changes > 0, 'who waits for room hears of it');
  assert.ok(client.usable);
  client.destroy();
  assert.equal(clock.pending, 0);
});

test('a client that leaves before its resets are told leaves no timer behind', async () => {
  const { client, clock, limits, transport } = startClient();
  const requests = Array.from({ length: limits.values.http2_peer_resets }, () =>
    client.request(requestHead('/'), true, new Collector()),
  );
  for (const request of requests) request.reset('cancel');
  await turn();
  client.drain();
  await turn();
  assert.equal(transport.of(RST_STREAM).length, requests.length, 'all are told before the end');
  client.destroy();
  assert.equal(clock.pending, 0);
});

test('hundreds that leave within milliseconds do not end the connection to a server with the same limits', async (t) => {
  const limits = new LimitLedger(http2Limits);
  const { port } = await listen(t, (socket) =>
    serveHttp2(socket, new EchoListener(), { clock: systemClock, limits }),
  );
  const client = connectHttp2(await dialTcp(t, port), {
    clock: systemClock,
    limits: new LimitLedger(http2Limits),
  });
  t.after(() => client.destroy());
  const upload = new Collector();
  const shared = client.request(requestHead('/', { method: 'POST' }), false, upload);
  for (let wave = 0; wave < 20; wave++) {
    const left = Array.from({ length: Math.min(20, client.capacity) }, () =>
      client.request(requestHead('/', { method: 'POST' }), false, new Collector()),
    );
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (const request of left) request.reset('cancel');
  }
  shared.end(null);
  await upload.done;
  assert.equal(upload.resetReason, undefined);
  assert.equal(limits.hits('http2_peer_resets'), 0);
  const last = send(client, requestHead('/'));
  await last.done;
  assert.equal(last.head?.status, 200);
});
