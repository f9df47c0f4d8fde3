/**
 * The attacks on HTTP/2 that are known, H2-1 to H2-21 of our survey, on real sockets: how the attacker's connection ends,
 * what bounds it, and that a victim on another connection is served all the while. Floods in which only a limit and its
 * counter matter are in floods.test.ts.
 */
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import v8 from 'node:v8';
import vm from 'node:vm';
import { seededRandom } from '@mesh/clock/seeded';
import { systemClock } from '@mesh/clock/system';
import type { ServerConnection, ServerStream, StreamHandler } from '@mesh/http/message';
import { LimitLedger } from '@mesh/limits/limits';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { dialTcp, listen } from '@mesh/testkit/servers';
import { assertUnharmed, besideVictim } from '@mesh/testkit/victim';
import { connectHttp2 } from './client.ts';
import { errorCode } from './error-codes.ts';
import { http2Limits, type Http2Limits } from './limits.ts';
import { serveHttp2 } from './server.ts';
import { Attacker } from './testing/attacker.ts';
import { EchoListener, requestHead, send } from './testing/exchange.ts';
import {
  block,
  CONTINUATION,
  DATA,
  END_STREAM,
  frame,
  get,
  GOAWAY,
  HEADERS,
  openRequest,
  PING,
  post,
  PRIORITY,
  request,
  RST_STREAM,
  settings,
  u32,
  WINDOW_UPDATE,
} from './testing/raw-peer.ts';

const MiB = 1024 * 1024;
const odd = (index: number): number => 2 * index + 1;
const at = (path: string, fields: readonly string[] = get): string[] => [
  ...fields.slice(0, 5),
  path,
  ...fields.slice(6),
];

/** What the victim and the attackers talk to; each connection has a listener of its own. */
class Target {
  readonly limits: Http2Limits = new LimitLedger(http2Limits);
  readonly clock: FakeClock = new FakeClock();
  readonly connections: { server: ServerConnection; listener: EchoListener }[] = [];
  port = 0;

  async listen(t: TestContext, onSocket?: (socket: Socket) => void): Promise<void> {
    const { port } = await listen(t, (socket) => {
      if (onSocket !== undefined) return onSocket(socket);
      const listener = new EchoListener();
      const server = serveHttp2(socket, listener, { clock: this.clock, limits: this.limits });
      this.connections.push({ server, listener });
    });
    this.port = port;
  }

  /** Requests that reached the application on attackers' connections; the victim's is the first. */
  get attacked(): EchoListener[] {
    return this.connections.slice(1).map(({ listener }) => listener);
  }

  get requests(): number {
    return this.attacked.reduce((sum, { heads }) => sum + heads.length, 0);
  }

  get open(): number {
    return this.attacked.filter(({ closed }) => closed === 0).length;
  }
}

interface Attack {
  id: string;
  what: string;
  run: (t: TestContext, target: Target) => Promise<void>;
}

/** Ends with ENHANCE_YOUR_CALM, by one of the limits. */
async function calmed(attacker: Attacker): Promise<void> {
  await attacker.ended();
  assert.equal(attacker.goawayCode, errorCode.enhanceYourCalm);
}

v8.setFlagsFromString('--expose-gc');
const collect = vm.runInNewContext('gc') as () => void;

