import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { seededRandom } from '@mesh/clock/seeded';
import type { ClientConnection } from '@mesh/http/message';
import { ACK, frame, framesIn, GOAWAY, PING, preface, settings, u32 } from '@mesh/http2/testing/raw-peer';
import { LimitLedger } from '@mesh/limits/limits';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { listen } from '@mesh/testkit/servers';
import { silentPort } from '@mesh/testkit/silent-port';
import { userTimeout } from '@mesh/transport/socket-options';
import { eventually } from '@mesh/testkit/eventually';
import { FaultRelay } from '@mesh/testkit/fault-relay';
import { ConnectError, connectTcp, type DialTarget } from './connector.ts';
import { peerTickMs } from './keep-alive.ts';
import type { LaneFault } from './lane.ts';
import { type DataplaneLimit, dataplaneLimits } from './limits.ts';
import { defaultCodecs, Peer } from './peer.ts';
import { SharedTicker } from './shared-ticker.ts';
import { SilentPaths } from './silent-paths.ts';

function setup(
  port = 1,
  facts: Partial<DialTarget> = {},
  overrides: Partial<Record<DataplaneLimit, number>> = {},
) {
  const clock = new FakeClock();
  const limits = new LimitLedger(dataplaneLimits, overrides);
  const paths = new SilentPaths(limits, clock);
  const dialledAt: number[] = [];
  const sockets: Socket[] = [];
  let refuse = true;
  let hold: number | undefined;
  const target: DialTarget = { host: '127.0.0.1', port, identity: undefined, gateway: false, ...facts };
  const peer = new Peer(target, {
    clock,
    random: seededRandom(3),
    connector: {
      connect: (asked) => {
        dialledAt.push(clock.now());
        if (hold !== undefined) {
          const { promise, reject } = Promise.withResolvers<Socket>();
          clock.after(hold, () => reject(new ConnectError('no connection', { kind: 'timeout' })));
          return promise;
        }
        if (refuse) return Promise.reject(new ConnectError('ECONNREFUSED', { kind: 'refused' }));
        return connectTcp(asked, { clock, timeoutMs: 1000 }).then((socket) => {
          sockets.push(socket);
          return socket;
        });
      },
    },
    limits,
    ...defaultCodecs(),
    ticker: new SharedTicker(clock, peerTickMs),
    paths,
  });
  const heard: boolean[] = [];
  peer.watch({ onReachable: (reachable) => heard.push(reachable) });
  const submit = (lane: 'h1' | 'h2' = 'h1'): void => {
    peer[lane].submit({ onConnection: () => {}, onConnectFailed: () => {} });
  };
  return {
    clock,
    peer,
    heard,
    dialledAt,
    limits,
    paths,
    sockets,
    submit,
    accept: () => {
      refuse = false;
    },
    refuse: () => {
      refuse = true;
    },
    /** From now on each connect fails after so long. */
    failAfter: (ms: number) => {
      hold = ms;
    },
  };
}

/** A request of which nothing is heard again. */
const nobodyAnswers: Parameters<ClientConnection['request']> = [
  { method: 'GET', scheme: 'http', authority: 'a', path: '/', headers: [], upgrade: '', version: 11 },
  true,
  { onInform() {}, onResponse() {}, onData() {}, onEnd() {}, onReset() {}, onDrain() {} },
];

void test('opaque connects that fail together make one pause, not one that grows with their number', async () => {
  const { clock, peer, heard } = setup();
  const fail = async (): Promise<void> => {
    const dials = Array.from({ length: 20 }, () => peer.dial([]));
    for (const dial of dials) await assert.rejects(dial, /ECONNREFUSED/);
  };
  await fail();
  assert.deepEqual(heard, [false]);
  clock.advance(111);
  assert.deepEqual(heard, [false, true]);
  await fail();
  clock.advance(179);
  assert.deepEqual(heard, [false, true, false]);
  clock.advance(42);
  assert.equal(peer.reachable, true);
  peer.close({ graceful: false });
});

