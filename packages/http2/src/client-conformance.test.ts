import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ResetReason } from '@mesh/http/message';
import { LimitLedger } from '@mesh/limits/limits';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { Http2Client } from './client.ts';
import { errorCode } from './error-codes.ts';
import { maxStreamId } from './frames.ts';
import { http2Limits } from './limits.ts';
import {
  type ConformanceCase,
  type ConnectionFault,
  connectionFaults,
  numbersOf,
} from './testing/conformance.ts';
import { Collector, requestHead, send } from './testing/exchange.ts';
import {
  ACK,
  block,
  type ClientRig,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  GOAWAY,
  HEADERS,
  MemoryTransport,
  PADDED,
  PING,
  PRIORITY,
  RST_STREAM,
  settings,
  SETTINGS,
  startClient,
  turn,
  u32,
  WINDOW_UPDATE,
} from './testing/raw-peer.ts';

/**
 * What a client must do with frames that are right, odd or wrong. Stream 1 is a POST whose body is not finished,
 * stream 3 a GET, stream 5 a HEAD. Every case runs twice: its bytes at once, and one by one.
 */
type Case = ConformanceCase<
  | ConnectionFault
  /** We reset the stream with this code and its owner hears the reason. */
  | { reset: keyof typeof errorCode; stream: number; reason: ResetReason }
  /** The owner of the stream hears this without an RST_STREAM of ours. */
  | { heard: ResetReason; stream: number }
  /** The exchange on stream 3 is complete with this status and body. */
  | { status: number; body?: string }
>;

/** A response head on stream 3. */
const head = (...fields: string[]): Buffer => frame(HEADERS, END_HEADERS, 3, block(...fields));
const lastHead = (...fields: string[]): Buffer =>
  frame(HEADERS, END_HEADERS | END_STREAM, 3, block(...fields));
const ok = head(':status', '200');
const body = (text: string, flags = END_STREAM): Buffer => frame(DATA, flags, 3, text);
const malformed = { reset: 'protocolError', stream: 3, reason: 'protocol' } as const;
const good = { status: 200, body: '' } as const;

