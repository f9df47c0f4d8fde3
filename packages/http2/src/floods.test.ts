import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LimitLedger } from '@mesh/limits/limits';
import { errorCode } from './error-codes.ts';
import { http2Limits, type Http2LimitName } from './limits.ts';
import {
  ACK,
  bareServer,
  block,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  get,
  HEADERS,
  openRequest,
  PING,
  preface,
  PRIORITY,
  request,
  RST_STREAM,
  type ServerRig,
  settings,
  SETTINGS,
  startServer,
  turn,
  u32,
  WINDOW_UPDATE,
} from './testing/raw-peer.ts';
import { WindowBudget } from './window-budget.ts';

/** One attack: `frames` for round n, up to `rounds`; the connection must end with the limit counted once. */
interface Flood {
  what: string;
  limit: Http2LimitName;
  rounds: number;
  round: (index: number) => Buffer;
  before?: Buffer;
  /** Requests that may reach the listener before the end. */
  mostRequests: number;
  /** The peer reads nothing, so that answers pile up. */
  unread?: boolean;
  /** Raised limits, where another would come first. */
  raise?: Partial<Record<Http2LimitName, number>>;
}

const odd = (index: number): number => 2 * index + 1;
const small = [...get.slice(0, 5), '/x', ...get.slice(6)];
const bodiless = [...get.slice(0, 5), '/empty', ...get.slice(6)];

const floods: readonly Flood[] = [
  {
    what: 'rapid reset (CVE-2023-44487)',
    limit: 'http2_peer_resets',
    rounds: 10_000,
    round: (index) => Buffer.concat([request(odd(index)), frame(RST_STREAM, 0, odd(index), u32(8))]),
    mostRequests: 101,
  },
  {
    what: 'resets provoked by malformed requests (CVE-2019-9514)',
    limit: 'http2_provoked_resets',
    rounds: 10_000,
    round: (index) => request(odd(index), ['x', 'y']),
    mostRequests: 0,
  },
  {
    what: 'resets provoked by window increments of 0 on open streams',
    limit: 'http2_provoked_resets',
    rounds: 10_000,
    round: (index) => Buffer.concat([openRequest(odd(index)), frame(WINDOW_UPDATE, 0, odd(index), u32(0))]),
    mostRequests: 101,
  },
  {
    what: 'CONTINUATION flood (VU#421644)',
    limit: 'http2_continuation_frames',
    rounds: 10_000,
    before: frame(HEADERS, END_STREAM, 1, block(...get)),
    round: () => frame(CONTINUATION, 0, 1, block('a', 'b')),
    mostRequests: 0,
  },
  {
    what: 'large CONTINUATION frames',
    limit: 'http2_header_block_bytes',
    rounds: 8,
    before: frame(HEADERS, END_STREAM, 1, block(...get)),
    round: () => frame(CONTINUATION, 0, 1, Buffer.alloc(16_000)),
    mostRequests: 0,
  },
  {
    what: 'empty CONTINUATION frames (CVE-2019-9518)',
    limit: 'http2_empty_frames',
    rounds: 10_000,
    before: frame(HEADERS, END_STREAM, 1, block(...get)),
    round: () => frame(CONTINUATION, 0, 1),
    mostRequests: 0,
    raise: { http2_continuation_frames: 1_000_000 },
  },
  {
    what: 'empty DATA frames (CVE-2019-9518)',
    limit: 'http2_empty_frames',
    rounds: 10_000,
    before: openRequest(1),
    round: () => frame(DATA, 0, 1),
    mostRequests: 1,
  },
  {
    what: 'PING flood (CVE-2019-9512)',
    limit: 'http2_pings',
    rounds: 100_000,
    round: () => frame(PING, 0, 0, Buffer.alloc(8)),
    mostRequests: 0,
  },
  {
    what: 'PING flood from a peer that does not read',
    limit: 'http2_queued_control_frames',
    rounds: 100_000,
    round: () => frame(PING, 0, 0, Buffer.alloc(8)),
    mostRequests: 0,
    unread: true,
    raise: { http2_pings: 1_000_000 },
  },
  {
    what: 'SETTINGS flood (CVE-2019-9515)',
    limit: 'http2_settings',
    rounds: 100_000,
    round: () => settings([1, 0]),
    mostRequests: 0,
  },
  {
    what: 'PRIORITY flood (CVE-2019-9513)',
    limit: 'http2_priority_frames',
    rounds: 10_000,
    round: () => frame(PRIORITY, 0, 1, Buffer.alloc(5)),
    mostRequests: 0,
  },
  {
    what: 'WINDOW_UPDATE flood',
    limit: 'http2_window_updates',
    rounds: 10_000,
    round: () => frame(WINDOW_UPDATE, 0, 0, u32(1)),
    mostRequests: 0,
  },
  {
    what: 'frames of unknown types',
    limit: 'http2_unknown_frames',
    rounds: 10_000,
    round: () => frame(0xbb, 0, 0, 'x'),
    mostRequests: 0,
  },
  {
    what: 'streams above the limit, again and again',
    limit: 'http2_provoked_resets',
    rounds: 10_000,
    round: (index) => request(odd(index)),
    mostRequests: 100,
  },
];