void test('opaque connects that began in one outage make one pause, however late the last of them fails', async () => {
  const { clock, peer, heard, failAfter } = setup();
  failAfter(1000);
  const failures: Promise<void>[] = [];
  for (const wait of [150, 250, 600]) {
    failures.push(assert.rejects(peer.dial([]), /no connection/));
    await clock.advanceAsync(wait);
  }
  assert.equal(clock.now(), 1000);
  assert.deepEqual(heard, [false]);
  await clock.advanceAsync(111);
  assert.deepEqual(heard, [false, true]);
  await clock.advanceAsync(1000);
  await Promise.all(failures);
  assert.deepEqual(heard, [false, true], 'those that failed at 1150 and 1400 say nothing new');
  const late = assert.rejects(peer.dial([]), /no connection/);
  await clock.advanceAsync(1000);
  await late;
  assert.equal(peer.reachable, false, 'a later one does');
  await clock.advanceAsync(179);
  assert.equal(peer.reachable, false);
  await clock.advanceAsync(42);
  assert.equal(peer.reachable, true);
  peer.close({ graceful: false });
});

for (const requests of [1, 5, 20]) {
  void test(`requests that fail to connect together make one pause, which does not grow with their number: ${requests}`, async () => {
    const { clock, peer, dialledAt, submit } = setup();
    for (let request = 0; request < requests; request++) submit();
    await clock.advanceAsync(1);
    assert.equal(dialledAt.length, requests);
    await clock.advanceAsync(110);
    assert.equal(dialledAt.length, requests + 1, 'one looks again after 100 ms');
    await clock.advanceAsync(150);
    assert.equal(dialledAt.length, requests + 1, 'what it finds counts: the second pause is of 200 ms');
    await clock.advanceAsync(80);
    assert.equal(dialledAt.length, requests + 2);
    peer.close({ graceful: false });
  });
}

void test('connects that still hang when the pause is over are its probe, and the next pause follows', async () => {
  const { clock, peer, dialledAt, submit, failAfter } = setup();
  failAfter(1000);
  submit();
  submit();
  await clock.advanceAsync(200);
  for (let request = 0; request < 3; request++) submit();
  await clock.advanceAsync(800);
  assert.equal(peer.reachable, false);
  const before = dialledAt.length;
  await clock.advanceAsync(111);
  assert.equal(dialledAt.length, before, 'others are on their way');
  await clock.advanceAsync(89);
  await clock.advanceAsync(179);
  assert.equal(dialledAt.length, before);
  await clock.advanceAsync(42);
  assert.equal(dialledAt.length, before + 1, 'they failed as one');
  peer.close({ graceful: false });
});

void test('opaque connects that fail again and again keep nobody from a connection that is there', async (t) => {
  const { port } = await listen(t, () => {});
  const { clock, peer, accept, refuse, submit } = setup(port);
  accept();
  submit('h2');
  await eventually('it is connected', () => peer.h2.usable);
  refuse();
  for (let time = 0; time < 8; time++) {
    await assert.rejects(peer.dial([]), /ECONNREFUSED/);
    assert.equal(peer.reachable, false);
    clock.advance(111);
    assert.equal(peer.reachable, true, `after failure ${time}`);
  }
  peer.close({ graceful: false });
});

void test('a refused connect makes a peer unreachable at once; it is tried again with growing, jittered pauses', async () => {
  const { clock, peer, heard, dialledAt, submit } = setup();
  submit();
  await clock.advanceAsync(0, 1);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(heard, [false]);
  assert.deepEqual(peer.lastFault, { kind: 'refused', detail: 'ECONNREFUSED' });
  await clock.advanceAsync(60_000, 10);
  const pauses = dialledAt.slice(1).map((at, index) => at - (dialledAt[index] ?? 0));
  for (const [index, pause] of pauses.entries()) {
    const due = Math.min(10_000, 100 * 2 ** index);
    assert.ok(pause >= due * 0.9 && pause <= due * 1.1 + 10, `pause ${index} was ${pause} ms`);
  }
  assert.ok(pauses.length >= 9);
  assert.ok(new Set(pauses.map((pause, index) => pause / Math.min(10_000, 100 * 2 ** index))).size > 3);
  assert.deepEqual(heard, [false], 'waiting alone makes nothing reachable');
  peer.close({ graceful: false });
  assert.equal(clock.pending, 0);
});

