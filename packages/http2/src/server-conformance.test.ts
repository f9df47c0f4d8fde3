import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorCode } from './error-codes.ts';
import {
  type ConformanceCase,
  type ConnectionFault,
  connectionFaults,
  numbersOf,
} from './testing/conformance.ts';
import { genericCases, type Served } from './testing/generic-cases.ts';
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
  GOAWAY,
  HEADERS,
  openRequest,
  PADDED,
  PING,
  post,
  preface,
  PRIORITY,
  PRIORITY_FLAG,
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

/**
 * What a server must answer to frames that are right, odd or wrong, after the preface and SETTINGS. Every case runs
 * twice: its bytes at once, and one by one.
 */
type Case = ConformanceCase<
  | ConnectionFault
  | { reset: keyof typeof errorCode; stream: number }
  /** The connection is open and nothing was reset. */
  | Served
>;

const accept = { accept: true } as const;
const pings = frame(PING, 0, 0, Buffer.alloc(8));
/** HEADERS with other fields than a plain GET. */
const withFields = (...fields: string[]): Buffer[] => [request(1, fields)];
const plus = (...fields: string[]): Buffer[] => [request(1, [...get, ...fields])];
const without = (name: string): string[] => {
  const at = get.indexOf(name);
  return [...get.slice(0, at), ...get.slice(at + 2)];
};
const replaced = (name: string, value: string): Buffer[] => {
  const fields = [...get];
  fields[fields.indexOf(name) + 1] = value;
  return [request(1, fields)];
};
const malformed = { reset: 'protocolError', stream: 1 } as const;

