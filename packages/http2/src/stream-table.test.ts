import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agedBytes } from '@mesh/testkit/retained-bytes';
import fc from 'fast-check';
import { StreamTable } from './stream-table.ts';
import {
  forgetRequests,
  frame,
  get,
  request,
  RST_STREAM,
  startServer,
  turn,
  u32,
} from './testing/raw-peer.ts';

interface Entry {
  readonly id: number;
  readonly weight?: number[];
}

/** Ids that rise by two, that collide in small tables, and any that there are. */
const anyId = fc.oneof(
  fc.nat({ max: 80 }).map((number) => number * 2 + 1),
  fc.nat({ max: 20 }).map((number) => number * 64 + 1),
  fc.nat({ max: 0x7fff_ffff }),
);

void test('a table finds what a Map finds, whatever comes and goes', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(anyId, fc.boolean()), { maxLength: 400 }), (steps) => {
      const table = new StreamTable<Entry>();
      const model = new Map<number, Entry>();
      for (const [id, add] of steps) {
        if (add && !model.has(id)) {
          const entry = { id };
          table.add(entry);
          model.set(id, entry);
        } else if (!add) {
          table.delete(id);
          model.delete(id);
        }
        assert.equal(table.size, model.size);
      }
      for (const [id] of steps) assert.equal(table.get(id), model.get(id));
      assert.deepEqual(
        table.all(),
        [...model.values()].sort((one, other) => one.id - other.id),
      );
    }),
  );
});

void test('thousands of streams at once, and none afterwards', () => {
  const table = new StreamTable<Entry>();
  for (let id = 1; id < 20_000; id += 2) table.add({ id });
  assert.equal(table.size, 10_000);
  for (let id = 1; id < 20_000; id += 2) assert.equal(table.get(id)?.id, id);
  for (let id = 19_999; id > 0; id -= 2) table.delete(id);
  assert.equal(table.size, 0);
  assert.equal(table.get(1), undefined);
});

void test('streams that are gone are gone for the collector, too', async () => {
  const table = new StreamTable<Entry>();
  let next = 1;
  const aged = await agedBytes(() => {
    for (let count = 0; count < 64; count++, next += 2) {
      table.add({ id: next, weight: Array.from({ length: 64 }, () => next) });
      table.delete(next - 64);
    }
  });
  // 6,400 streams of half a kilobyte went by.
  assert.ok(aged < 500_000, `${aged} bytes grew old`);
});

void test('and so are the requests of a connection', async () => {
  const rig = startServer({ http2_peer_resets: 1_000_000 });
  let next = 1;
  const aged = await agedBytes(async () => {
    for (let count = 0; count < 64; count++, next += 2) {
      rig.server.receive(request(next, get));
      if (next > 64) rig.server.receive(frame(RST_STREAM, 0, next - 64, u32(8)));
    }
    await turn();
    forgetRequests(rig);
  });
  assert.equal(rig.server.activeStreams, 32);
  assert.ok(aged < 500_000, `${aged} bytes grew old`);
});