void test('a connection that succeeds makes it reachable, and the next failure starts with the short pause', async (test) => {
  const { port } = await listen(test, () => {});
  const { clock, peer, heard, dialledAt, submit, accept } = setup(port);
  submit();
  await clock.advanceAsync(5000, 10);
  accept();
  await clock.advanceAsync(5000, 10);
  await eventually('it is reachable', () => heard.at(-1) === true);
  assert.deepEqual(heard, [false, true]);
  assert.equal(peer.lastFault, undefined);
  const dials = dialledAt.length;
  await clock.advanceAsync(60_000, 100);
  assert.equal(dialledAt.length, dials, 'no more tries once it is there');
  peer.close({ graceful: false });
});

for (const [what, lane, arrange, says] of [
  [
    'an address that never answers',
    'h1',
    async (test: TestContext, reached: () => void) => {
      reached();
      return await silentPort(test);
    },
    /no connection within 1000 ms/,
  ],
  [
    'a proxy that accepts and never shows that it serves',
    'h2',
    async (test: TestContext, reached: () => void) =>
      (await listen(test, (socket) => socket.once('data', reached))).port,
    /no answer on a new connection/,
  ],
] as const) {
  void test(`${what} is unreachable after the time of a connect, and those who wait hear why`, async (test) => {
    let begun = false;
    const port = await arrange(test, () => {
      begun = true;
    });
    const { clock, peer, heard, accept } = setup(port, { identity: 'peer' });
    accept();
    const faults: LaneFault[] = [];
    peer[lane].submit({ onConnection: () => {}, onConnectFailed: (fault) => faults.push(fault) });
    await eventually('a connection that can be made is', () => begun);
    await clock.advanceAsync(dataplaneLimits.connect_ms.default - 1);
    assert.deepEqual([heard, faults], [[], []]);
    await clock.advanceAsync(1);
    assert.deepEqual(heard, [false]);
    assert.deepEqual(
      faults.map(({ kind }) => kind),
      ['timeout'],
    );
    assert.match(faults[0]?.detail ?? '', says);
    assert.equal(peer.lastFault?.kind, 'timeout');
    peer.close({ graceful: false });
  });
}

for (const [what, lane, facts, watched] of [
  ['HTTP/1 to a stranger', 'h1', { host: '127.0.0.2' }, 1],
  ['HTTP/2 to a stranger', 'h2', { host: '127.0.0.2' }, 1],
  ['HTTP/1 to a proxy', 'h1', { host: '127.0.0.2', identity: 'peer' }, 1],
  ['HTTP/2 to a proxy, which PINGs watch', 'h2', { host: '127.0.0.2', identity: 'peer' }, 0],
  ['an application on this machine', 'h1', {}, 0],
] as const satisfies readonly [string, 'h1' | 'h2', Partial<DialTarget>, 0 | 1][]) {
  void test(`the kernel's acknowledgements are watched: ${what}: ${watched === 1 ? 'yes' : 'no'}`, async (test) => {
    const { port } = await listen(test, () => {});
    const relay = new FaultRelay({
      host: '127.0.0.1',
      port,
      listenHost: 'host' in facts ? facts.host : '127.0.0.1',
      clock: new FakeClock(),
      random: seededRandom(1),
    });
    await relay.start();
    test.after(() => relay.kill());
    const { peer, paths, submit, accept } = setup(relay.port, facts);
    accept();
    submit(lane);
    await eventually('it is connected', () => relay.open === 1);
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(paths.size, watched);
    peer.close({ graceful: false });
    await eventually('it is forgotten', () => paths.size === 0);
  });
}