const cases: readonly Case[] = [
  ...connectionFaults({ suite: 'http2', opening: [openRequest(1)], open: 1, idle: 5, fields: post }),
  ...genericCases,
  // ---- frames
  {
    section: '4.1',
    what: 'unknown frame type is ignored',
    suite: ['http2/4.1/1', 'http2/5.5/1'],
    send: [frame(0xee, 0, 0, 'abc'), request(1)],
    expect: { accept: true, requests: 1 },
  },
  {
    section: '4.1',
    what: 'undefined flags are ignored',
    suite: ['http2/4.1/2'],
    send: [frame(PING, 0x16, 0, Buffer.alloc(8))],
    expect: accept,
  },
  {
    section: '4.1',
    what: 'reserved bit of the stream id is ignored',
    suite: ['http2/4.1/3'],
    send: [frame(HEADERS, END_HEADERS | END_STREAM, 0x80000001, block(...get))],
    expect: { accept: true, requests: 1 },
  },
  {
    section: '4.2',
    what: 'DATA of exactly the maximum size',
    suite: ['http2/4.2/1'],
    send: [openRequest(1), frame(DATA, 0, 1, Buffer.alloc(16_384))],
    expect: accept,
  },

  // ---- stream states
  {
    section: '5.1',
    what: 'idle: PRIORITY is allowed',
    suite: ['generic/2/1'],
    send: [frame(PRIORITY, 0, 1, u32(3, 0).subarray(0, 5)), request(1)],
    expect: { accept: true, requests: 1 },
  },
  {
    section: '5.1',
    what: 'half-closed (remote): DATA',
    suite: ['http2/5.1/5', 'http2/6.1/2'],
    send: [request(1), frame(DATA, END_STREAM, 1, 'x')],
    expect: { goaway: 'streamClosed' },
  },
  {
    section: '5.1',
    what: 'half-closed (remote): HEADERS',
    suite: ['http2/5.1/6'],
    send: [request(1), request(1)],
    expect: { goaway: 'streamClosed' },
  },
  {
    section: '5.1',
    what: 'half-closed (remote): CONTINUATION',
    suite: ['http2/5.1/7'],
    send: [request(1), frame(CONTINUATION, END_HEADERS, 1, block(...get))],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '5.1',
    what: 'half-closed (remote): WINDOW_UPDATE, PRIORITY, RST_STREAM are allowed',
    suite: ['generic/2/2', 'generic/2/3', 'generic/2/4'],
    send: [
      request(1),
      frame(WINDOW_UPDATE, 0, 1, u32(9)),
      frame(PRIORITY, 0, 1, u32(0, 0).subarray(0, 5)),
      frame(RST_STREAM, 0, 1, u32(8)),
    ],
    expect: accept,
  },
  {
    section: '5.1',
    what: 'closed by RST_STREAM: DATA',
    suite: ['http2/5.1/8'],
    send: [openRequest(1), frame(RST_STREAM, 0, 1, u32(8)), frame(DATA, END_STREAM, 1, 'x')],
    expect: { goaway: 'streamClosed' },
  },
  {
    section: '5.1',
    what: 'closed by RST_STREAM: HEADERS',
    suite: ['http2/5.1/9'],
    send: [openRequest(1), frame(RST_STREAM, 0, 1, u32(8)), request(1)],
    expect: { goaway: 'streamClosed' },
  },
  {
    section: '5.1',
    what: 'closed by RST_STREAM: CONTINUATION',
    suite: ['http2/5.1/10'],
    send: [
      openRequest(1),
      frame(RST_STREAM, 0, 1, u32(8)),
      frame(CONTINUATION, END_HEADERS, 1, block('a', 'b')),
    ],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '5.1',
    what: 'closed by END_STREAM: CONTINUATION',
    suite: ['http2/5.1/13'],
    send: [
      request(1, [...get.slice(0, 5), '/x', ...get.slice(6)]),
      frame(CONTINUATION, END_HEADERS, 1, block('a', 'b')),
    ],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '5.1',
    what: 'closed by END_STREAM: DATA',
    suite: ['http2/5.1/11'],
    send: [request(1, [...get.slice(0, 5), '/x', ...get.slice(6)]), frame(DATA, END_STREAM, 1, 'x')],
    expect: { goaway: 'streamClosed' },
  },
  {
    section: '5.1',
    what: 'closed by END_STREAM: HEADERS',
    suite: ['http2/5.1/12'],
    send: [request(1, [...get.slice(0, 5), '/x', ...get.slice(6)]), request(1)],
    expect: { goaway: 'streamClosed' },
  },
  {
    section: '5.1',
    what: 'closed: WINDOW_UPDATE and RST_STREAM are ignored',
    send: [
      request(1, [...get.slice(0, 5), '/x', ...get.slice(6)]),
      frame(WINDOW_UPDATE, 0, 1, u32(9)),
      frame(RST_STREAM, 0, 1, u32(8)),
      request(3),
    ],
    expect: { accept: true, requests: 2 },
  },
  {
    section: '5.1',
    what: 'closed by our reset: frames under way are ignored',
    send: [
      openRequest(1, [...post.slice(0, 5), '/refuse', ...post.slice(6)]),
      frame(DATA, 0, 1, 'x'),
      frame(HEADERS, END_HEADERS | END_STREAM, 1, block('a', 'b')),
      pings,
    ],
    expect: { reset: 'refusedStream', stream: 1 },
  },
  {
    section: '5.1.1',
    what: 'even stream id',
    suite: ['http2/5.1.1/1'],
    send: [request(2)],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '5.1.1',
    what: 'stream id lower than one before, never opened',
    suite: ['http2/5.1.1/2'],
    send: [request(5), request(3)],
    expect: { goaway: 'streamClosed' },
  },
  {
    section: '5.5',
    what: 'unknown frames and settings may come anywhere between messages',
    send: [openRequest(1), frame(0x20, 0xff, 1, 'x'), settings([0xfe, 1]), frame(DATA, END_STREAM, 1, 'x')],
    expect: accept,
  },

  // ---- DATA
  {
    section: '6.1',
    what: 'DATA with padding',
    suite: ['generic/3.1/3'],
    send: [openRequest(1), frame(DATA, PADDED | END_STREAM, 1, '\x03abc\0\0\0')],
    expect: accept,
  },
  {
    section: '6.1',
    what: 'DATA of padding only',
    send: [openRequest(1), frame(DATA, PADDED | END_STREAM, 1, '\x02\0\0')],
    expect: accept,
  },

  // ---- HEADERS
  {
    section: '6.2',
    what: 'HEADERS with padding and priority',
    suite: ['generic/3.2/2', 'generic/3.2/3'],
    send: [
      frame(
        HEADERS,
        END_HEADERS | END_STREAM | PADDED | PRIORITY_FLAG,
        1,
        Buffer.concat([Buffer.from([2]), u32(3), Buffer.from([9]), block(...get), Buffer.alloc(2)]),
      ),
    ],
    expect: { accept: true, requests: 1 },
  },

  // ---- PRIORITY, RST_STREAM
  {
    section: '6.4',
    what: 'RST_STREAM on an open stream',
    suite: ['generic/3.4/1'],
    send: [openRequest(1), frame(RST_STREAM, 0, 1, u32(8)), request(3)],
    expect: { accept: true, requests: 2 },
  },

  // ---- SETTINGS
  {
    section: '6.5.2',
    what: 'unknown setting',
    suite: ['http2/6.5.2/5'],
    send: [settings([0xff, 7]), request(1)],
    expect: { accept: true, requests: 1 },
  },
  {
    section: 'RFC 8441 3',
    what: 'ENABLE_CONNECT_PROTOCOL of 2',
    send: [settings([8, 2])],
    expect: { goaway: 'protocolError' },
  },
  {
    section: 'RFC 8441 3',
    what: 'ENABLE_CONNECT_PROTOCOL taken back',
    send: [settings([8, 1]), settings([8, 0])],
    expect: { goaway: 'protocolError' },
  },

  // ---- PUSH_PROMISE, PING, GOAWAY
  {
    section: '6.7',
    what: 'acknowledgement of no PING of ours',
    suite: ['http2/6.7/2'],
    send: [frame(PING, ACK, 0, Buffer.alloc(8)), request(1)],
    expect: { accept: true, requests: 1 },
  },
  {
    section: '6.8',
    what: 'GOAWAY with debug data',
    suite: ['generic/3.8/1'],
    send: [frame(GOAWAY, 0, 0, Buffer.concat([u32(0, 0), Buffer.from('bye')])), request(1)],
    expect: { accept: true, requests: 1 },
  },

  // ---- WINDOW_UPDATE
  {
    section: '6.9',
    what: 'increment 0 on an open stream',
    suite: ['http2/6.9/2'],
    send: [openRequest(1), frame(WINDOW_UPDATE, 0, 1, u32(0))],
    expect: { reset: 'protocolError', stream: 1 },
  },
  {
    section: '6.9',
    what: 'increment 0 behind END_STREAM ends the connection',
    send: [request(1), frame(WINDOW_UPDATE, 0, 1, u32(0))],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '6.9.1',
    what: 'stream window above the maximum, open stream',
    suite: ['http2/6.9.1/3'],
    send: [openRequest(1), frame(WINDOW_UPDATE, 0, 1, u32(0x7fffffff))],
    expect: { reset: 'flowControlError', stream: 1 },
  },
  {
    section: '6.9.1',
    what: 'stream window above the maximum, half-closed stream',
    send: [request(1), frame(WINDOW_UPDATE, 0, 1, u32(0x7fffffff))],
    expect: { goaway: 'flowControlError' },
  },
  {
    section: '6.9.1',
    what: 'DATA beyond the stream window',
    send: [openRequest(1), ...Array.from({ length: 5 }, () => frame(DATA, 0, 1, Buffer.alloc(16_384)))],
    expect: { reset: 'flowControlError', stream: 1 },
  },
  {
    section: '6.9.2',
    what: 'initial window that lifts a stream above the maximum',
    suite: ['http2/6.9.2/3'],
    send: [openRequest(1), frame(WINDOW_UPDATE, 0, 1, u32(0x7fffffff - 65_535)), settings([4, 65_536])],
    expect: { goaway: 'flowControlError' },
  },

  // ---- CONTINUATION
  {
    section: '6.10',
    what: 'block in three frames',
    suite: ['http2/6.10/1', 'generic/3.10/2'],
    send: [
      frame(HEADERS, END_STREAM, 1, block(...get.slice(0, 2))),
      frame(CONTINUATION, 0, 1, block(...get.slice(2, 4))),
      frame(CONTINUATION, END_HEADERS, 1, block(...get.slice(4))),
    ],
    expect: { accept: true, requests: 1 },
  },

  // ---- messages
  {
    section: '8.1',
    what: 'second HEADERS without END_STREAM',
    suite: ['http2/8.1/1'],
    send: [openRequest(1), openRequest(1, ['a', 'b'])],
    expect: malformed,
  },
  {
    section: '8.1',
    what: 'trailers',
    suite: ['generic/4/4'],
    send: [openRequest(1), frame(DATA, 0, 1, 'x'), request(1, ['a', 'b'])],
    expect: { accept: true, requests: 1 },
  },
  {
    section: '8.1',
    what: 'pseudo-header in trailers',
    suite: ['http2/8.1.2.1/3'],
    send: [openRequest(1), request(1, [':method', 'GET'])],
    expect: malformed,
  },
  {
    section: '8.1.1',
    what: 'content-length above what came',
    suite: ['http2/8.1.2.6/1'],
    send: [openRequest(1, [...post, 'content-length', '2']), frame(DATA, END_STREAM, 1, 'x')],
    expect: malformed,
  },
  {
    section: '8.1.1',
    what: 'content-length below what came',
    send: [openRequest(1, [...post, 'content-length', '2']), frame(DATA, 0, 1, 'xxx')],
    expect: malformed,
  },
  {
    section: '8.1.1',
    what: 'content-length over several frames',
    suite: ['http2/8.1.2.6/2'],
    send: [
      openRequest(1, [...post, 'content-length', '3']),
      frame(DATA, 0, 1, 'xx'),
      frame(DATA, END_STREAM, 1, 'x'),
    ],
    expect: accept,
  },
  {
    section: '8.1.1',
    what: 'content-length with trailers and a short body',
    send: [openRequest(1, [...post, 'content-length', '3']), frame(DATA, 0, 1, 'xx'), request(1, ['a', 'b'])],
    expect: malformed,
  },
  {
    section: '8.1.1',
    what: 'content-length without a body',
    send: plus('content-length', '1'),
    expect: malformed,
  },
  {
    section: '8.1.1',
    what: 'content-length twice',
    send: plus('content-length', '0', 'content-length', '0'),
    expect: malformed,
  },
  {
    section: '8.1.1',
    what: 'content-length that is not a number',
    send: plus('content-length', '+0'),
    expect: malformed,
  },
  {
    section: '8.1.1',
    what: 'content-length with a leading zero, which our HTTP/1 refuses',
    send: plus('content-length', '00'),
    expect: malformed,
  },
  {
    section: '8.2',
    what: 'upper case in a name',
    suite: ['http2/8.1.2/1'],
    send: plus('X-Test', 'ok'),
    expect: malformed,
  },
  { section: '8.2.1', what: 'empty name', send: plus('', 'ok'), expect: malformed },
  { section: '8.2.1', what: 'CR LF in a value', send: plus('x-a', 'b\r\nx-c: d'), expect: malformed },
  { section: '8.2.1', what: 'space before a value', send: plus('x-a', ' b'), expect: malformed },
  ...['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'].map(
    (name): Case => ({
      section: '8.2.2',
      what: `connection-specific ${name}`,
      suite: name === 'connection' ? ['http2/8.1.2.2/1'] : [],
      send: plus(name, 'x'),
      expect: malformed,
    }),
  ),
  {
    section: '8.2.2',
    what: 'te other than trailers',
    suite: ['http2/8.1.2.2/2'],
    send: plus('te', 'trailers, deflate'),
    expect: malformed,
  },
  {
    section: '8.2.2',
    what: 'te: trailers',
    send: plus('te', 'trailers'),
    expect: { accept: true, requests: 1 },
  },
  {
    section: '8.3',
    what: 'unknown pseudo-header',
    suite: ['http2/8.1.2.1/1'],
    send: withFields(':test', 'x', ...get),
    expect: malformed,
  },
  {
    section: '8.3',
    what: 'response pseudo-header',
    suite: ['http2/8.1.2.1/2'],
    send: withFields(':status', '200', ...get),
    expect: malformed,
  },
  {
    section: '8.3',
    what: 'pseudo-header behind a field',
    suite: ['http2/8.1.2.1/4'],
    send: withFields('x-a', 'b', ...get),
    expect: malformed,
  },
  ...[':method', ':scheme', ':path'].map(
    (name): Case => ({
      section: '8.3.1',
      what: `without ${name}`,
      suite: [`http2/8.1.2.3/${[':method', ':scheme', ':path'].indexOf(name) + 2}`],
      send: withFields(...without(name)),
      expect: malformed,
    }),
  ),
  ...[':method', ':scheme', ':path', ':authority'].map(
    (name): Case => ({
      section: '8.3.1',
      what: `two ${name}`,
      suite: [`http2/8.1.2.3/${[':method', ':scheme', ':path'].indexOf(name) + 5}`],
      send: withFields(name, get[get.indexOf(name) + 1] ?? '', ...get),
      expect: malformed,
    }),
  ),
  ...['', 'a', '*', '%2fa', 'http://x/', '#f', '/a b', '/a\x7f', '/a#f', '/\tb'].map(
    (path): Case => ({
      section: '8.3.1',
      what: `:path ${JSON.stringify(path)}`,
      suite: path === '' ? ['http2/8.1.2.3/1'] : [],
      send: replaced(':path', path),
      expect: malformed,
    }),
  ),
  ...['', 'G T', 'G\tT', 'GET/'].map(
    (method): Case => ({
      section: '8.3.1',
      what: `:method ${JSON.stringify(method)}`,
      send: replaced(':method', method),
      expect: malformed,
    }),
  ),
  ...['user@test.local', 'a b', 'a/b', 'a?b', 'a#b', 'a\\b'].map(
    (authority): Case => ({
      section: '8.3.1',
      what: `:authority ${JSON.stringify(authority)}`,
      send: replaced(':authority', authority),
      expect: malformed,
    }),
  ),
  {
    section: '8.3.1',
    what: 'host that differs from :authority',
    send: plus('host', 'other.local'),
    expect: malformed,
  },
  {
    section: '8.3.1',
    what: 'host equal to :authority',
    send: plus('host', 'test.local'),
    expect: { accept: true, requests: 1 },
  },
  {
    section: '8.3.1',
    what: 'OPTIONS *',
    send: withFields(':method', 'OPTIONS', ':scheme', 'http', ':path', '*'),
    expect: { accept: true, requests: 1 },
  },
  {
    section: '8.5',
    what: 'CONNECT',
    send: withFields(':method', 'CONNECT', ':authority', 'a:1'),
    expect: { accept: true, requests: 1 },
  },
  {
    section: '8.5',
    what: 'CONNECT with :path',
    send: withFields(':method', 'CONNECT', ':authority', 'a:1', ':path', '/'),
    expect: malformed,
  },
  {
    section: '8.5',
    what: 'CONNECT without :authority',
    send: withFields(':method', 'CONNECT'),
    expect: malformed,
  },
  {
    section: 'RFC 8441 4',
    what: 'extended CONNECT',
    send: [openRequest(1, [':method', 'CONNECT', ':protocol', 'websocket', ...post.slice(2)])],
    expect: { accept: true, requests: 1 },
  },
  {
    section: 'RFC 8441 4',
    what: 'extended CONNECT without :path',
    send: withFields(':method', 'CONNECT', ':protocol', 'websocket', ':scheme', 'http', ':authority', 'a'),
    expect: malformed,
  },
  {
    section: 'RFC 8441 4',
    what: ':protocol on a GET',
    send: withFields(':protocol', 'websocket', ...get),
    expect: malformed,
  },
];

