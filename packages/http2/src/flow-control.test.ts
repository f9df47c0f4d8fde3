import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { LimitLedger } from '@mesh/limits/limits';
import type { ServerStream, StreamHandler } from '@mesh/http/message';
import { http2Limits } from './limits.ts';
import { Http2Server } from './server.ts';
import {
  bareServer,
  DATA,
  END_STREAM,
  frame,
  get,
  MemoryTransport,
  openRequest,
  preface,
  request,
  RST_STREAM,
  type ServerRig,
  settings,
  startServer,
  turn,
  u32,
  WINDOW_UPDATE,
} from './testing/raw-peer.ts';

function opened(rig: ServerRig, index: number): ServerStream {
  const stream = rig.listener.streams[index];
  assert.ok(stream !== undefined);
  return stream;
}

/** Sum of the increments granted to a stream, or to the connection (0). */
function granted(rig: ServerRig, streamId: number): number {
  return rig.transport
    .of(WINDOW_UPDATE)
    .filter((found) => found.streamId === streamId)
    .reduce((sum, found) => sum + found.payload.readUInt32BE(0), 0);
}

function sent(rig: ServerRig, streamId: number): number {
  return rig.transport
    .of(DATA)
    .filter((found) => found.streamId === streamId)
    .reduce((sum, found) => sum + found.payload.length, 0);
}

const chunk = Buffer.alloc(16_000);

test('the window of a stream is given back by consume alone, once half of it is back', async () => {
  const rig = startServer();
  rig.server.receive(
    Buffer.concat([
      openRequest(1),
      frame(DATA, 0, 1, chunk),
      frame(DATA, 0, 1, chunk),
      frame(DATA, 0, 1, chunk),
    ]),
  );
  await turn();
  assert.equal(granted(rig, 1), 0);
  const stream = opened(rig, 0);
  stream.consume(32_000);
  await turn();
  assert.equal(granted(rig, 1), 0);
  stream.consume(768);
  await turn();
  assert.equal(granted(rig, 1), 32_768);
  for (let index = 0; index < 20_000; index++) stream.consume(1);
  await turn();
  assert.equal(granted(rig, 1), 32_768, 'more than was delivered cannot be given back');
  rig.server.destroy();
});

test('padding is given back at once', async () => {
  const rig = startServer();
  rig.server.receive(openRequest(1));
  const padded = Buffer.concat([Buffer.from([255]), Buffer.from('x'), Buffer.alloc(255)]);
  for (let index = 0; index < 200; index++) rig.server.receive(frame(DATA, 8, 1, padded));
  await turn();
  assert.ok(granted(rig, 1) >= 32_768);
  rig.server.destroy();
});

test('one reader that stops does not take the connection away from others', async () => {
  const rig = startServer({ http2_owed_bytes: 40_000 }, { connectionWindow: 100_000 });
  await turn();
  const before = granted(rig, 0);
  rig.server.receive(Buffer.concat([openRequest(1), openRequest(3)]));
  for (let index = 0; index < 4; index++) rig.server.receive(frame(DATA, 0, 1, chunk));
  await turn();
  // 64,000 arrived, 40,000 may be owed: those were given back on arrival, less than half a window is not announced.
  const second = opened(rig, 1);
  for (let index = 0; index < 20; index++) {
    rig.server.receive(frame(DATA, 0, 3, chunk));
    second.consume(chunk.length);
    await turn();
  }
  assert.equal(rig.transport.goawayCode, undefined);
  const grantedNow = granted(rig, 0) - before;
  assert.ok(grantedNow >= 300_000, `${grantedNow} given back`);
  opened(rig, 0).consume(64_000);
  await turn();
  assert.ok(granted(rig, 0) - before >= 334_000);
  rig.server.destroy();
});

test('above the limit of what may be owed the connection window is only returned by consume', async () => {
  const rig = startServer({ http2_owed_bytes: 10_000 }, { connectionWindow: 65_535 });
  rig.server.receive(Buffer.concat([openRequest(1), openRequest(3)]));
  for (let index = 0; index < 2; index++) rig.server.receive(frame(DATA, 0, 1, chunk));
  for (let index = 0; index < 2; index++) rig.server.receive(frame(DATA, 0, 3, chunk));
  await turn();
  assert.equal(granted(rig, 0), 10_000, 'the peer has 1535 left, so that it is told of little');
  opened(rig, 0).consume(32_000);
  await turn();
  assert.ok(granted(rig, 0) >= 32_768);
  rig.server.destroy();
});