const cases: readonly Case[] = [
  ...connectionFaults({ suite: 'client', opening: [ok], open: 3, idle: 7, fields: [':status', '200'] }),
  {
    section: '4.1',
    what: 'undefined flags',
    suite: ['client/4.1/2'],
    send: [frame(PING, 0x16, 0, Buffer.alloc(8)), lastHead(':status', '200')],
    expect: good,
  },
  {
    section: '4.1',
    what: 'reserved bit of the stream id',
    suite: ['client/4.1/3'],
    send: [frame(HEADERS, END_HEADERS | END_STREAM, 0x80000003, block(':status', '200'))],
    expect: good,
  },
  {
    section: '4.2',
    what: 'DATA of exactly the maximum size',
    suite: ['client/4.2/1'],
    send: [ok, body('x'.repeat(16_384))],
    expect: { status: 200 },
  },
  {
    section: '5.1',
    what: 'closed by RST_STREAM: HEADERS',
    suite: ['client/5.1/6'],
    send: [ok, frame(RST_STREAM, 0, 3, u32(8)), lastHead(':status', '200')],
    expect: { goaway: 'streamClosed' },
  },
  {
    section: '5.1',
    what: 'closed by RST_STREAM: CONTINUATION',
    suite: ['client/5.1/7'],
    send: [ok, frame(RST_STREAM, 0, 3, u32(8)), frame(CONTINUATION, END_HEADERS, 3, block('a', 'b'))],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '5.1',
    what: 'closed by END_STREAM: CONTINUATION',
    suite: ['client/5.1/10'],
    send: [lastHead(':status', '200'), frame(CONTINUATION, END_HEADERS, 3, block('a', 'b'))],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '4.1',
    what: 'unknown frame type',
    suite: ['client/4.1/1', 'client/5.5/1'],
    send: [frame(0xee, 0, 0, 'x'), lastHead(':status', '200')],
    expect: good,
  },

  {
    section: '5.1',
    what: 'idle: HEADERS',
    send: [frame(HEADERS, END_HEADERS, 7, block(':status', '200'))],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '5.1',
    what: 'closed by END_STREAM: DATA',
    suite: ['client/5.1/8'],
    send: [ok, body('x'), body('y')],
    expect: { goaway: 'streamClosed' },
  },
  {
    section: '5.1',
    what: 'closed by END_STREAM: HEADERS',
    suite: ['client/5.1/9'],
    send: [lastHead(':status', '200'), ok],
    expect: { goaway: 'streamClosed' },
  },
  {
    section: '5.1',
    what: 'closed by RST_STREAM: DATA',
    suite: ['client/5.1/5'],
    send: [ok, frame(RST_STREAM, 0, 3, u32(8)), body('x')],
    expect: { goaway: 'streamClosed' },
  },
  {
    section: '5.1',
    what: 'closed: WINDOW_UPDATE, PRIORITY and RST_STREAM are ignored',
    send: [
      lastHead(':status', '200'),
      frame(WINDOW_UPDATE, 0, 3, u32(1)),
      frame(PRIORITY, 0, 3, u32(0, 0).subarray(0, 5)),
      frame(RST_STREAM, 0, 3, u32(8)),
    ],
    expect: good,
  },
  {
    section: '5.1',
    what: 'half-closed (remote): DATA',
    suite: ['client/6.1/2'],
    send: [frame(HEADERS, END_HEADERS | END_STREAM, 1, block(':status', '200')), frame(DATA, 0, 1, 'x')],
    expect: { goaway: 'streamClosed' },
  },
  {
    section: '5.1.1',
    what: 'HEADERS on an even stream',
    suite: ['client/5.1.1/1'],
    send: [frame(HEADERS, END_HEADERS, 2, block(':status', '200'))],
    expect: { goaway: 'protocolError' },
  },

  {
    section: '6.1',
    what: 'padded DATA',
    send: [ok, frame(DATA, PADDED | END_STREAM, 3, '\x02hi\0\0')],
    expect: { status: 200, body: 'hi' },
  },
  { section: '6.1', what: 'DATA before the head', send: [body('x')], expect: malformed },
  {
    section: '6.5.2',
    what: 'a server turns push on',
    send: [settings([2, 1])],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '6.5.2',
    what: 'unknown setting',
    suite: ['client/6.5.2/4'],
    send: [settings([0xff, 1]), lastHead(':status', '200')],
    expect: good,
  },
  {
    section: '6.7',
    what: 'acknowledgement of no PING of ours',
    suite: ['client/6.7/2'],
    send: [frame(PING, ACK, 0, Buffer.alloc(8)), lastHead(':status', '200')],
    expect: good,
  },
  {
    section: '6.8',
    what: 'GOAWAY: streams above the last are refused',
    send: [frame(GOAWAY, 0, 0, u32(1, 0))],
    expect: { heard: 'refused', stream: 3 },
  },
  {
    section: '6.8',
    what: 'GOAWAY: streams up to the last go on',
    send: [frame(GOAWAY, 0, 0, u32(3, 0)), ok, body('x')],
    expect: { status: 200, body: 'x' },
  },
  {
    section: '6.9',
    what: 'increment 0 on a stream',
    suite: ['client/6.9/2'],
    send: [frame(WINDOW_UPDATE, 0, 3, u32(0))],
    expect: malformed,
  },
  {
    section: '6.9.1',
    what: 'stream window above the maximum',
    suite: ['client/6.9.1/2'],
    send: [frame(WINDOW_UPDATE, 0, 3, u32(0x7fffffff))],
    expect: { reset: 'flowControlError', stream: 3, reason: 'protocol' },
  },
  {
    section: '6.10',
    what: 'head in three frames',
    suite: ['client/6.10/1'],
    send: [
      frame(HEADERS, END_STREAM, 3, block(':status', '200')),
      frame(CONTINUATION, 0, 3, block('a', 'b')),
      frame(CONTINUATION, END_HEADERS, 3, block('c', 'd')),
    ],
    expect: good,
  },

  {
    section: '8.1',
    what: '1xx, then the final head',
    send: [head(':status', '103', 'link', '</a>'), ok, body('x')],
    expect: { status: 200, body: 'x' },
  },
  { section: '8.1', what: '1xx that ends the stream', send: [lastHead(':status', '103')], expect: malformed },
  {
    section: '8.1',
    what: 'trailers',
    send: [ok, body('x', 0), lastHead('a', 'b')],
    expect: { status: 200, body: 'x' },
  },
  { section: '8.1', what: 'second final head', send: [ok, ok], expect: malformed },
  {
    section: '8.1',
    what: 'trailers with :status',
    send: [ok, lastHead(':status', '200')],
    expect: malformed,
  },
  {
    section: '8.1',
    what: 'REFUSED_STREAM',
    send: [frame(RST_STREAM, 0, 3, u32(7))],
    expect: { heard: 'refused', stream: 3 },
  },
  {
    section: '8.1',
    what: 'CANCEL',
    send: [frame(RST_STREAM, 0, 3, u32(8))],
    expect: { heard: 'cancel', stream: 3 },
  },
  {
    section: '8.1',
    what: 'ENHANCE_YOUR_CALM',
    send: [frame(RST_STREAM, 0, 3, u32(11))],
    expect: { heard: 'calm', stream: 3 },
  },
  {
    section: '8.1',
    what: 'HTTP_1_1_REQUIRED',
    send: [frame(RST_STREAM, 0, 3, u32(13))],
    expect: { heard: 'http11', stream: 3 },
  },
  {
    section: '8.1',
    what: 'unknown reset code',
    send: [frame(RST_STREAM, 0, 3, u32(0xbeef))],
    expect: { heard: 'internal', stream: 3 },
  },
  {
    section: '8.1',
    what: 'NO_ERROR before the answer is complete',
    send: [frame(HEADERS, END_HEADERS, 3, block(':status', '200')), frame(RST_STREAM, 0, 3, u32(0))],
    expect: { heard: 'internal', stream: 3 },
  },
  {
    section: '8.1',
    what: 'complete answer and NO_ERROR while the request goes on',
    send: [
      frame(HEADERS, END_HEADERS | END_STREAM, 1, block(':status', '413')),
      frame(RST_STREAM, 0, 1, u32(0)),
    ],
    expect: { heard: 'cancel', stream: 1 },
  },
  {
    section: '8.1.1',
    what: 'content-length above what came',
    send: [head(':status', '200', 'content-length', '3'), body('xx')],
    expect: malformed,
  },
  {
    section: '8.1.1',
    what: 'content-length below what came',
    send: [head(':status', '200', 'content-length', '1'), body('xx')],
    expect: malformed,
  },
  {
    section: '8.1.1',
    what: 'content-length with a leading zero, which our HTTP/1 refuses',
    send: [head(':status', '200', 'content-length', '02'), body('xx')],
    expect: malformed,
  },
  {
    section: '8.1.1',
    what: 'content-length without a body',
    send: [lastHead(':status', '200', 'content-length', '1')],
    expect: malformed,
  },
  {
    section: '8.1.1',
    what: 'content-length on a 304',
    send: [lastHead(':status', '304', 'content-length', '10')],
    expect: { status: 304, body: '' },
  },
  { section: '8.1.1', what: 'a body on a 204', send: [head(':status', '204'), body('x')], expect: malformed },
  {
    section: '8.1.1',
    what: 'a body in the answer to HEAD',
    send: [frame(HEADERS, END_HEADERS, 5, block(':status', '200')), frame(DATA, END_STREAM, 5, 'x')],
    expect: { reset: 'protocolError', stream: 5, reason: 'protocol' },
  },
  {
    section: '8.2',
    what: 'upper case in a name',
    send: [lastHead(':status', '200', 'X-A', 'b')],
    expect: malformed,
  },
  {
    section: '8.2.1',
    what: 'LF in a value',
    send: [lastHead(':status', '200', 'x-a', 'b\nc')],
    expect: malformed,
  },
  {
    section: '8.2.2',
    what: 'connection-specific field',
    send: [lastHead(':status', '200', 'connection', 'close')],
    expect: malformed,
  },
  {
    section: '8.3',
    what: 'request pseudo-header',
    send: [lastHead(':status', '200', ':path', '/')],
    expect: malformed,
  },
  {
    section: '8.3',
    what: ':status behind a field',
    send: [lastHead('a', 'b', ':status', '200')],
    expect: malformed,
  },
  { section: '8.3.2', what: 'no :status', send: [lastHead('a', 'b')], expect: malformed },
  {
    section: '8.3.2',
    what: 'two :status',
    send: [lastHead(':status', '200', ':status', '200')],
    expect: malformed,
  },
  ...['99', '600', '2000', '20', '+20', 'abc', '101'].map(
    (status): Case => ({
      section: '8.3.2',
      what: `:status ${status}`,
      send: [lastHead(':status', status)],
      expect: malformed,
    }),
  ),
];

