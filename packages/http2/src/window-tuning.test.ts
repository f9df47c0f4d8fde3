import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { LimitLedger } from '@mesh/limits/limits';
import type { ConnectionOptions } from './channel.ts';
import { Http2Client } from './client.ts';
import { http2Limits, type Http2LimitName } from './limits.ts';
import { Http2Server } from './server.ts';
import { Collector, EchoListener, requestHead, send } from './testing/exchange.ts';
import { DATA, frame, openRequest, PING, startServer, turn, u32, WINDOW_UPDATE } from './testing/raw-peer.ts';
import { SimulatedLink } from './testing/simulated-link.ts';
import { WindowBudget } from './window-budget.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

interface Path {
  clock: FakeClock;
  link: SimulatedLink;
  client: Http2Client;
  server: Http2Server;
  limits: LimitLedger<Http2LimitName>;
  budget: WindowBudget;
}

/** Our client and our server, `rttMs` apart; `client` options replace tuned windows. */
function path(
  { rttMs, bytesPerMs }: { rttMs: number; bytesPerMs: number },
  client?: Partial<ConnectionOptions>,
): Path {
  const clock = new FakeClock();
  const link = new SimulatedLink(clock, { delayMs: rttMs / 2, bytesPerMs });
  const limits = new LimitLedger(http2Limits);
  const budget = new WindowBudget(limits);
  const server = new Http2Server(link.right, new EchoListener(), { clock, limits });
  link.right.attach(server);
  const tuned = new Http2Client(link.left, { clock, limits, ...(client ?? { windowBudget: budget }) });
  link.left.attach(tuned);
  return { clock, link, client: tuned, server, limits, budget };
}

/** Milliseconds that one download of `bytes` takes. */
async function download({ clock, link, client }: Path, bytes: number): Promise<number> {
  const start = clock.now();
  const answer = send(client, requestHead(`/big/${bytes}`));
  await link.run(() => answer.ended || answer.resetReason !== undefined);
  assert.equal(answer.bytes, bytes);
  return clock.now() - start;
}

const unlimited = { streamWindow: 0x7fffffff, connectionWindow: 0x7fffffff };
const fixed = {};

for (const { rttMs, bytesPerMs, bytes } of [
  { rttMs: 20, bytesPerMs: 12_500, bytes: 16 * MiB },
  { rttMs: 80, bytesPerMs: 12_500, bytes: 48 * MiB },
  { rttMs: 200, bytesPerMs: 5_000, bytes: 64 * MiB },
]) {
  test(`one stream at ${rttMs} ms and ${bytesPerMs / 1000} MB/s is as fast as without a window, but for a tenth`, async () => {
    const best = await download(path({ rttMs, bytesPerMs }, unlimited), bytes);
    const tuned = path({ rttMs, bytesPerMs });
    const took = await download(tuned, bytes);
    assert.ok(best / took >= 0.9, `${best} ms without a window, ${took} ms with ours`);
    assert.ok(tuned.link.right.received < 16 * KiB, 'few WINDOW_UPDATE and PING frames');
    assert.equal(tuned.limits.hits('http2_pings'), 0);
  });
}

test('at 25 MB/s and 200 ms a first body of 32 MiB is held back by the largest window, not by its growth', async () => {
  const took = await download(path({ rttMs: 200, bytesPerMs: 25_000 }), 32 * MiB);
  // Head, first window and its update: two round trips; then 4 MiB in each, less what waits for its update.
  assert.ok(took < 2 * 200 + 1.1 * 8 * 200, `${took} ms`);
});

test('a path that is slower than presumed gives back what its window was too large by', async () => {
  const rig = path({ rttMs: 200, bytesPerMs: 500 });
  const answer = send(rig.client, requestHead(`/big/${16 * MiB}`));
  await rig.link.run(() => answer.bytes > 64 * KiB);
  const presumed = rig.budget.used;
  await rig.link.run(() => answer.bytes > 12 * MiB);
  assert.ok(
    presumed > 3 * MiB && rig.budget.used < presumed / 2,
    `${rig.budget.used} of ${presumed} granted`,
  );
  rig.client.destroy();
});

test('a fixed window of 64 KiB is what the tuning is for: a tenth of the bandwidth at 80 ms', async () => {
  const took = await download(path({ rttMs: 80, bytesPerMs: 12_500 }, fixed), 4 * MiB);
  assert.ok(took > 4000, `${took} ms`);
});

test('a later stream begins where the last one ended', async () => {
  const rig = path({ rttMs: 80, bytesPerMs: 12_500 });
  const first = await download(rig, 24 * MiB);
  const second = await download(rig, 2 * MiB);
  // Head and first window, the update, the rest: 2 MiB need 168 ms of bandwidth alone.
  assert.ok(first > 2000 && second < 168 + 2.5 * 80, `${second} ms`);
});

test('windows go back to the budget: at the end of a stream as its peer uses them up, at the end of a connection at once', async () => {
  const rig = path({ rttMs: 80, bytesPerMs: 12_500 });
  await download(rig, 24 * MiB);
  const grown = rig.budget.used;
  assert.ok(grown > 512 * KiB, `${grown} granted`);
  for (let index = 0; index < 300; index++) await download(rig, 10_000);
  assert.ok(rig.budget.used < grown / 4, `${rig.budget.used} of ${grown} left after small answers`);
  rig.client.destroy();
  assert.equal(rig.budget.used, 0);
});