test('a reset with bytes owed settles the account of the connection', async () => {
  const rig = startServer({ http2_owed_bytes: 0 }, { connectionWindow: 65_535 });
  for (let id = 1; id < 40; id += 2) {
    rig.server.receive(
      Buffer.concat([openRequest(id), frame(DATA, 0, id, chunk), frame(DATA, 0, id, chunk)]),
    );
    if (id % 4 === 1) opened(rig, (id - 1) / 2).reset('cancel');
    else rig.server.receive(frame(RST_STREAM, 0, id, u32(8)));
    await turn();
  }
  assert.equal(rig.transport.goawayCode, undefined, 'the peer stayed within what it was granted');
  assert.ok(granted(rig, 0) >= 20 * 32_000 - 65_535);
});

test('DATA for a stream that is gone is given back at once', async () => {
  const rig = startServer({}, { connectionWindow: 65_535 });
  rig.server.receive(openRequest(1));
  opened(rig, 0).reset('cancel');
  for (let index = 0; index < 30; index++) {
    rig.server.receive(frame(DATA, 0, 1, chunk));
    await turn();
  }
  assert.equal(rig.transport.goawayCode, undefined);
  assert.equal(rig.listener.received, 0);
});

test('bytes owed when an exchange ended cleanly can still be given back', async () => {
  const rig = startServer({ http2_owed_bytes: 0 }, { connectionWindow: 65_535 });
  rig.server.receive(
    Buffer.concat([
      openRequest(1),
      frame(DATA, 0, 1, chunk),
      frame(DATA, 0, 1, chunk),
      frame(DATA, END_STREAM, 1, chunk),
    ]),
  );
  const stream = opened(rig, 0);
  stream.respond({ status: 204, headers: [] }, true);
  await turn();
  assert.equal(rig.server.activeStreams, 0);
  assert.equal(granted(rig, 0), 0);
  stream.consume(48_000);
  await turn();
  assert.equal(granted(rig, 0), 48_000);
});

test('write says stop at the high mark, and onDrain follows at the low mark', async () => {
  const rig = bareServer();
  const window = frame(WINDOW_UPDATE, 0, 0, u32(1_000_000));
  rig.server.receive(Buffer.concat([preface, settings([4, 0]), window, request(1)]));
  const stream = opened(rig, 0);
  stream.respond({ status: 200, headers: [] }, false);
  assert.equal(stream.write(Buffer.alloc(40_000)), true);
  assert.equal(stream.write(Buffer.alloc(40_000)), false);
  await turn();
  assert.equal(rig.listener.drains, 0);
  rig.server.receive(frame(WINDOW_UPDATE, 0, 1, u32(30_000)));
  await turn();
  assert.equal(rig.listener.drains, 0, '50,000 bytes still wait');
  rig.server.receive(frame(WINDOW_UPDATE, 0, 1, u32(30_000)));
  await turn();
  assert.equal(rig.listener.drains, 1);
  assert.equal(sent(rig, 1), 60_000);
  stream.end(null);
  rig.server.receive(frame(WINDOW_UPDATE, 0, 1, u32(30_000)));
  await turn();
  assert.equal(sent(rig, 1), 80_000);
  assert.equal(rig.transport.of(DATA).at(-1)?.flags, END_STREAM);
});

test('streams take turns on a connection window that is too small for all', async () => {
  const rig = bareServer();
  rig.server.receive(Buffer.concat([preface, settings([4, 10_000_000])]));
  for (let id = 1; id <= 9; id += 2) {
    rig.server.receive(request(id, [...get.slice(0, 5), '/big/1000000', ...get.slice(6)]));
  }
  await turn();
  for (let round = 0; round < 10; round++) {
    rig.server.receive(frame(WINDOW_UPDATE, 0, 0, u32(100_000)));
    await turn();
  }
  const shares = [1, 3, 5, 7, 9].map((id) => sent(rig, id));
  assert.equal(
    shares.reduce((sum, share) => sum + share, 0),
    1_065_535,
  );
  assert.ok(Math.max(...shares) - Math.min(...shares) <= 16_384 * 2, `shares ${shares.join(' ')}`);
  rig.server.destroy();
});

test('DATA waits while the socket is full, and control frames pass', async () => {
  const rig = startServer();
  await turn();
  rig.transport.room = false;
  rig.server.receive(request(1, [...get.slice(0, 5), '/big/60000', ...get.slice(6)]));
  await turn();
  const once = sent(rig, 1);
  rig.server.receive(frame(WINDOW_UPDATE, 0, 1, u32(1_000_000)));
  rig.server.receive(request(3, [...get.slice(0, 5), '/big/60000', ...get.slice(6)]));
  await turn();
  assert.equal(sent(rig, 1), once);
  assert.equal(sent(rig, 3), 0);
  rig.transport.room = true;
  rig.server.onWritable();
  assert.equal(sent(rig, 1) + sent(rig, 3), 65_535, 'all that the connection window allows');
  rig.server.destroy();
});