for (const { what, limit, rounds, round, before, mostRequests, unread, raise } of floods) {
  test(`flood: ${what}`, async () => {
    const rig = startServer(raise);
    await turn();
    if (unread === true) rig.transport.room = false;
    if (before !== undefined) rig.server.receive(before);
    for (let index = 0; index < rounds; index += 50) {
      const frames = Array.from({ length: Math.min(50, rounds - index) }, (_, offset) =>
        round(index + offset),
      );
      rig.server.receive(Buffer.concat(frames));
      await turn();
      if (rig.limits.hits(limit) > 0) break;
    }
    assert.equal(rig.limits.hits(limit), 1);
    assert.ok(rig.listener.heads.length <= mostRequests, `${rig.listener.heads.length} requests`);
    assert.equal(rig.server.activeStreams, 0);
    if (unread !== true) {
      assert.equal(rig.transport.goawayCode, errorCode.enhanceYourCalm);
      assert.ok(rig.transport.ended);
    }
    const written = rig.transport.writes.length;
    rig.server.receive(request(100_001));
    await turn();
    assert.equal(rig.transport.writes.length, written, 'a connection that ended says nothing more');
    rig.clock.advance(rig.limits.values.http2_linger_ms);
    assert.ok(rig.transport.destroyed);
    rig.server.onClosed();
    assert.equal(rig.listener.closed, 1);
    assert.equal(rig.clock.pending, 0);
  });
}

test('MadeYouReset: faults behind END_STREAM end the connection instead of freeing a slot (CVE-2025-8671)', async () => {
  const faults: [what: string, bytes: Buffer][] = [
    ['increment 0', frame(WINDOW_UPDATE, 0, 1, u32(0))],
    ['window above the maximum', frame(WINDOW_UPDATE, 0, 1, u32(0x7fffffff))],
    ['PRIORITY of another length', frame(PRIORITY, 0, 1, Buffer.alloc(4))],
    ['PRIORITY on itself', frame(PRIORITY, 0, 1, u32(1, 0).subarray(0, 5))],
    ['HEADERS', request(1)],
    ['DATA', frame(DATA, 0, 1, 'x')],
  ];
  for (const [what, bytes] of faults) {
    const rig = startServer();
    rig.server.receive(Buffer.concat([request(1), bytes]));
    await turn();
    assert.ok(rig.transport.ended, what);
    assert.equal(rig.transport.of(RST_STREAM).length, 0, what);
    assert.deepEqual(rig.listener.resets, ['closed'], what);
  }
});

test('resets are forgiven with time and with completed streams', async () => {
  const rig = startServer({ http2_peer_resets: 10 });
  let id = -1;
  const cancelled = (): Buffer => {
    id += 2;
    return Buffer.concat([request(id), frame(RST_STREAM, 0, id, u32(8))]);
  };
  for (let index = 0; index < 10; index++) rig.server.receive(cancelled());
  rig.clock.advance(5_000); // half of the burst is back
  for (let index = 0; index < 5; index++) rig.server.receive(cancelled());
  for (let index = 0; index < 3; index++) rig.server.receive(request((id += 2), small));
  await turn();
  for (let index = 0; index < 3; index++) rig.server.receive(cancelled());
  assert.equal(rig.limits.hits('http2_peer_resets'), 0);
  rig.server.receive(cancelled());
  assert.equal(rig.limits.hits('http2_peer_resets'), 1);
  await turn();
});

test('a PING per DATA frame, as gRPC peers send to measure bandwidth, is no flood', () => {
  const rig = startServer();
  rig.server.receive(openRequest(1));
  for (let index = 0; index < 1000; index++) {
    rig.server.receive(Buffer.concat([frame(DATA, 0, 1, 'x'), frame(PING, 0, 0, Buffer.alloc(8))]));
  }
  assert.equal(rig.limits.hits('http2_pings'), 0);
  rig.server.destroy();
});

