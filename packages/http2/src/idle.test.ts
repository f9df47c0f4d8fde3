/** A connection without a stream is asked to go after `http2_idle_ms`, and closed; one with a stream never is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  END_STREAM,
  DATA,
  frame,
  GOAWAY,
  openRequest,
  PING,
  request,
  RST_STREAM,
  type ServerRig,
  startServer,
  turn,
  u32,
} from './testing/raw-peer.ts';

const hour = 3_600_000;
const lastIds = ({ transport }: ServerRig): number[] =>
  transport.of(GOAWAY).map(({ payload }) => payload.readUInt32BE(0));

async function pass(rig: ServerRig, ms: number): Promise<void> {
  rig.clock.advance(ms);
  await turn();
}

test('an idle connection gets both GOAWAY frames, and then its end, though the peer does nothing', async () => {
  const rig = startServer();
  await pass(rig, hour - 1);
  assert.deepEqual(lastIds(rig), []);
  await pass(rig, 1);
  assert.deepEqual(lastIds(rig), [0x7fffffff], 'what is on its way is still taken');
  assert.equal(rig.limits.hits('http2_idle_ms'), 1);
  await pass(rig, 1000);
  assert.deepEqual(lastIds(rig), [0x7fffffff, 0]);
  await pass(rig, 30_000);
  assert.ok(rig.transport.destroyed);
  assert.equal(rig.limits.hits('http2_drain_ping_ms'), 1, 'the PING between the two had no answer');
  assert.equal(rig.limits.hits('http2_linger_ms'), 1, 'nor had our FIN');
  assert.equal(rig.limits.hits('http2_idle_ms'), 1);
});

test('the hour begins anew with the end of each last stream, and PINGs do not count', async () => {
  const rig = startServer();
  await pass(rig, hour / 2);
  rig.server.receive(Buffer.concat([openRequest(1), frame(RST_STREAM, 0, 1, u32(8))]));
  for (let minute = 0; minute < 59; minute++) {
    rig.server.receive(frame(PING, 0, 0, u32(0, minute)));
    await pass(rig, 60_000);
  }
  assert.deepEqual(lastIds(rig), []);
  await pass(rig, 60_000);
  assert.equal(lastIds(rig).length, 1);
});

test('a connection with an open stream is not idle, however long nothing comes', async () => {
  const rig = startServer();
  rig.server.receive(openRequest(1));
  for (let day = 0; day < 10; day++) await pass(rig, 24 * hour);
  assert.deepEqual(lastIds(rig), []);
  assert.equal(rig.limits.hits('http2_idle_ms'), 0);
  rig.server.receive(frame(DATA, END_STREAM, 1, 'late'));
  await turn();
  assert.equal(rig.listener.ended, 1, 'the stream works on');
});

test('a request that crosses the GOAWAY is served, and the connection ends behind it', async () => {
  const rig = startServer();
  await pass(rig, hour);
  rig.server.receive(request(1));
  await turn();
  await pass(rig, 1000);
  assert.deepEqual(lastIds(rig), [0x7fffffff, 1]);
  assert.equal(rig.listener.heads.length, 1);
  assert.ok(!rig.transport.ended, 'it waits for the answer');
  rig.server.receive(frame(RST_STREAM, 0, 1, u32(8)));
  await turn();
  assert.ok(rig.transport.ended);
});

test('a connection that ended leaves no timer', () => {
  const rig = startServer();
  rig.server.destroy();
  assert.equal(rig.clock.pending, 0);
});
