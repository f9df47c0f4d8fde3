import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { requestHead, send } from './testing/exchange.ts';
import {
  block,
  END_HEADERS,
  END_STREAM,
  frame,
  get,
  HEADERS,
  openRequest,
  request,
  settings,
  startClient,
  startServer,
  turn,
} from './testing/raw-peer.ts';

const streamId = fc.oneof(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 0xffffffff }));
const anyFrame = fc
  .tuple(
    fc.integer({ min: 0, max: 11 }),
    fc.integer({ min: 0, max: 0x3f }),
    streamId,
    fc.uint8Array({ maxLength: 40 }),
  )
  .map(([type, flags, id, payload]) => frame(type, flags, id, Buffer.from(payload)));
const goodFrame = fc.oneof(
  streamId.map((id) => request(id)),
  streamId.map((id) => openRequest(id)),
  streamId.map((id) => frame(HEADERS, END_HEADERS | END_STREAM, id, block(':status', '200'))),
  streamId.map((id) => frame(HEADERS, END_HEADERS, id, block(':status', '200'))),
  fc.tuple(streamId, fc.boolean()).map(([id, end]) => frame(0, end ? 1 : 0, id, 'some data')),
  fc.tuple(fc.integer({ min: 1, max: 9 }), fc.nat()).map((pair) => settings(pair)),
  fc.constant(request(1, [...get.slice(0, 5), '/big/100000', ...get.slice(6)])),
);
/** Frames, some of them damaged in one byte, cut into reads anywhere. */
const input = fc
  .tuple(
    fc.array(fc.oneof({ weight: 2, arbitrary: goodFrame }, anyFrame), { maxLength: 30 }),
    fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 3 }),
    fc.array(fc.nat(), { maxLength: 6 }),
  )
  .map(([frames, damage, cuts]) => {
    const bytes = Buffer.concat(frames);
    for (const [at, value] of damage) if (bytes.length > 0) bytes[at % bytes.length] = value;
    const places = cuts.map((cut) => cut % (bytes.length + 1)).sort((left, right) => left - right);
    return [0, ...places].map((from, index) => bytes.subarray(from, places[index] ?? bytes.length));
  });

test('no input makes the server throw, leak a stream or a timer', async () => {
  await fc.assert(
    fc.asyncProperty(input, async (reads) => {
      const rig = startServer();
      for (const read of reads) {
        rig.server.receive(read);
        await turn();
      }
      rig.transport.frames();
      rig.server.destroy();
      assert.equal(rig.server.activeStreams, 0);
      assert.equal(rig.listener.closed, 1);
      assert.equal(rig.clock.pending, 0);
    }),
    { numRuns: 500 },
  );
});

test('no input makes the client throw, leak a stream or a timer, or leave an exchange without an end', async () => {
  await fc.assert(
    fc.asyncProperty(input, async (reads) => {
      const rig = startClient();
      const answers = [1, 2, 3].map((index) =>
        send(rig.client, requestHead(`/${index}`), Buffer.from('body')),
      );
      await turn();
      for (const read of reads) {
        rig.client.receive(read);
        await turn();
      }
      rig.transport.frames();
      rig.client.destroy();
      for (const answer of answers) assert.ok(answer.ended !== (answer.resetReason !== undefined));
      assert.equal(rig.client.activeStreams, 0);
      assert.equal(rig.clock.pending, 0);
    }),
    { numRuns: 500 },
  );
});