interface Run extends ClientRig {
  answers: Map<number, Collector>;
}

function start(): Run {
  const rig = startClient();
  const open = new Collector();
  open.stream = rig.client.request(requestHead('/post', { method: 'POST' }), false, open);
  open.stream.write(Buffer.from('part'));
  const answers = new Map([[1, open]]);
  answers.set(3, send(rig.client, requestHead('/get')));
  answers.set(5, send(rig.client, requestHead('/head', { method: 'HEAD' })));
  return { ...rig, answers };
}

function check({ transport, answers, client }: Run, expect: Case['expect']): void {
  if ('goaway' in expect) {
    assert.equal(transport.goawayCode, errorCode[expect.goaway]);
    assert.ok(transport.ended);
    assert.equal(client.usable, false);
    assert.equal(client.activeStreams, 0);
    return;
  }
  assert.equal(transport.goawayCode, undefined);
  if ('reset' in expect) {
    assert.equal(transport.resetCode(expect.stream), errorCode[expect.reset]);
    assert.equal(answers.get(expect.stream)?.resetReason, expect.reason);
    return;
  }
  assert.equal(transport.of(RST_STREAM).length, 0);
  if ('heard' in expect) {
    assert.equal(answers.get(expect.stream)?.resetReason, expect.heard);
    return;
  }
  const answer = answers.get(3);
  assert.equal(answer?.resetReason, undefined);
  assert.ok(answer?.ended);
  assert.equal(answer.head?.status, expect.status);
  if (expect.body !== undefined) assert.equal(answer.body, expect.body);
}