test('chunks of one turn travel in as few DATA frames as they fit into', async () => {
  const rig = startServer();
  rig.server.receive(request(1));
  const stream = opened(rig, 0);
  stream.respond({ status: 200, headers: [] }, false);
  for (let index = 0; index < 100; index++) stream.write(Buffer.from('0123456789'));
  stream.end(null);
  await turn();
  const data = rig.transport.of(DATA);
  assert.equal(data.length, 1);
  assert.equal(data[0]?.payload.toString(), '0123456789'.repeat(100));
  assert.equal(data[0]?.flags, END_STREAM);
});

test('large and small chunks keep their order', async () => {
  const rig = startServer();
  rig.server.receive(request(1));
  const stream = opened(rig, 0);
  stream.respond({ status: 200, headers: [] }, false);
  const pieces = [1, 5000, 3, 4097, 4096, 20_000, 7].map((size, index) => Buffer.alloc(size, 97 + index));
  for (const piece of pieces) stream.write(piece);
  stream.end(['done', 'yes']);
  await turn();
  const body = Buffer.concat(rig.transport.of(DATA).map((found) => found.payload));
  assert.ok(body.equals(Buffer.concat(pieces)));
  assert.equal(rig.transport.frames().at(-1)?.flags, 0x5, 'trailers end the stream');
});

test('a drained connection accepts nothing above its last GOAWAY, and closes behind its last stream', async () => {
  const rig = startServer();
  rig.server.receive(request(1));
  rig.server.drain();
  await turn();
  rig.server.receive(request(3));
  rig.server.receive(frame(6, 1, 0, Buffer.alloc(8)));
  rig.server.receive(request(5));
  await turn();
  assert.equal(rig.listener.heads.length, 2, 'between the two GOAWAY frames streams are served');
  const goaways = rig.transport.of(7).map((found) => found.payload.readUInt32BE(0));
  assert.deepEqual(goaways, [0x7fffffff, 3]);
  opened(rig, 0).respond({ status: 204, headers: [] }, true);
  await turn();
  assert.equal(rig.transport.ended, false);
  opened(rig, 1).respond({ status: 204, headers: [] }, true);
  await turn();
  assert.ok(rig.transport.ended);
  rig.server.onClosed();
  assert.equal(rig.clock.pending, 0);
});

test('draining does not wait for a peer that answers no PING', async () => {
  const rig = startServer();
  rig.server.drain();
  rig.clock.advance(1_000);
  await turn();
  assert.ok(rig.transport.ended);
});

test('whatever is written arrives in order, whatever windows the peer opens', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 9000 })), {
        maxLength: 300,
      }),
      fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 20 }),
      async (sizes, increments) => {
        const rig = bareServer({ http2_window_updates: 1_000_000 });
        rig.server.receive(
          Buffer.concat([preface, settings([4, 0]), frame(WINDOW_UPDATE, 0, 0, u32(0x7fff0000)), request(1)]),
        );
        const stream = opened(rig, 0);
        stream.respond({ status: 200, headers: [] }, false);
        const pieces = sizes.map((size, index) => Buffer.alloc(size, index));
        const half = pieces.length >> 1;
        for (const piece of pieces.slice(0, half)) stream.write(piece);
        for (const increment of increments) {
          rig.server.receive(frame(WINDOW_UPDATE, 0, 1, u32(increment)));
          await turn();
        }
        for (const piece of pieces.slice(half)) stream.write(piece);
        stream.end(null);
        rig.server.receive(frame(WINDOW_UPDATE, 0, 1, u32(100_000_000)));
        for (let turns = 0; turns < 3; turns++) await turn();
        const body = Buffer.concat(rig.transport.of(DATA).map((found) => found.payload));
        assert.ok(body.equals(Buffer.concat(pieces)));
        assert.equal(rig.server.activeStreams, 0);
      },
    ),
    { numRuns: 60 },
  );
});

test('a byte of DATA does not keep the large read alive that it came in', () => {
  const chunks: Buffer[] = [];
  const handler: StreamHandler = {
    onData: (piece) => void chunks.push(piece),
    onEnd: () => {},
    onReset: () => {},
    onDrain: () => {},
  };
  const server = new Http2Server(
    new MemoryTransport(),
    { onRequest: () => handler, onClose: () => {} },
    { clock: new FakeClock(), limits: new LimitLedger(http2Limits) },
  );
  server.receive(Buffer.concat([preface, settings(), openRequest(1)]));
  server.receive(
    Buffer.concat([
      frame(DATA, 0, 1, 'x'),
      frame(0xee, 0, 0, Buffer.alloc(16_000)),
      frame(DATA, 0, 1, chunk),
    ]),
  );
  assert.deepEqual(
    chunks.map((piece) => piece.length),
    [1, 16_000],
  );
  assert.ok((chunks[0]?.buffer.byteLength ?? 0) <= 8192);
  server.destroy();
});