function check(rig: ServerRig, expect: Case['expect']): void {
  const { transport } = rig;
  if ('goaway' in expect) {
    assert.equal(transport.goawayCode, errorCode[expect.goaway]);
    assert.ok(transport.ended, 'the connection is closed behind the GOAWAY');
    assert.equal(rig.server.activeStreams, 0);
    return;
  }
  assert.equal(transport.goawayCode, undefined);
  assert.equal(transport.ended, false);
  if ('reset' in expect) {
    assert.equal(transport.resetCode(expect.stream), errorCode[expect.reset]);
    return;
  }
  assert.equal(transport.of(RST_STREAM).length, 0);
  if (expect.requests !== undefined) assert.equal(rig.listener.heads.length, expect.requests);
}

/** Numbers of the suites that the tests below have. */
const covered: string[] = cases.flatMap(({ suite = [] }) => suite);

/** A test that is not a row of the table. */
function numbered(what: string, numbers: readonly string[], run: () => Promise<void>): void {
  covered.push(...numbers);
  test([what, ...numbers].join(' '), run);
}

for (const { section, what, suite = [], send, expect } of cases) {
  test([`server ${section}: ${what}`, ...suite].join(' '), async () => {
    const bytes = Buffer.concat(send);
    const whole = startServer();
    whole.server.receive(bytes);
    await turn();
    check(whole, expect);
    if ('reset' in expect && expect.reset === 'protocolError') {
      const sentHead = send.length > 1;
      assert.equal(
        whole.listener.heads.length,
        sentHead ? 1 : 0,
        'a malformed head never reaches the listener',
      );
    }

    const slow = startServer();
    for (let at = 0; at < bytes.length; at++) slow.server.receive(bytes.subarray(at, at + 1));
    await turn();
    assert.deepEqual(slow.transport.frames(), whole.transport.frames());
    assert.deepEqual(slow.listener.heads, whole.listener.heads);
    whole.server.destroy();
    slow.server.destroy();
    assert.equal(whole.clock.pending + slow.clock.pending, 0, 'no timer is left');
  });
}