test('a reader that became slow shrinks back, and its neighbour stays fast', async () => {
  const rig = path({ rttMs: 80, bytesPerMs: 12_500 });
  const slow = new Collector();
  slow.stream = rig.client.request(requestHead(`/big/${60 * MiB}`), true, slow);
  await rig.link.run(() => slow.bytes > 20 * MiB);
  const grown = rig.budget.used;
  slow.consumes = false;
  // From here on it takes 100 KB/s.
  let taken = 0;
  const step = (): void => {
    slow.stream?.consume(10_000);
    taken += 10_000;
    rig.link.at(rig.clock.now() + 100, step);
  };
  rig.link.at(rig.clock.now(), step);
  await rig.link.run(() => taken > 6 * MiB);
  assert.ok(grown > MiB && rig.budget.used < grown / 8, `${rig.budget.used} of ${grown} granted`);
  const held = slow.bytes - 20 * MiB - taken;
  assert.ok(held < 256 * KiB, `${held} bytes lie unread`);
  const took = await download(rig, 20 * MiB);
  assert.ok(took < 4000, `${took} ms for the neighbour`);
  rig.client.destroy();
  assert.equal(rig.budget.used, 0);
});

test('readers that stop hold no more than windows granted, and all of them no more than the budget', async () => {
  const rig = path({ rttMs: 80, bytesPerMs: 50_000 });
  const readers: Collector[] = [];
  for (let index = 0; index < 40; index++) {
    const reader = new Collector();
    reader.stream = rig.client.request(requestHead(`/big/${8 * MiB}`), true, reader);
    readers.push(reader);
  }
  await rig.link.run(() => readers.every((reader) => reader.bytes > MiB));
  const before = readers.reduce((sum, { bytes }) => sum + bytes, 0);
  for (const reader of readers) reader.consumes = false;
  await rig.link.run(() => false, rig.clock.now() + 2_000);
  const held = readers.reduce((sum, { bytes }) => sum + bytes, 0) - before;
  const { http2_window_budget_bytes, http2_owed_bytes } = rig.limits.values;
  assert.ok(rig.budget.used <= http2_window_budget_bytes);
  assert.ok(held <= rig.budget.used + http2_owed_bytes + MiB, `${held} held, ${rig.budget.used} granted`);
  rig.client.destroy();
  assert.equal(rig.budget.used, 0);
});

test('an asker gets a quarter of what is left of the budget', () => {
  const limits = new LimitLedger(http2Limits, { http2_window_budget_bytes: 1_000_000 });
  const budget = new WindowBudget(limits);
  assert.equal(budget.take(100_000), 100_000);
  assert.equal(limits.hits('http2_window_budget_bytes'), 0);
  assert.equal(budget.take(900_000), 225_000);
  assert.equal(limits.hits('http2_window_budget_bytes'), 1);
  for (let index = 0; index < 100; index++) budget.take(MiB);
  assert.ok(budget.left > 0 && budget.left < 4 * 16_384, 'crumbs are not granted');
  budget.give(budget.used);
  assert.equal(budget.left, 1_000_000);
});

test('small requests cost neither PING nor WINDOW_UPDATE, nor does a body that fits', async () => {
  const limits = new LimitLedger(http2Limits);
  const rig = startServer({}, { windowBudget: new WindowBudget(limits) });
  await turn();
  const before = rig.transport.of(WINDOW_UPDATE).length;
  for (let id = 1; id < 100; id += 2) {
    rig.server.receive(Buffer.concat([openRequest(id), frame(DATA, 1, id, Buffer.alloc(16_000))]));
    rig.listener.streams.at(-1)?.consume(16_000);
  }
  const sized = [':method', 'POST', ':scheme', 'http', ':path', '/silent', 'content-length', '65536'];
  rig.server.receive(openRequest(201, sized));
  for (let index = 0; index < 4; index++) {
    rig.server.receive(frame(DATA, index === 3 ? 1 : 0, 201, Buffer.alloc(16_384)));
    rig.listener.streams.at(-1)?.consume(16_384);
  }
  await turn();
  assert.equal(rig.transport.of(PING).length, 0);
  assert.deepEqual(
    rig.transport
      .of(WINDOW_UPDATE)
      .slice(before)
      .filter(({ streamId }) => streamId !== 0),
    [],
  );
  assert.equal(rig.transport.goawayCode, undefined);
  rig.server.destroy();
});

test('an announced length does not let padding starve a stream of its window', async () => {
  const rig = startServer();
  const sized = [':method', 'POST', ':scheme', 'http', ':path', '/silent', 'content-length', '60000'];
  rig.server.receive(openRequest(1, sized));
  const padded = Buffer.concat([Buffer.from([255]), Buffer.from('x'.repeat(10)), Buffer.alloc(255)]);
  for (let index = 0; index < 6000; index++) {
    rig.server.receive(frame(DATA, 8, 1, padded));
    rig.listener.streams[0]?.consume(10);
    await turn();
  }
  assert.equal(rig.transport.goawayCode, undefined);
  assert.equal(rig.transport.resetCode(1), undefined);
  assert.equal(rig.listener.received, 60_000);
  rig.server.destroy();
});

test('an answer to a PING that was not sent changes nothing', async () => {
  const rig = startServer({}, { windowBudget: new WindowBudget(new LimitLedger(http2Limits)) });
  rig.server.receive(frame(PING, 1, 0, u32(0, 0xffffffff)));
  await turn();
  assert.equal(rig.transport.goawayCode, undefined);
  rig.server.destroy();
});