/** Heap and buffers in use, behind a collection; the second one ends the sweep of buffers that the first began. */
function usedBytes(): number {
  collect();
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** No more than `most` bytes stay in use beyond what there was before. */
async function holdsAtMost(before: number, most: number): Promise<void> {
  let held = 0;
  await eventually(`no more than ${most} bytes are held`, () => {
    held = usedBytes() - before;
    return held <= most;
  }).catch((fault: unknown) => {
    throw new Error(`${held} bytes are held, more than ${most}`, { cause: fault });
  });
}

/** Sends each vector in a HEADERS frame of its own stream, a few per connection; none may reach the application. */
async function refuseAll(t: TestContext, target: Target, vectors: readonly Buffer[]): Promise<void> {
  const perConnection = 40;
  for (let from = 0; from < vectors.length; from += perConnection) {
    const some = vectors.slice(from, from + perConnection);
    const attacker = await Attacker.dial(t, target.port);
    await attacker.send(...some.map((fields, index) => frame(HEADERS, 5, odd(index), fields)));
    await eventually(
      'all vectors are answered',
      () => attacker.gone || attacker.resets.length === some.length,
    );
    for (const [index, code] of attacker.resets.entries()) {
      assert.equal(code, errorCode.protocolError, `vector ${from + index}`);
    }
    assert.equal(attacker.resets.length, some.length);
    attacker.destroy();
  }
  assert.equal(target.requests, 0, 'a malformed request reached the application');
}

const entry = Buffer.concat([Buffer.from([0x40, 6]), Buffer.from('cookie'), Buffer.from([0x7f, 0xa1, 0x1e])]);
const bigCookie = Buffer.concat([entry, Buffer.alloc(4000, 'x')]);

const attacks: readonly Attack[] = [
  {
    id: 'H2-1',
    what: 'rapid reset (CVE-2023-44487)',
    async run(t, target) {
      const attacker = await Attacker.dial(t, target.port);
      const round = (index: number): Buffer =>
        Buffer.concat([request(odd(index)), frame(RST_STREAM, 0, odd(index), u32(8))]);
      const sent = await attacker.flood(100_000, round);
      await calmed(attacker);
      assert.ok(sent < 20_000 && target.requests <= 101, `${target.requests} requests of ${sent}`);
    },
  },
  {
    id: 'H2-2',
    what: 'MadeYouReset: six ways to have the server reset behind END_STREAM (CVE-2025-8671)',
    async run(t, target) {
      const triggers: ((id: number) => Buffer)[] = [
        (id) => frame(WINDOW_UPDATE, 0, id, u32(0)),
        (id) => frame(WINDOW_UPDATE, 0, id, u32(0x7fffffff)),
        (id) => frame(PRIORITY, 0, id, Buffer.alloc(4)),
        (id) => frame(PRIORITY, 0, id, u32(id, 0).subarray(0, 5)),
        (id) => request(id),
        (id) => frame(DATA, 0, id, 'x'),
      ];
      for (const [index, trigger] of triggers.entries()) {
        const before = target.requests;
        const attacker = await Attacker.dial(t, target.port);
        await attacker.flood(10_000, (round) => Buffer.concat([request(odd(round)), trigger(odd(round))]));
        await attacker.ended();
        assert.ok(target.requests - before <= 10, `trigger ${index}`);
        assert.equal(attacker.resets.length, 0, `trigger ${index}: a slot was freed whose work goes on`);
      }
    },
  },
  {
    id: 'H2-3',
    what: 'HTTP/2 bomb: one-byte references to cookie crumbs, behind a closed window (CVE-2026-49975)',
    async run(t, target) {
      const before = usedBytes();
      const over = await Attacker.dial(t, target.port, [4, 0]);
      const crumbs = Buffer.concat([block(...get), Buffer.alloc(12_000, 0xa0)]);
      await over.flood(1000, (index) => frame(HEADERS, 5, odd(index), crumbs));
      await calmed(over);
      assert.equal(target.requests, 0);

      // Each list within its limits: a hundred streams that all hold fifteen references to one large crumb.
      const within = await Attacker.dial(t, target.port, [4, 0]);
      await within.send(frame(HEADERS, 5, 1, Buffer.concat([block(...get), bigCookie])));
      const references = Buffer.concat([block(...get), Buffer.alloc(14, 0xbe)]);
      await within.flood(99, (index) => frame(HEADERS, 5, odd(index + 1), references));
      await eventually('a hundred requests', () => target.requests === 100);
      await holdsAtMost(before, Math.min(4 * MiB, 8 * (over.sent + within.sent)));
      within.destroy();
    },
  },
  {
    id: 'H2-4',
    what: 'HPACK bomb: a large entry and many references (CVE-2016-6581)',
    async run(t, target) {
      const attacker = await Attacker.dial(t, target.port);
      const before = usedBytes();
      const bomb = Buffer.concat([bigCookie, Buffer.alloc(12_000, 0xbe)]);
      await attacker.flood(64, (index) => frame(HEADERS, 5, odd(index), bomb));
      await eventually('each is answered', () => target.limits.hits('http2_header_list_bytes') === 64);
      await attacker.send(request(1001, at('/x')));
      await eventually('the table is in step', () => target.requests === 1);
      await holdsAtMost(before, 2 * MiB);
      attacker.destroy();
    },
  },
  {
    id: 'H2-5',
    what: 'CONTINUATION flood, and a header block that never ends (VU#421644)',
    async run(t, target) {
      const attacker = await Attacker.dial(t, target.port);
      await attacker.send(frame(HEADERS, END_STREAM, 1, block(...get)));
      await attacker.flood(100_000, () => frame(CONTINUATION, 0, 1, block('a', 'b')));
      await calmed(attacker);
      assert.equal(target.limits.hits('http2_continuation_frames'), 1);

      const patient = await Attacker.dial(t, target.port);
      await patient.send(frame(HEADERS, END_STREAM, 1, block(...get)));
      await eventually('the block is open', () => target.connections.length === 3);
      await eventually('it is given up', () => {
        target.clock.advance(target.limits.values.http2_header_block_ms);
        return target.limits.hits('http2_header_block_ms') === 1;
      });
      await calmed(patient);
      assert.equal(target.requests, 0);
    },
  },
  {
    id: 'H2-6',
    what: 'frames that carry nothing (CVE-2019-9518)',
    async run(t, target) {
      const kinds: [before: Buffer, flood: Buffer][] = [
        [openRequest(1), frame(DATA, 0, 1)],
        [frame(HEADERS, END_STREAM, 1, block(...get)), frame(CONTINUATION, 0, 1)],
        [openRequest(1), frame(DATA, 8, 1, '\x01\0')],
      ];
      for (const [before, flood] of kinds) {
        const attacker = await Attacker.dial(t, target.port);
        await attacker.send(before);
        await attacker.flood(10_000, () => flood);
        await calmed(attacker);
      }
      assert.ok(target.requests <= 2);
    },
  },
  {
    id: 'H2-7',
    what: 'PING and SETTINGS floods from a peer that does not read (CVE-2019-9512, CVE-2019-9515)',
    async run(t, target) {
      for (const bytes of [frame(PING, 0, 0, Buffer.alloc(8)), settings([1, 0])]) {
        const attacker = await Attacker.dial(t, target.port);
        attacker.stopReading();
        const before = usedBytes();
        await attacker.flood(100_000, () => bytes);
        await eventually('both connections are over', () => {
          target.clock.advance(1000);
          return target.open === 0;
        });
        await holdsAtMost(before, 2 * MiB);
      }
      assert.equal(target.limits.hits('http2_pings') + target.limits.hits('http2_settings'), 2);
    },
  },
  {
    id: 'H2-8',
    what: 'resets provoked by bad requests (CVE-2019-9514)',
    async run(t, target) {
      const attacker = await Attacker.dial(t, target.port);
      await attacker.flood(100_000, (index) => request(odd(index), ['x', 'y']));
      await calmed(attacker);
      assert.equal(target.requests, 0);
      assert.ok(attacker.resets.length <= target.limits.values.http2_provoked_resets);
    },
  },
  {
    id: 'H2-9',
    what: 'data dribble: a hundred large answers through windows of one byte (CVE-2019-9511, CVE-2019-9517)',
    async run(t, target) {
      const endless: ServerStream[] = [];
      let written = 0;
      const chunk = Buffer.alloc(16_384);
      const handlerOf = (stream: ServerStream): StreamHandler => {
        const more = (): void => {
          do written += chunk.length;
          while (stream.write(chunk));
        };
        stream.respond({ status: 200, headers: [] }, false);
        more();
        endless.push(stream);
        return { onData: () => {}, onEnd: () => {}, onDrain: more, onReset: () => {} };
      };
      let resets = 0;
      const { port } = await listen(t, (socket) => {
        serveHttp2(
          socket,
          {
            onRequest(stream) {
              const handler = handlerOf(stream);
              return { ...handler, onReset: () => void resets++ };
            },
            onClose: () => {},
          },
          { clock: target.clock, limits: target.limits },
        );
      });
      const attacker = await Attacker.dial(t, port, [4, 1]);
      const before = usedBytes();
      await attacker.flood(100, (index) => request(odd(index)));
      await eventually('all are answered', () => endless.length === 100);
      await attacker.flood(100, (index) => frame(WINDOW_UPDATE, 0, odd(index), u32(1)));
      // 64 KiB of each wait, and the chunk that said stop.
      assert.ok(written <= 100 * (65_536 + 2 * chunk.length), `${written} bytes taken from the application`);
      await holdsAtMost(before, 4 * MiB);
      const half = target.limits.values.http2_stall_ms / 2;
      await eventually('streams that stand still are reset', () => {
        target.clock.advance(half);
        return resets === 100;
      });
      attacker.destroy();
    },
  },
  {
    id: 'H2-10',
    what: 'churn of priorities (CVE-2019-9513)',
    async run(t, target) {
      const attacker = await Attacker.dial(t, target.port);
      const sent = await attacker.flood(100_000, (index) =>
        frame(PRIORITY, 0, odd(index % 1000), u32(0x80000000 | (odd(index % 777) << 1), 0).subarray(0, 5)),
      );
      await calmed(attacker);
      assert.ok(sent < 20_000, `${sent} sent`);
      assert.equal(target.limits.hits('http2_priority_frames'), 1);
    },
  },
  {
    id: 'H2-11',
    what: 'names of length zero (CVE-2019-9516)',
    async run(t, target) {
      const before = usedBytes();
      for (let round = 0; round < 10; round++) {
        const attacker = await Attacker.dial(t, target.port);
        await attacker.flood(1000, (index) => request(odd(index), [...get, '', 'x'.repeat(100)]));
        await calmed(attacker);
      }
      await eventually('all are gone', () => target.open === 0);
      target.connections.length = 1;
      assert.equal(target.requests, 0);
      await holdsAtMost(before, MiB);
    },
  },
  {
    id: 'H2-12',
    what: 'WINDOW_UPDATE flood',
    async run(t, target) {
      const attacker = await Attacker.dial(t, target.port);
      await attacker.send(openRequest(1));
      await attacker.flood(100_000, () => frame(WINDOW_UPDATE, 0, 1, u32(1)));
      await calmed(attacker);
      assert.equal(target.limits.hits('http2_window_updates'), 1);
    },
  },
  {
    id: 'H2-13',
    what: 'a window beyond its maximum, on many connections: nothing of them stays (CVE-2026-21714)',
    async run(t, target) {
      const attempt = async (): Promise<void> => {
        const attacker = await Attacker.dial(t, target.port);
        await attacker.send(request(1), frame(WINDOW_UPDATE, 0, 0, u32(0x7fffffff)));
        await attacker.ended();
        assert.equal(attacker.goawayCode, errorCode.flowControlError);
      };
      await attempt();
      const timers = target.clock.pending;
      const before = usedBytes();
      for (let round = 0; round < 200; round++) await attempt();
      await eventually('all are gone', () => target.open === 0);
      target.connections.length = 1;
      assert.ok(target.clock.pending <= timers, 'timers are left');
      await holdsAtMost(before, MiB);
    },
  },
  {
    id: 'H2-14',
    what: 'header blocks of noise, and sockets that break: no fault escapes (CVE-2025-59465)',
    async run(t, target) {
      const random = seededRandom(14);
      for (let round = 0; round < 150; round++) {
        const attacker = await Attacker.dial(t, target.port);
        const blocks = Array.from({ length: 20 }, (_, index) =>
          frame(HEADERS, 5, odd(index), Buffer.from(Array.from({ length: 60 }, () => random.next() * 256))),
        );
        await attacker.send(...blocks);
        if (round % 3 !== 0) await attacker.ended();
        attacker.destroy();
      }
      await eventually('all are gone', () => target.open === 0);
      // An exception that nobody caught would have failed the test.
      assert.equal(target.requests, 0);
    },
  },
  {
    id: 'H2-15',
    what: 'request, reset and DATA in one segment (CVE-2026-26311)',
    async run(t, target) {
      const attacker = await Attacker.dial(t, target.port);
      await attacker.send(
        Buffer.concat([
          openRequest(1, at('/x', post)),
          frame(RST_STREAM, 0, 1, u32(8)),
          frame(DATA, END_STREAM, 1, 'zombie'),
        ]),
      );
      await attacker.ended();
      assert.equal(attacker.goawayCode, errorCode.streamClosed);
      const [listener] = target.attacked;
      assert.deepEqual(listener?.resets, ['cancel']);
      assert.equal(listener.received + listener.ended, 0, 'DATA of a stream that was reset was delivered');
    },
  },
  {
    id: 'H2-16',
    what: 'paths that do not begin with a slash, or hold what no path holds (CVE-2026-33186)',
    async run(t, target) {
      const paths = [
        'a',
        '*',
        '',
        'http://x/',
        '%2fa',
        '#f',
        '?q',
        '.',
        '..',
        './a',
        '\\a',
        ' /a',
        '/a b',
        '/a\0',
        '/a#f',
        '/a\t',
        '/a\r\nx: y',
        '/a\x7f',
        'x:/a',
        ';/a',
      ];
      assert.equal(paths.length, 20);
      await refuseAll(
        t,
        target,
        paths.map((path) => block(...at(path))),
      );
    },
  },
  {
    id: 'H2-17',
    what: 'pseudo-headers and fields that no request has',
    async run(t, target) {
      const controls = Array.from({ length: 32 }, (_, code) => code)
        .filter((code) => code !== 9)
        .concat(127);
      const pseudo = [':method', ':scheme', ':path', ':authority'];
      const without = (name: string): string[] => get.filter((_, index) => get[index - (index % 2)] !== name);
      const vectors: string[][] = [
        ...pseudo.map((name) => [...get, name, '/x']),
        ...pseudo.map((name) => [...get.slice(0, 8), name, get[get.indexOf(name) + 1] ?? '']),
        ...pseudo.map((name) => [...without(name), 'a', 'b', name, get[get.indexOf(name) + 1] ?? '']),
        ...pseudo.slice(0, 3).map(without),
        ...[':status', ':protocol', ':foo', ':', ':path ', ':Path'].map((name) => [...get, name, '200']),
        ...['Accept', 'x-A', 'x a', 'x\0', 'x:y', 'é', 'x\x7f', ''].map((name) => [...get, name, 'v']),
        ...['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'].map((name) => [
          ...get,
          name,
          'x',
        ]),
        [...get, 'te', 'gzip'],
        ...controls.map((code) => [...get, 'x-a', `b${String.fromCharCode(code)}c`]),
        ...controls.map((code) => [...get, `x${String.fromCharCode(code)}`, 'v']),
        ...[' v', 'v ', '\tv', 'v\t'].map((value) => [...get, 'x-a', value]),
        ...['other.local', 'test.local:80', ''].map((host) => [...get, 'host', host]),
        ...['a b', 'a/b', 'u@h', 'a?b', 'a#b', 'a\\b', 'a\0'].map((authority) => [
          ...get.slice(0, 7),
          authority,
        ]),
        ...['', 'ht tp', '1http', 'http:', 'HTTP/'].map((scheme) => [
          ...get.slice(0, 3),
          scheme,
          ...get.slice(4),
        ]),
        ...['', 'G T', 'GET\r', 'GE(T'].map((method) => [':method', method, ...get.slice(2)]),
      ];
      assert.ok(vectors.length >= 120, `${vectors.length} vectors`);
      await refuseAll(
        t,
        target,
        vectors.map((fields) => block(...fields)),
      );
    },
  },
  {
    id: 'H2-18',
    what: 'content-length that is not what came',
    async run(t, target) {
      const lengths = ['1', '3', '0', '10', '999999999999999'];
      const bad = ['+2', '-2', '0x2', '2,2', '2 2', '', '2 ', '1e0', '２', '9'.repeat(20), '2;', '2.0'];
      const body = [frame(DATA, 0, 1, 'o'), frame(DATA, END_STREAM, 1, 'k')];
      const trailers = [frame(DATA, 0, 1, 'ok'), frame(HEADERS, 5, 1, block('a', 'b'))];
      const vectors: Buffer[][] = [
        ...lengths.map((value) => [openRequest(1, [...at('/x', post), 'content-length', value]), ...body]),
        ...bad.map((value) => [
          openRequest(1, [...at('/x', post), 'content-length', Buffer.from(value).toString('latin1')]),
          ...body,
        ]),
        ...['1', '3'].map((value) => [
          openRequest(1, [...at('/x', post), 'content-length', value]),
          ...trailers,
        ]),
        [openRequest(1, [...at('/x', post), 'content-length', '2', 'content-length', '2']), ...body],
        [openRequest(1, [...at('/x', post), 'content-length', '2', 'content-length', '3']), ...body],
        [request(1, [...at('/x'), 'content-length', '1'])],
        [openRequest(1, [...at('/x', post), 'content-length', '2']), frame(DATA, END_STREAM, 1)],
        [openRequest(1, [...at('/x', post), 'content-length', '0']), frame(DATA, END_STREAM, 1, 'x')],
      ];
      assert.ok(vectors.length >= 24, `${vectors.length} vectors`);
      for (const [index, vector] of vectors.entries()) {
        const attacker = await Attacker.dial(t, target.port);
        await attacker.send(...vector);
        await eventually(`vector ${index} is refused`, () => attacker.resets.length > 0);
        assert.equal(attacker.resets[0], errorCode.protocolError, `vector ${index}`);
        attacker.destroy();
      }
      for (const { ended, resets, heads } of target.attacked) {
        assert.equal(ended, 0);
        assert.equal(resets.length, heads.length, 'an application believes to have the whole request');
      }
    },
  },
  {
    id: 'H2-19',
    what: 'no switch of protocols that nobody confirmed: h2c upgrade, bytes ahead of an answer (CVE-2022-41721)',
    async run(t, target) {
      await refuseAll(t, target, [
        block(...get, 'upgrade', 'h2c'),
        block(...get, 'connection', 'upgrade, http2-settings', 'upgrade', 'h2c', 'http2-settings', 'AAAA'),
        block(...get, 'connection', 'http2-settings'),
      ]);
      // A tunnel that its owner did not confirm: what may come early is bounded by its window, and not answered.
      const attacker = await Attacker.dial(t, target.port);
      const tunnel = [':method', 'CONNECT', ':protocol', 'websocket', ':scheme', 'http', ':path', '/silent'];
      await attacker.send(openRequest(1, [...tunnel, ':authority', 'test.local']));
      await attacker.flood(100, () => frame(DATA, 0, 1, Buffer.alloc(4096, 'GET / HTTP/1.1\r\n')));
      await eventually('more than a window is refused', () => attacker.resets.length === 1);
      assert.deepEqual(attacker.resets, [errorCode.flowControlError]);
      const [, listener] = target.attacked;
      assert.ok((listener?.received ?? 0) <= 65_536);
      assert.equal(attacker.frames.filter(({ type }) => type === HEADERS || type === DATA).length, 0);
      attacker.destroy();
    },
  },
  {
    id: 'H2-20',
    what: 'GOAWAY without end, and the last stream id there is',
    async run(t, target) {
      const attacker = await Attacker.dial(t, target.port);
      const before = usedBytes();
      await attacker.flood(10_000, () => frame(GOAWAY, 0, 0, u32(0, 0)));
      await attacker.send(request(0x7fffffff, at('/last')));
      await eventually('the last stream is answered', () =>
        attacker.frames.some(({ type }) => type === DATA),
      );
      await holdsAtMost(before, MiB);
      await attacker.send(request(1, at('/x')));
      await attacker.ended();
      assert.equal(target.requests, 1, 'no id follows the last one');
    },
  },
  {
    id: 'H2-21',
    what: 'settings that flap under traffic: table sizes, windows that become negative, frame sizes',
    async run(t, target) {
      // A client that decodes for itself: when the tables were out of step, its answers would be wrong.
      const session = http2.connect(`http://127.0.0.1:${target.port}`);
      t.after(() => session.destroy());
      for (let round = 0; round < 15; round++) {
        session.settings({
          headerTableSize: [0, 4096, 100, 65_536][round % 4] ?? 0,
          initialWindowSize: [0, 65_535, 1, 1 << 20][round % 4] ?? 0,
          maxFrameSize: round % 2 === 0 ? 16_384 : 16_777_215,
        });
        const stream = session.request({ ':path': `/round/${round}` });
        const chunks: Buffer[] = [];
        const head = new Promise<unknown>((resolve) =>
          stream.on('response', (fields) => resolve(fields['content-type'])),
        );
        stream.on('data', (chunk: Buffer) => chunks.push(chunk));
        if (round % 4 === 0) session.settings({ initialWindowSize: 65_535 });
        await new Promise<void>((resolve) => stream.on('close', resolve));
        assert.equal(await head, 'text/plain');
        assert.equal(Buffer.concat(chunks).toString(), `/round/${round}`);
        target.clock.advance(1000);
      }
      const attacker = await Attacker.dial(t, target.port);
      const sent = await attacker.flood(10_000, (index) =>
        settings([1, index % 2 === 0 ? 0 : 4096], [4, index % 3]),
      );
      await calmed(attacker);
      assert.ok(sent < 5000 && target.limits.hits('http2_settings') === 1);
    },
  },
];

test('every attack of the survey is here', () => {
  assert.deepEqual(
    attacks.map(({ id }) => id),
    Array.from({ length: 21 }, (_, index) => `H2-${index + 1}`),
  );
});

for (const { id, what, run } of attacks) {
  test(`${id}: ${what}`, async (t) => {
    const target = new Target();
    await target.listen(t);
    const own = { clock: systemClock, limits: new LimitLedger(http2Limits) };
    const victim = connectHttp2(await dialTcp(t, target.port), own);
    t.after(() => victim.destroy());
    const report = await besideVictim(
      async () => {
        const answer = send(victim, requestHead('/victim'));
        await answer.done;
        assert.equal(answer.resetReason, undefined);
        assert.equal(answer.body, '/victim');
      },
      () => run(t, target),
    );
    assertUnharmed(report);
    assert.equal(target.connections[0]?.listener.closed, 0, 'the victim kept its connection');
  });
}