test('HPACK bomb: one big entry and many references are answered with 431, and the next request is served', async () => {
  const rig = startServer();
  const entry = Buffer.concat([Buffer.from([0x40, 1, 0x61, 0x7f, 0xa1, 0x1e]), Buffer.alloc(4000, 'x')]);
  rig.server.receive(
    frame(HEADERS, END_HEADERS | END_STREAM, 1, Buffer.concat([entry, Buffer.alloc(500, 0xbe)])),
  );
  rig.server.receive(request(3));
  await turn();
  const [answer] = rig.transport.of(HEADERS);
  assert.equal(answer?.streamId, 1);
  assert.ok(answer.payload.toString('latin1').includes('431'));
  assert.equal(rig.listener.heads.length, 1);
  assert.equal(rig.limits.hits('http2_header_list_bytes'), 1);
  rig.server.destroy();
});

test('HTTP/2 bomb: one-byte cookie crumbs are counted before they are joined (CVE-2026-49975)', async () => {
  const rig = startServer();
  const crumbs = Buffer.concat([block(...get), Buffer.alloc(500, 0xa0)]);
  rig.server.receive(frame(HEADERS, END_HEADERS, 1, crumbs));
  await turn();
  assert.equal(rig.limits.hits('http2_header_count'), 1);
  assert.equal(rig.listener.heads.length, 0);
  assert.equal(rig.transport.resetCode(1), errorCode.noError, 'the rest of the request is not wanted');
  assert.equal(rig.server.activeStreams, 0);
  rig.server.destroy();
});

test('requests that are a field too large are answered one by one, and the connection goes on for others', async () => {
  const rig = startServer();
  const { http2_header_count: most } = rig.limits.values;
  const large = [...get, ...Array.from({ length: most }, () => ['x', 'y']).flat()];
  for (let index = 0; index < 300; index++) {
    rig.server.receive(request(odd(index), large));
    await turn();
  }
  assert.equal(rig.transport.goawayCode, undefined);
  assert.equal(rig.limits.hits('http2_header_count'), 300);
  rig.server.receive(request(odd(300)));
  await turn();
  assert.equal(rig.listener.heads.length, 1);
  rig.server.destroy();
});

test('a list with ten times too many fields ends the connection, which is cheaper than to go on', async () => {
  const rig = startServer();
  const crumbs = Buffer.concat([block(...get), Buffer.alloc(12_000, 0xa0)]);
  rig.server.receive(frame(HEADERS, END_HEADERS, 1, crumbs));
  await turn();
  assert.equal(rig.transport.goawayCode, errorCode.enhanceYourCalm);
  assert.equal(rig.limits.hits('http2_decoded_fields'), 1);
});

test('clients that give up on what takes too long do not end the connection that others share', async () => {
  const rig = startServer({ http2_peer_resets: 10 });
  for (let index = 0; index < 100; index++) {
    rig.server.receive(request(odd(index)));
    rig.clock.advance(rig.limits.values.http2_rapid_reset_ms);
    rig.server.receive(frame(RST_STREAM, 0, odd(index), u32(8)));
  }
  await turn();
  assert.equal(rig.transport.goawayCode, undefined);
  assert.equal(rig.listener.resets.length, 100);
  rig.server.destroy();
});

test('header lists of all open streams together are bounded; what is over is refused and may come again', async () => {
  const rig = startServer({ http2_held_header_bytes: 1000 });
  const large = [...get, 'x-large', 'x'.repeat(100)];
  for (let id = 1; id < 21; id += 2) rig.server.receive(request(id, large));
  await turn();
  const taken = rig.listener.heads.length;
  assert.equal(taken, 3);
  assert.equal(rig.limits.hits('http2_held_header_bytes'), 10 - taken);
  assert.equal(rig.transport.resetCode(19), errorCode.refusedStream);
  // A stream that ends gives its list back, whichever way it ends.
  const [first, second] = rig.listener.streams;
  first?.respond({ status: 204, headers: [] }, true);
  second?.reset('internal');
  rig.server.receive(frame(RST_STREAM, 0, 5, u32(8)));
  for (let id = 21; id < 41; id += 2) rig.server.receive(request(id, large));
  assert.equal(rig.listener.heads.length, 2 * taken);
  rig.server.destroy();
});

