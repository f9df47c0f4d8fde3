/**
 * The attacks on HTTP/2 that are known, H2-1 to H2-21 of our survey, as what an attacker sends and how its connection must end.
 * attacks.test.ts runs them in one process beside a victim; the long form runs them against a sidecar.
 */
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { seededRandom } from '@mesh/clock/seeded';
import type { Attack, AttackSite } from '@mesh/testkit/attack';
import { eventually } from '@mesh/testkit/eventually';
import { errorCode } from '../error-codes.ts';
import { http2Limits } from '../limits.ts';
import { Attacker } from './attacker.ts';
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
} from './raw-peer.ts';

const MiB = 1024 * 1024;
const odd = (index: number): number => 2 * index + 1;
const at = (path: string, fields: readonly string[] = get): string[] => [
  ...fields.slice(0, 5),
  path,
  ...fields.slice(6),
];

/** Lets time pass, step by step, until it has the effect that `probe` looks for. */
async function passUntil(site: AttackSite, stepMs: number, probe: () => Promise<boolean>): Promise<void> {
  for (let step = 0; !(await probe()); step++) {
    assert.ok(step < 6, `no effect of ${6 * stepMs} ms`);
    await site.pass(stepMs);
  }
}

/** Ends with ENHANCE_YOUR_CALM, by one of the limits. */
async function calmed(attacker: Attacker): Promise<void> {
  await attacker.ended();
  assert.equal(attacker.goawayCode, errorCode.enhanceYourCalm);
}