const limitCases: readonly {
  limit: DataplaneLimit;
  lane: 'h1' | 'h2';
  overrides: Partial<Record<DataplaneLimit, number>>;
  /** Requests, all at once. */
  requests: number;
  /** Of the sweep that follows, once they have a connection. */
  sweep?: { idleMs: number; ageMs: number };
}[] = [
  { limit: 'connect_waiters', lane: 'h1', overrides: { connect_waiters: 1 }, requests: 2 },
  {
    limit: 'http1_connections_per_endpoint',
    lane: 'h1',
    overrides: { http1_connections_per_endpoint: 1 },
    requests: 2,
  },
  {
    limit: 'http2_connections_per_endpoint',
    lane: 'h2',
    overrides: { http2_connections_per_endpoint: 1 },
    requests: 101,
  },
  { limit: 'http1_pool_idle_ms', lane: 'h1', overrides: {}, requests: 1, sweep: { idleMs: 0, ageMs: 1e9 } },
  { limit: 'connection_age_ms', lane: 'h2', overrides: {}, requests: 1, sweep: { idleMs: 1e9, ageMs: 0 } },
];

for (const { limit, lane, overrides, requests, sweep } of limitCases) {
  void test(`${limit} is counted by its name, and nothing else is`, async (test) => {
    const { port } = await listen(test, () => {});
    const { peer, limits, accept } = setup(port, {}, overrides);
    accept();
    let waiting = requests;
    for (let request = 0; request < requests; request++) {
      peer[lane].submit({
        onConnection: (connection) => {
          waiting--;
          if (sweep === undefined) connection.request(...nobodyAnswers);
        },
        onConnectFailed: () => waiting--,
      });
    }
    await eventually(
      'what can be begun is',
      () => waiting < requests && (waiting === 0 || limits.hits(limit) > 0),
    );
    if (sweep !== undefined) peer.sweep(sweep);
    assert.deepEqual(
      Array.from(limits.entries(), ([name]) => name),
      [limit],
    );
    peer.close({ graceful: false });
  });
}

for (const [what, lane, facts, ms] of [
  ['HTTP/2 to a proxy', 'h2', { identity: 'peer' }, dataplaneLimits.tcp_user_timeout_ms.default],
  ['HTTP/2 to a stranger, who need not read', 'h2', {}, 0],
  ['HTTP/1', 'h1', {}, 0],
] as const) {
  void test(`the kernel gives up after ${ms} ms (0: its own time): ${what}`, async (test) => {
    const { port } = await listen(test, () => {});
    const { peer, sockets, submit, accept } = setup(port, facts);
    accept();
    submit(lane);
    const socket = await eventually('it is connected', () => sockets[0]);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(userTimeout(socket), ms);
    peer.close({ graceful: false });
  });
}

void test('a peer that ends each connection with the sign that it serves it is not dialled without pause', async (t) => {
  const { port } = await listen(t, (socket) => {
    socket.write(settings());
    socket.on('data', (chunk: Buffer) => {
      const bytes = chunk.indexOf(preface) === 0 ? chunk.subarray(preface.length) : chunk;
      for (const { type, flags, payload } of framesIn(bytes)) {
        if (type !== PING || flags !== 0) continue;
        socket.end(Buffer.concat([frame(PING, ACK, 0, payload), frame(GOAWAY, 0, 0, u32(0, 0))]));
      }
    });
  });
  const { peer, accept, dialledAt, heard } = setup(port, { identity: 'cart' });
  accept();
  const faults: LaneFault[] = [];
  peer.h2.submit({ onConnection: () => {}, onConnectFailed: (fault) => faults.push(fault) });
  await eventually('who waits is told', () => faults.length === 1);
  assert.match(faults[0]?.detail ?? '', /ended/);
  assert.deepEqual([dialledAt.length, heard], [1, [false]]);
  peer.close({ graceful: false });
});