numbered('server 3.4: SETTINGS come first, and our window for the connection', ['http2/3.5/1'], async () => {
  const { transport } = bareServer();
  await turn();
  const [first, second] = transport.frames();
  assert.equal(first?.type, SETTINGS);
  assert.equal(second?.type, WINDOW_UPDATE);
  assert.equal(second?.payload.readUInt32BE(0), 1_048_576 - 65_535);
  assert.equal(transport.writes.length, 1, 'in one write');
});

for (const [what, bytes] of [
  ['a wrong preface', Buffer.from('INVALID CONNECTION PREFACE\r\n\r\n')],
  ['an HTTP/1 request', Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n')],
  ['a preface with another first frame than SETTINGS', Buffer.concat([preface, pings])],
  ['a preface with an acknowledgement first', Buffer.concat([preface, frame(SETTINGS, ACK, 0)])],
] as const) {
  numbered(
    `server 3.4: ${what} ends the connection`,
    what === 'a wrong preface' ? ['http2/3.5/2'] : [],
    async () => {
      const { transport, server } = bareServer();
      server.receive(bytes);
      await turn();
      assert.equal(transport.goawayCode, errorCode.protocolError);
      assert.ok(transport.ended);
    },
  );
}

numbered(
  'server 6.5.3: SETTINGS and PING are acknowledged, in order',
  ['http2/6.5.3/2', 'http2/6.7/1'],
  async () => {
    const { transport, server } = startServer();
    server.receive(Buffer.concat([settings([4, 100]), frame(PING, 0, 0, 'abcdefgh'), settings([3, 1])]));
    await turn();
    const acks = transport.frames().filter((found) => (found.flags & ACK) !== 0);
    assert.deepEqual(
      acks.map((found) => [found.type, found.payload.toString()]),
      [
        [SETTINGS, ''],
        [SETTINGS, ''],
        [PING, 'abcdefgh'],
        [SETTINGS, ''],
      ],
    );
  },
);

numbered('server 5.1.2: streams above the limit are refused', ['http2/5.1.2/1'], async () => {
  const { transport, server, limits, listener } = startServer({ http2_streams: 2 });
  server.receive(Buffer.concat([request(1), request(3), request(5)]));
  await turn();
  assert.equal(transport.resetCode(5), errorCode.refusedStream);
  assert.equal(listener.heads.length, 2);
  assert.equal(limits.hits('http2_streams'), 1);
});

test('server 6.8: a GOAWAY names the last stream that was seen', async () => {
  const { transport, server } = startServer();
  server.receive(Buffer.concat([request(7), frame(DATA, 0, 0, 'x')]));
  await turn();
  assert.equal(transport.of(GOAWAY)[0]?.payload.readUInt32BE(0), 7);
});

numbered(
  'server 6.9: what we send stays within windows of one byte, and shrinking ones',
  ['http2/6.9.1/1', 'http2/6.9.2/1', 'http2/6.9.2/2'],
  async () => {
    const { transport, server } = bareServer();
    server.receive(Buffer.concat([preface, settings([4, 1])]));
    server.receive(request(1, [...get.slice(0, 5), '/big/5', ...get.slice(6)]));
    await turn();
    assert.deepEqual(
      transport.of(DATA).map((found) => found.payload.length),
      [1],
    );
    server.receive(settings([4, 0]));
    server.receive(frame(WINDOW_UPDATE, 0, 1, u32(1)));
    await turn();
    assert.equal(transport.of(DATA).length, 1, 'the window is back at zero, not at one');
    server.receive(frame(WINDOW_UPDATE, 0, 1, u32(10)));
    await turn();
    const data = transport.of(DATA);
    assert.equal(
      data.reduce((sum, found) => sum + found.payload.length, 0),
      5,
    );
    assert.equal(data.at(-1)?.flags, END_STREAM);
  },
);

test('server: a request in one read is answered in one write', async () => {
  const { transport, server } = startServer();
  await turn();
  const before = transport.writes.length;
  server.receive(
    Buffer.concat([1, 3, 5].map((id) => request(id, [...get.slice(0, 5), '/x', ...get.slice(6)]))),
  );
  await turn();
  assert.equal(transport.writes.length, before + 1);
});

test('each of the 147 cases of the suites for servers has a test, and no number is made up', () => {
  const suites = ['generic', 'http2', 'hpack'] as const;
  assert.deepEqual(
    suites.map((suite) => numbersOf(suite).length),
    [44, 95, 8],
  );
  assert.deepEqual([...new Set(covered)].sort(), suites.flatMap(numbersOf).sort());
});