/** Numbers of the suite that the tests below have. */
const covered: string[] = cases.flatMap(({ suite = [] }) => suite);

/** A test that is not a row of the table. */
function numbered(what: string, numbers: readonly string[], run: () => Promise<void>): void {
  covered.push(...numbers);
  test([what, ...numbers].join(' '), run);
}

for (const { section, what, suite = [], send: frames, expect } of cases) {
  test([`client ${section}: ${what}`, ...suite].join(' '), async () => {
    const bytes = Buffer.concat(frames);
    const whole = start();
    await turn();
    whole.client.receive(bytes);
    await turn();
    check(whole, expect);

    const slow = start();
    await turn();
    for (let at = 0; at < bytes.length; at++) slow.client.receive(bytes.subarray(at, at + 1));
    await turn();
    check(slow, expect);
    assert.deepEqual(slow.transport.frames(), whole.transport.frames());
    whole.client.destroy();
    slow.client.destroy();
    assert.equal(whole.clock.pending + slow.clock.pending, 0, 'no timer is left');
  });
}

numbered(
  'client 3.4: preface, SETTINGS without push, and the window, in one write',
  ['client/1/1'],
  async () => {
    const { transport } = startClient();
    await turn();
    assert.equal(transport.writes.length, 1);
    const [first, second] = transport.frames();
    assert.equal(first?.type, SETTINGS);
    assert.equal(first?.payload.readUInt16BE(0), 2);
    assert.equal(first?.payload.readUInt32BE(2), 0);
    assert.equal(second?.type, WINDOW_UPDATE);
  },
);