test('above its own share a connection holds header lists out of the budget of the program', async () => {
  const limits = { http2_held_header_bytes: 1000, http2_head_budget_bytes: 1000 };
  const budget = new WindowBudget(new LimitLedger(http2Limits, limits));
  const rig = startServer(limits, { windowBudget: budget });
  const large = [...get, 'x-large', 'x'.repeat(100)];
  for (let id = 1; id < 401; id += 2) rig.server.receive(request(id, large));
  await turn();
  const { listener, server, transport } = rig;
  assert.equal(listener.heads.length, 6);
  assert.ok(budget.heads > 0 && budget.heads <= 1000, `${budget.heads} bytes of the budget`);
  assert.equal(transport.resetCode(399), errorCode.refusedStream);
  assert.equal(transport.goawayCode, undefined, 'who cannot know of the limit is not cut off for it');
  for (const stream of listener.streams.slice(0, 4)) stream.respond({ status: 204, headers: [] }, true);
  assert.equal(budget.heads, 0);
  for (let id = 401; id < 441; id += 2) rig.server.receive(request(id, large));
  await turn();
  assert.equal(listener.heads.length, 10);
  server.destroy();
  assert.equal(budget.heads, 0);
});

test('a header block that never ends is given up', async () => {
  const rig = startServer();
  rig.server.receive(frame(HEADERS, END_STREAM, 1, block(...get)));
  rig.clock.advance(5_000);
  await turn();
  assert.equal(rig.transport.goawayCode, errorCode.enhanceYourCalm);
  assert.equal(rig.limits.hits('http2_header_block_ms'), 1);
});

test('a peer that never sends SETTINGS is given up', async () => {
  const rig = bareServer();
  rig.server.receive(preface);
  rig.clock.advance(10_000);
  await turn();
  assert.equal(rig.transport.goawayCode, errorCode.settingsTimeout);
  assert.equal(rig.limits.hits('http2_preface_ms'), 1);
});

function blockedServer(raise?: Partial<Record<Http2LimitName, number>>): ServerRig {
  const rig = startServer(raise);
  rig.transport.room = false;
  return rig;
}

test('a peer that sends requests and reads no answers is not read any more, and resumed once it reads', async () => {
  const rig = blockedServer({ http2_queued_bytes: 10_000 });
  for (let index = 0; index < 2000 && !rig.transport.paused; index++) {
    rig.server.receive(request(odd(index), bodiless));
    await turn();
  }
  assert.ok(rig.transport.paused);
  assert.equal(rig.limits.hits('http2_queued_bytes'), 1);
  rig.transport.room = true;
  rig.server.onWritable();
  assert.equal(rig.transport.paused, false);
  rig.server.destroy();
});

test('a peer that reads nothing for the stall limit loses the connection', async () => {
  const rig = blockedServer();
  rig.server.receive(request(1, small));
  await turn();
  rig.server.receive(request(3, small));
  await turn();
  rig.clock.advance(rig.limits.values.http2_stall_ms + 1);
  assert.ok(rig.transport.destroyed);
  assert.equal(rig.limits.hits('http2_stall_ms'), 1);
  assert.equal(rig.clock.pending, 0);
});

test('a stream whose peer opens no window for the stall limit is reset, its neighbours live', async () => {
  const rig = bareServer();
  rig.server.receive(Buffer.concat([preface, settings([4, 0])]));
  rig.server.receive(Buffer.concat([request(1, small), request(3, small)]));
  await turn();
  const half = rig.limits.values.http2_stall_ms / 2;
  rig.clock.advance(half);
  rig.server.receive(frame(WINDOW_UPDATE, 0, 3, u32(1)));
  await turn();
  rig.clock.advance(half);
  rig.clock.advance(half);
  await turn();
  assert.equal(rig.transport.resetCode(1), errorCode.cancel);
  assert.equal(rig.transport.resetCode(3), undefined);
  assert.deepEqual(rig.listener.resets, ['timeout']);
  assert.equal(rig.limits.hits('http2_stall_ms'), 1);
  rig.server.destroy();
});

test('acknowledgements of ours are not answered', async () => {
  const rig = startServer();
  await turn();
  const before = rig.transport.frames().length;
  rig.server.receive(Buffer.concat([frame(SETTINGS, ACK, 0), frame(PING, ACK, 0, Buffer.alloc(8))]));
  await turn();
  assert.equal(rig.transport.frames().length, before);
});