/** Sends each vector in a HEADERS frame of its own stream, a few per connection; none may reach the application. */
async function refuseAll(site: AttackSite, vectors: readonly Buffer[]): Promise<void> {
  const perConnection = 40;
  for (let from = 0; from < vectors.length; from += perConnection) {
    const some = vectors.slice(from, from + perConnection);
    const attacker = await Attacker.over(await site.connect());
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
  assert.equal(await site.requests(), 0, 'a malformed request reached the application');
}

const entry = Buffer.concat([Buffer.from([0x40, 6]), Buffer.from('cookie'), Buffer.from([0x7f, 0xa1, 0x1e])]);
const bigCookie = Buffer.concat([entry, Buffer.alloc(4000, 'x')]);

export const http2Attacks: readonly Attack[] = [
  {
    id: 'H2-1',
    what: 'rapid reset (CVE-2023-44487)',
    async run(site) {
      const attacker = await Attacker.over(await site.connect());
      const round = (index: number): Buffer =>
        Buffer.concat([request(odd(index)), frame(RST_STREAM, 0, odd(index), u32(8))]);
      const sent = await attacker.flood(100_000, round);
      await calmed(attacker);
      // Ten come back each second that the attack takes.
      const reached = await site.requests();
      assert.ok(sent < 20_000 && reached <= 200, `${reached} requests of ${sent}`);
    },
  },
  {
    id: 'H2-2',
    what: 'MadeYouReset: six ways to have the server reset behind END_STREAM (CVE-2025-8671)',
    async run(site) {
      const triggers: ((id: number) => Buffer)[] = [
        (id) => frame(WINDOW_UPDATE, 0, id, u32(0)),
        (id) => frame(WINDOW_UPDATE, 0, id, u32(0x7fffffff)),
        (id) => frame(PRIORITY, 0, id, Buffer.alloc(4)),
        (id) => frame(PRIORITY, 0, id, u32(id, 0).subarray(0, 5)),
        (id) => request(id),
        (id) => frame(DATA, 0, id, 'x'),
      ];
      for (const [index, trigger] of triggers.entries()) {
        const before = await site.requests();
        const attacker = await Attacker.over(await site.connect());
        await attacker.flood(10_000, (round) => Buffer.concat([request(odd(round)), trigger(odd(round))]));
        await attacker.ended();
        assert.ok((await site.requests()) - before <= 10, `trigger ${index}`);
        assert.equal(attacker.resets.length, 0, `trigger ${index}: a slot was freed whose work goes on`);
      }
    },
  },
  {
    id: 'H2-3',
    what: 'HTTP/2 bomb: one-byte references to cookie crumbs, behind a closed window (CVE-2026-49975)',
    async run(site) {
      site.mark();
      const over = await Attacker.over(await site.connect(), [4, 0]);
      const crumbs = Buffer.concat([block(...get), Buffer.alloc(12_000, 0xa0)]);
      await over.flood(1000, (index) => frame(HEADERS, 5, odd(index), crumbs));
      await calmed(over);
      assert.equal(await site.hits('http2_decoded_fields'), 1);
      assert.equal(await site.requests(), 0);

      // Each list within its limits, and hundreds of them not: streams that all hold fourteen references to one large crumb.
      const { http2_held_header_bytes: own, http2_head_budget_bytes: shared } = http2Limits;
      const references = Buffer.concat([block(...get), Buffer.alloc(14, 0xbe)]);
      const listBytes = 14 * 4000;
      const count = Math.ceil((2 * shared.default) / (100 * listBytes));
      const within: Attacker[] = [];
      for (let index = 0; index < count; index++) {
        const one = await Attacker.over(await site.connect(), [4, 0]);
        within.push(one);
        await one.send(frame(HEADERS, 5, 1, Buffer.concat([block(...get), bigCookie])));
        await one.flood(99, (stream) => frame(HEADERS, 5, odd(stream + 1), references));
      }
      const resets = (): number[] => within.flatMap((one) => one.resets);
      const most = Math.ceil((shared.default + count * own.default) / listBytes);
      // An application on node:http2 resets some of them by its own bounds; no stream is without a reset or a request.
      await eventually('the others are refused', () => resets().length >= 100 * count - most);
      assert.ok(resets().includes(errorCode.refusedStream));
      await eventually('some requests', async () => (await site.requests()) + resets().length >= 100 * count);
      await site.holdsAtMost(8 * MiB);
      for (const one of within) one.destroy();
    },
  },
  {
    id: 'H2-4',
    what: 'HPACK bomb: a large entry and many references (CVE-2016-6581)',
    async run(site) {
      const attacker = await Attacker.over(await site.connect());
      site.mark();
      const small = Buffer.concat([bigCookie, Buffer.alloc(20, 0xbe)]);
      await attacker.flood(64, (index) => frame(HEADERS, 5, odd(index), small));
      await eventually('each is answered', async () => (await site.hits('http2_header_list_bytes')) === 64);
      await attacker.send(request(1001, at('/x')));
      await eventually('the table is in step', async () => (await site.requests()) === 1);
      const bomb = Buffer.concat([bigCookie, Buffer.alloc(12_000, 0xbe)]);
      await attacker.send(frame(HEADERS, 5, 1003, bomb));
      await calmed(attacker);
      assert.equal(await site.hits('http2_decoded_fields'), 1);
      await site.holdsAtMost(2 * MiB);
    },
  },
  {
    id: 'H2-5',
    what: 'CONTINUATION flood, and a header block that never ends (VU#421644)',
    async run(site) {
      const attacker = await Attacker.over(await site.connect());
      await attacker.send(frame(HEADERS, END_STREAM, 1, block(...get)));
      await attacker.flood(100_000, () => frame(CONTINUATION, 0, 1, block('a', 'b')));
      await calmed(attacker);
      assert.equal(await site.hits('http2_continuation_frames'), 1);

      const patient = await Attacker.over(await site.connect());
      await patient.send(frame(HEADERS, END_STREAM, 1, block(...get)));
      await passUntil(site, http2Limits.http2_header_block_ms.default, async () => {
        return (await site.hits('http2_header_block_ms')) === 1;
      });
      await calmed(patient);
      assert.equal(await site.requests(), 0);
    },
  },
  {
    id: 'H2-6',
    what: 'frames that carry nothing (CVE-2019-9518)',
    async run(site) {
      const kinds: [before: Buffer, flood: Buffer][] = [
        [openRequest(1), frame(DATA, 0, 1)],
        [frame(HEADERS, END_STREAM, 1, block(...get)), frame(CONTINUATION, 0, 1)],
        [openRequest(1), frame(DATA, 8, 1, '\x01\0')],
      ];
      for (const [before, flood] of kinds) {
        const attacker = await Attacker.over(await site.connect());
        await attacker.send(before);
        await attacker.flood(10_000, () => flood);
        await calmed(attacker);
      }
      assert.ok((await site.requests()) <= 2);
    },
  },
  {
    id: 'H2-7',
    what: 'PING and SETTINGS floods from a peer that does not read (CVE-2019-9512, CVE-2019-9515)',
    async run(site) {
      for (const bytes of [frame(PING, 0, 0, Buffer.alloc(8)), settings([1, 0])]) {
        const attacker = await Attacker.over(await site.connect());
        attacker.stopReading();
        site.mark();
        await attacker.flood(100_000, () => bytes);
        await passUntil(site, http2Limits.http2_linger_ms.default, async () => (await site.open()) === 0);
        await site.holdsAtMost(2 * MiB);
      }
      assert.equal((await site.hits('http2_pings')) + (await site.hits('http2_settings')), 2);
    },
  },
  {
    id: 'H2-8',
    what: 'resets provoked by bad requests (CVE-2019-9514)',
    async run(site) {
      const attacker = await Attacker.over(await site.connect());
      await attacker.flood(100_000, (index) => request(odd(index), ['x', 'y']));
      await calmed(attacker);
      assert.equal(await site.requests(), 0);
      assert.ok(attacker.resets.length <= http2Limits.http2_provoked_resets.default);
    },
  },
  {
    id: 'H2-9',
    what: 'data dribble: a hundred large answers through windows of one byte (CVE-2019-9511, CVE-2019-9517)',
    async run(site) {
      const attacker = await Attacker.over(await site.connect(), [4, 1]);
      site.mark();
      await attacker.flood(100, (index) => request(odd(index), at('/endless')));
      await eventually('all are answered', () => {
        return attacker.frames.filter(({ type }) => type === HEADERS).length === 100;
      });
      await attacker.flood(100, (index) => frame(WINDOW_UPDATE, 0, odd(index), u32(1)));
      await site.holdsAtMost(4 * MiB);
      await passUntil(
        site,
        http2Limits.http2_stall_ms.default / 2,
        async () => attacker.resets.length === 100,
      );
      attacker.destroy();
    },
  },
  {
    id: 'H2-10',
    what: 'churn of priorities (CVE-2019-9513)',
    async run(site) {
      const attacker = await Attacker.over(await site.connect());
      const sent = await attacker.flood(100_000, (index) =>
        frame(PRIORITY, 0, odd(index % 1000), u32(0x80000000 | (odd(index % 777) << 1), 0).subarray(0, 5)),
      );
      await calmed(attacker);
      assert.ok(sent < 20_000, `${sent} sent`);
      assert.equal(await site.hits('http2_priority_frames'), 1);
    },
  },
  {
    id: 'H2-11',
    what: 'names of length zero (CVE-2019-9516)',
    async run(site) {
      site.mark();
      for (let round = 0; round < 10; round++) {
        const attacker = await Attacker.over(await site.connect());
        await attacker.flood(1000, (index) => request(odd(index), [...get, '', 'x'.repeat(100)]));
        await calmed(attacker);
      }
      await eventually('all are gone', async () => (await site.open()) === 0);
      assert.equal(await site.requests(), 0);
      await site.holdsAtMost(MiB);
    },
  },
  {
    id: 'H2-12',
    what: 'WINDOW_UPDATE flood',
    async run(site) {
      const attacker = await Attacker.over(await site.connect());
      await attacker.send(openRequest(1));
      await attacker.flood(100_000, () => frame(WINDOW_UPDATE, 0, 1, u32(1)));
      await calmed(attacker);
      assert.equal(await site.hits('http2_window_updates'), 1);
    },
  },
  {
    id: 'H2-13',
    what: 'a window beyond its maximum, on many connections: nothing of them stays (CVE-2026-21714)',
    async run(site) {
      const attempt = async (): Promise<void> => {
        const attacker = await Attacker.over(await site.connect());
        await attacker.send(request(1), frame(WINDOW_UPDATE, 0, 0, u32(0x7fffffff)));
        await attacker.ended();
        assert.equal(attacker.goawayCode, errorCode.flowControlError);
      };
      await attempt();
      site.mark();
      for (let round = 0; round < 200; round++) await attempt();
      await eventually('all are gone', async () => (await site.open()) === 0);
      await site.holdsAtMost(MiB);
    },
  },
  {
    id: 'H2-14',
    what: 'header blocks of noise, and sockets that break: no fault escapes (CVE-2025-59465)',
    async run(site) {
      const random = seededRandom(14);
      for (let round = 0; round < 150; round++) {
        const attacker = await Attacker.over(await site.connect());
        const blocks = Array.from({ length: 20 }, (_, index) =>
          frame(HEADERS, 5, odd(index), Buffer.from(Array.from({ length: 60 }, () => random.next() * 256))),
        );
        await attacker.send(...blocks);
        if (round % 3 !== 0) await attacker.ended();
        attacker.destroy();
      }
      await eventually('all are gone', async () => (await site.open()) === 0);
      // An exception that nobody caught would have failed the test.
      assert.equal(await site.requests(), 0);
    },
  },
  {
    id: 'H2-15',
    what: 'request, reset and DATA in one segment (CVE-2026-26311)',
    async run(site) {
      const attacker = await Attacker.over(await site.connect());
      await attacker.send(
        Buffer.concat([
          openRequest(1, at('/x', post)),
          frame(RST_STREAM, 0, 1, u32(8)),
          frame(DATA, END_STREAM, 1, 'zombie'),
        ]),
      );
      await attacker.ended();
      assert.equal(attacker.goawayCode, errorCode.streamClosed);
    },
  },
  {
    id: 'H2-16',
    what: 'paths that do not begin with a slash, or hold what no path holds (CVE-2026-33186)',
    async run(site) {
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
        site,
        paths.map((path) => block(...at(path))),
      );
    },
  },
  {
    id: 'H2-17',
    what: 'pseudo-headers and fields that no request has',
    async run(site) {
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
        site,
        vectors.map((fields) => block(...fields)),
      );
    },
  },
  {
    id: 'H2-18',
    what: 'content-length that is not what came',
    async run(site) {
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
        const attacker = await Attacker.over(await site.connect());
        await attacker.send(...vector);
        await eventually(`vector ${index} is refused`, () => attacker.resets.length > 0);
        assert.equal(attacker.resets[0], errorCode.protocolError, `vector ${index}`);
        attacker.destroy();
      }
    },
  },
  {
    id: 'H2-19',
    what: 'no switch of protocols that nobody confirmed: h2c upgrade, bytes ahead of an answer (CVE-2022-41721)',
    async run(site) {
      await refuseAll(site, [
        block(...get, 'upgrade', 'h2c'),
        block(...get, 'connection', 'upgrade, http2-settings', 'upgrade', 'h2c', 'http2-settings', 'AAAA'),
        block(...get, 'connection', 'http2-settings'),
      ]);
      // A tunnel that its owner did not confirm: what may come early is bounded by its window, and not answered.
      const attacker = await Attacker.over(await site.connect());
      const tunnel = [':method', 'CONNECT', ':protocol', 'websocket', ':scheme', 'http', ':path', '/silent'];
      await attacker.send(openRequest(1, [...tunnel, ':authority', 'test.local']));
      await attacker.flood(100, () => frame(DATA, 0, 1, Buffer.alloc(4096, 'GET / HTTP/1.1\r\n')));
      await eventually('more than a window is refused', () => attacker.resets.length === 1);
      assert.deepEqual(attacker.resets, [errorCode.flowControlError]);
      assert.equal(attacker.frames.filter(({ type }) => type === HEADERS || type === DATA).length, 0);
      attacker.destroy();
    },
  },
  {
    id: 'H2-20',
    what: 'GOAWAY without end, and the last stream id there is',
    async run(site) {
      const attacker = await Attacker.over(await site.connect());
      site.mark();
      await attacker.flood(10_000, () => frame(GOAWAY, 0, 0, u32(0, 0)));
      await attacker.send(request(0x7fffffff, at('/last')));
      await eventually('the last stream is answered', () =>
        attacker.frames.some(({ type }) => type === DATA),
      );
      await site.holdsAtMost(MiB);
      await attacker.send(request(1, at('/x')));
      await attacker.ended();
      assert.equal(await site.requests(), 1, 'no id follows the last one');
    },
  },
  {
    id: 'H2-21',
    what: 'settings that flap under traffic: table sizes, windows that become negative, frame sizes',
    async run(site) {
      // A client that decodes for itself: when the tables were out of step, its answers would be wrong.
      const socket = await site.connect();
      const session = http2.connect('http://test.local', { createConnection: () => socket });
      session.on('error', () => {});
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
        await site.pass(1000);
      }
      const attacker = await Attacker.over(await site.connect());
      const sent = await attacker.flood(10_000, (index) =>
        settings([1, index % 2 === 0 ? 0 : 4096], [4, index % 3]),
      );
      await calmed(attacker);
      assert.ok(sent < 5000 && (await site.hits('http2_settings')) === 1);
    },
  },
];