numbered(
  'client 6.5.3: SETTINGS and PING are acknowledged, in order',
  ['client/6.5.3/1', 'client/6.7/1'],
  async () => {
    const { client, transport } = startClient();
    client.receive(Buffer.concat([frame(PING, 0, 0, 'abcdefgh'), settings([3, 1])]));
    await turn();
    const acks = transport.frames().filter(({ flags }) => (flags & ACK) !== 0);
    assert.deepEqual(
      acks.map(({ type, payload }) => [type, payload.toString()]),
      [
        [SETTINGS, ''],
        [PING, 'abcdefgh'],
        [SETTINGS, ''],
      ],
    );
    client.destroy();
  },
);

test('client 8.5: CONNECT has neither scheme nor path, extended CONNECT has them and a protocol', async () => {
  const { client, transport } = startClient();
  await turn();
  client.receive(settings([8, 1]));
  assert.equal(client.extendedConnect, true);
  const tunnel = requestHead('', { method: 'CONNECT', authority: 'a:1' });
  send(client, tunnel, Buffer.from('x'));
  send(client, requestHead('/chat', { upgrade: 'websocket' }), Buffer.from('x'));
  await turn();
  const [first, second] = transport.of(HEADERS).map((found) => found.payload.toString('latin1'));
  assert.ok(!first?.includes('/'));
  assert.ok(first?.includes('CONNECT') && first.includes('a:1'));
  assert.ok(second?.includes('CONNECT') && second.includes('websocket') && second.includes('/chat'));
});

test('client 8.5: the answer that opens a tunnel has no length, one that refuses it has', async () => {
  const { client } = startClient();
  const answers = [1, 3].map(() =>
    send(client, requestHead('', { method: 'CONNECT', authority: 'a:1' }), Buffer.from('x')),
  );
  await turn();
  for (const [id, status, length] of [
    [1, '200', '0'],
    [3, '403', '2'],
  ] as const) {
    client.receive(frame(HEADERS, END_HEADERS, id, block(':status', status, 'content-length', length)));
    client.receive(frame(DATA, 0, id, 'hello'));
  }
  const [opened, refused] = answers;
  assert.equal(Buffer.concat(opened?.chunks ?? []).toString(), 'hello');
  assert.deepEqual(opened?.head?.headers, []);
  assert.equal(refused?.resetReason, 'protocol');
});

test('client: a tunnel that the server does not offer is reset with http11, and nothing is sent', async () => {
  const { client, transport } = startClient();
  const chat = requestHead('/chat', { upgrade: 'websocket' });
  const answer = send(client, chat, Buffer.from('x'));
  assert.equal(answer.resetReason, undefined, 'never before the call returns');
  await turn();
  assert.equal(answer.resetReason, 'http11');
  const cancelled = send(client, chat, Buffer.from('x'));
  cancelled.stream?.reset('cancel');
  await turn();
  assert.equal(cancelled.resetReason, undefined);
  assert.equal(transport.of(HEADERS).length + transport.of(DATA).length + transport.of(RST_STREAM).length, 0);
  client.receive(frame(PING, 0, 0, Buffer.alloc(8)));
  await turn();
  assert.equal(transport.goawayCode, undefined);
});

test('client: a request on a connection that is gone is refused', async () => {
  const { client } = startClient();
  client.destroy();
  const answer = send(client, requestHead('/get'));
  await turn();
  assert.equal(answer.resetReason, 'refused');
});

test('client: requests whose bytes never left are refused when the connection is lost, others are closed', async () => {
  const { client } = startClient();
  const left = send(client, requestHead('/left'));
  await turn();
  const stayed = send(client, requestHead('/stayed'));
  client.onLost();
  assert.equal(left.resetReason, 'closed');
  assert.equal(stayed.resetReason, 'refused');
  assert.equal(client.usable, false);
});

