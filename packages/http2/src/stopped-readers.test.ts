/** What connections whose readers stopped hold together is bounded for the process, not only for each. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LimitLedger } from '@mesh/limits/limits';
import { sweptBytes } from '@mesh/testkit/retained-bytes';
import { http2Limits } from './limits.ts';
import {
  DATA,
  END_STREAM,
  forgetRequests,
  frame,
  getBytes,
  openRequest,
  request,
  RST_STREAM,
  type ServerRig,
  startServer,
  turn,
  u32,
  WINDOW_UPDATE,
} from './testing/raw-peer.ts';
import { WindowBudget } from './window-budget.ts';

const MiB = 1024 * 1024;
const window = 1_048_576;
const chunk = Buffer.alloc(16_384);

/** Sends on streams that nobody reads until the connection has no window; returns how much that was. */
async function fill(rig: ServerRig): Promise<number> {
  let sent = 0;
  for (let stream = 0; stream < 64; stream++) {
    const id = 2 * stream + 1;
    rig.server.receive(openRequest(id));
    await turn();
    const granted =
      65_535 +
      rig.transport
        .of(WINDOW_UPDATE)
        .filter(({ streamId }) => streamId === 0)
        .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
    const most = Math.min(65_535, granted - sent);
    for (let at = 0; at < most; at += chunk.length) {
      const piece = chunk.subarray(0, Math.min(chunk.length, most - at));
      rig.server.receive(frame(DATA, 0, id, piece));
      sent += piece.length;
    }
  }
  return sent;
}

test('connections whose readers stopped hold their windows and one budget, and give it back', async () => {
  const limits = new LimitLedger(http2Limits, { http2_owed_budget_bytes: 4 * MiB });
  const windowBudget = new WindowBudget(limits);
  const rigs = Array.from({ length: 12 }, () => startServer({}, { windowBudget }));
  let held = 0;
  for (const rig of rigs) held += await fill(rig);
  const { http2_owed_budget_bytes: budget } = limits.values;
  assert.ok(held <= rigs.length * window + budget, `${held} bytes are held`);
  assert.ok(held > rigs.length * window + budget - MiB, 'the budget is used');
  assert.ok(windowBudget.owed <= budget);
  assert.ok(limits.hits('http2_owed_budget_bytes') > 0);
  assert.ok((rigs[0]?.limits.hits('http2_owed_bytes') ?? 0) > 0, 'the first ones reach the limit of each');

  // One ends, one is reset stream by stream: a newcomer gets what they had.
  rigs[0]?.server.destroy();
  for (let id = 1; id < 128; id += 2) rigs[1]?.server.receive(frame(RST_STREAM, 0, id, u32(8)));
  assert.ok(windowBudget.owed <= budget - 2 * MiB + chunk.length, `${windowBudget.owed} bytes are owed`);
  for (const rig of rigs) rig.server.destroy();
  assert.equal(windowBudget.owed, 0);
});

test('a reader that comes back when the budget is used up by others is served on, within its window', async () => {
  const limits = new LimitLedger(http2Limits, { http2_owed_budget_bytes: MiB });
  const windowBudget = new WindowBudget(limits);
  await fill(startServer({}, { windowBudget }));
  const rig = startServer({}, { windowBudget });
  for (let round = 0; round < 100; round++) {
    const id = 2 * round + 1;
    rig.server.receive(openRequest(id));
    for (let piece = 0; piece < 3; piece++) rig.server.receive(frame(DATA, 0, id, chunk));
    rig.server.receive(frame(DATA, END_STREAM, id, 'end'));
    rig.listener.streams.at(-1)?.consume(3 * chunk.length + 3);
    await turn();
  }
  assert.equal(rig.listener.received, 100 * (3 * chunk.length + 3), 'more than four windows');
  assert.deepEqual(rig.transport.goawayCode, undefined);
});

test('answers that are reset while the connection has no window leave nothing behind', async () => {
  const rig = startServer({ http2_peer_resets: 1_000_000 });
  rig.server.receive(request(1, getBytes(70_000)));
  await turn();
  const before = sweptBytes();
  for (let id = 3; id < 30_000; id += 2) {
    rig.server.receive(request(id, getBytes(10)));
    rig.server.receive(frame(RST_STREAM, 0, id, u32(8)));
    if (id % 100 === 1) await turn();
    forgetRequests(rig);
  }
  await turn();
  const kept = sweptBytes() - before;
  assert.equal(rig.server.activeStreams, 1);
  assert.ok(kept < 2_000_000, `${kept} bytes are kept`);
});
