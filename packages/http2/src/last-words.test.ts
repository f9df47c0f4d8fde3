/** What still goes out, and what no longer, when a connection or a request ends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorCode } from './error-codes.ts';
import { Collector, requestHead } from './testing/exchange.ts';
import {
  block,
  END_HEADERS,
  frame,
  getBytes,
  HEADERS,
  openRequest,
  PING,
  post,
  PUSH_PROMISE,
  request,
  RST_STREAM,
  type ServerRig,
  startClient,
  startServer,
  turn,
  u32,
  WINDOW_UPDATE,
  ACK,
} from './testing/raw-peer.ts';

for (const blocked of [false, true]) {
  test(`a request whose owner hears that it was refused is not sent; the socket is ${blocked ? 'full' : 'free'}`, async () => {
    const rig = startClient();
    await turn();
    if (blocked) {
      rig.transport.room = false;
      rig.client.request(requestHead('/before'), true, new Collector());
      await turn();
    }
    const [pay, later] = [new Collector(), new Collector()];
    rig.client.request(requestHead('/pay', { method: 'POST' }), true, pay);
    rig.client.receive(frame(PUSH_PROMISE, END_HEADERS, 1, u32(2)));
    rig.transport.room = true;
    rig.client.onWritable();
    await turn();
    assert.equal(pay.resetReason, 'refused');
    const sent = rig.transport.of(HEADERS).map(({ payload }) => payload.toString('latin1'));
    assert.ok(!sent.some((text) => text.includes('/pay')), 'it was sent all the same');
    assert.equal(sent.length, blocked ? 1 : 0);
    assert.equal(rig.transport.goawayCode, 1);
    rig.client.request(requestHead('/later'), true, later);
    await turn();
    assert.equal(later.resetReason, 'refused');
  });
}

test('a server that sends interim heads without end is stopped at the limit', async () => {
  const rig = startClient({ http2_informational_count: 3 });
  const collector = new Collector();
  rig.client.request(requestHead('/'), true, collector);
  await turn();
  for (let count = 0; count < 10; count++) {
    rig.client.receive(frame(HEADERS, END_HEADERS, 1, block(':status', '103', 'link', '</style>')));
  }
  await turn();
  assert.equal(collector.informed.length, 3);
  assert.equal(collector.resetReason, 'calm');
  assert.equal(rig.limits.hits('http2_informational_count'), 1);
  assert.equal(rig.transport.resetCode(1), 11);
  assert.equal(rig.transport.goawayCode, undefined, 'other streams go on');
});

test('a tunnel whose other end broke is reset with CONNECT_ERROR, at the next hop too', async () => {
  const { server, listener, transport } = startServer();
  for (const [id, fields] of [
    [1, [':method', 'CONNECT', ':authority', 'a:1']],
    [3, post],
  ] as const) {
    server.receive(openRequest(id, fields));
    const stream = listener.streams.at(-1);
    stream?.respond({ status: 200, headers: [] }, false);
    stream?.reset('closed');
  }
  await turn();
  assert.equal(transport.resetCode(1), errorCode.connectError);
  assert.equal(transport.resetCode(3), errorCode.internalError);

  const { client } = startClient();
  const tunnel = new Collector();
  client.request(requestHead('', { method: 'CONNECT', authority: 'a:1' }), false, tunnel);
  await turn();
  client.receive(frame(RST_STREAM, 0, 1, u32(errorCode.connectError)));
  assert.equal(tunnel.resetReason, 'closed');
});

/** A server that has sent its last answer, and its end behind that. */
async function drained(): Promise<ServerRig> {
  const rig = startServer();
  rig.server.receive(request(1, getBytes(1000)));
  rig.server.drain();
  await turn();
  rig.server.receive(frame(PING, ACK, 0, Buffer.alloc(8)));
  await turn();
  return rig;
}

test('behind its last answer a server waits for a reader that says something, though not for ever', async () => {
  const rig = await drained();
  assert.equal(rig.transport.ended, true);
  const { http2_linger_ms: lingerMs, http2_stall_ms: stallMs } = rig.limits.values;
  let waitedMs = 0;
  while (!rig.transport.destroyed && waitedMs < 2 * stallMs) {
    rig.server.receive(frame(WINDOW_UPDATE, 0, 0, u32(1000)));
    rig.clock.advance(lingerMs - 100);
    waitedMs += lingerMs - 100;
  }
  assert.ok(waitedMs >= stallMs, `after ${waitedMs} ms`);
  assert.ok(waitedMs <= stallMs + 2 * lingerMs, `after ${waitedMs} ms`);
});

test('a reader that says nothing any more is let go of soon', async () => {
  const rig = await drained();
  rig.server.receive(frame(WINDOW_UPDATE, 0, 0, u32(1000)));
  rig.clock.advance(rig.limits.values.http2_linger_ms - 1);
  assert.equal(rig.transport.destroyed, false);
  rig.clock.advance(1);
  assert.equal(rig.transport.destroyed, true);
});