test('client: a reset of ours is sent once, and what was under way is ignored', async () => {
  const { client, transport } = startClient();
  const answer = send(client, requestHead('/get'));
  await turn();
  answer.stream?.reset('cancel');
  client.receive(
    Buffer.concat([frame(HEADERS, END_HEADERS, 1, block(':status', '200')), frame(DATA, END_STREAM, 1, 'x')]),
  );
  answer.stream?.reset('cancel');
  await turn();
  assert.equal(transport.of(RST_STREAM).length, 1);
  assert.equal(transport.resetCode(1), errorCode.cancel);
  assert.equal(transport.goawayCode, undefined);
  assert.equal(answer.head, undefined);
  assert.equal(answer.resetReason, undefined);
});

test('client: an answer that is given up in its middle is cancelled', async () => {
  const { client, transport } = startClient();
  const answer = send(client, requestHead('/get'));
  await turn();
  client.receive(frame(HEADERS, END_HEADERS, 1, block(':status', '200')));
  answer.stream?.reset('cancel');
  await turn();
  assert.equal(transport.resetCode(1), errorCode.cancel);
});

test('client: drain lets running requests finish, then says goodbye and closes', async () => {
  const { client, transport } = startClient();
  const answer = send(client, requestHead('/get'));
  await turn();
  client.drain();
  assert.equal(client.usable, false);
  await turn();
  assert.equal(transport.ended, false);
  client.receive(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(':status', '200')));
  await turn();
  assert.equal(answer.ended, true);
  assert.ok(transport.ended);
  assert.equal(transport.goawayCode, errorCode.noError);
});

test('client: fields over the limit end the exchange, not the connection', async () => {
  const { client, transport, limits } = startClient({ http2_header_count: 4 });
  const answer = send(client, requestHead('/get'));
  await turn();
  const fields = [':status', '200', 'a', '1', 'b', '2', 'c', '3', 'd', '4'];
  client.receive(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(...fields)));
  await turn();
  assert.equal(answer.resetReason, 'protocol');
  assert.equal(transport.goawayCode, undefined);
  assert.equal(limits.hits('http2_header_count'), 1);
});

test('client: onChange tells when streams become free again, and when the connection is gone', async () => {
  const { client } = startClient();
  let changes = 0;
  client.onChange = () => {
    changes += 1;
  };
  client.receive(settings([3, 1]));
  assert.equal(changes, 1);
  assert.equal(client.capacity, 1);
  send(client, requestHead('/get'));
  assert.equal(client.capacity, 0);
  await turn();
  client.receive(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(':status', '200')));
  assert.equal(changes, 2);
  assert.equal(client.capacity, 1);
  client.destroy();
  assert.equal(changes, 3);
  assert.equal(client.capacity, 0);
});

/** A connection that has two streams left. */
class OldClient extends Http2Client {
  protected override nextId = maxStreamId - 2;
}

test('client 5.1.1: the last stream ids are used, then the connection says that it takes no more and ends gracefully', async () => {
  const transport = new MemoryTransport();
  const clock = new FakeClock();
  const client = new OldClient(transport, { clock, limits: new LimitLedger(http2Limits) });
  let changes = 0;
  client.onChange = () => void changes++;
  client.receive(settings());
  const last = [send(client, requestHead('/a')), send(client, requestHead('/b'))];
  assert.equal(client.usable, false);
  assert.equal(client.capacity, 0);
  const refused = send(client, requestHead('/c'));
  await turn();
  assert.equal(refused.resetReason, 'refused', 'another connection may take it');
  assert.deepEqual(
    transport.of(HEADERS).map(({ streamId }) => streamId),
    [maxStreamId - 2, maxStreamId],
  );
  for (const id of [maxStreamId - 2, maxStreamId]) {
    client.receive(frame(HEADERS, END_HEADERS | END_STREAM, id, block(':status', '204')));
  }
  await turn();
  assert.ok(last.every(({ ended }) => ended));
  assert.ok(transport.ended);
  assert.ok(changes >= 1);
});

test('each of the 57 cases of the suite for clients has a test, and no number is made up', () => {
  const numbers = numbersOf('client');
  assert.equal(numbers.length, 57);
  assert.deepEqual([...new Set(covered)].sort(), numbers.sort());
});
