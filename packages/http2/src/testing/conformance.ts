/**
 * Conformance as tables: what is sent, and what must come of it. Cases are written from RFC 9113 and RFC 7541 and carry
 * the numbers that h2spec gives to the same requirement, so that none of its cases is missing here.
 */
import type { errorCode } from '../error-codes.ts';
import {
  ACK,
  block,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  GOAWAY,
  HEADERS,
  PADDED,
  PING,
  PRIORITY,
  PRIORITY_FLAG,
  PUSH_PROMISE,
  RST_STREAM,
  settings,
  SETTINGS,
  u32,
  WINDOW_UPDATE,
} from './raw-peer.ts';

export interface ConformanceCase<Expectation> {
  /** RFC 9113 unless it says otherwise. */
  section: string;
  what: string;
  /** Numbers in h2spec: suite, section, case. */
  suite?: readonly string[];
  send: Buffer[];
  expect: Expectation;
}

export type ConnectionFault = { goaway: keyof typeof errorCode };

/** What differs between the peers of a server and those of a client. */
export interface Role {
  /** Prefix of the suite's numbers. */
  suite: 'http2' | 'client';
  /** Opens stream `open`, unless it is open already. */
  opening: Buffer[];
  /** A stream on which the peer may send DATA. */
  open: number;
  /** A stream that nobody used. */
  idle: number;
  /** Fields of a head that the peer may send. */
  fields: readonly string[];
}

/** Faults that end a connection whoever makes them. */
export function connectionFaults(role: Role): ConformanceCase<ConnectionFault>[] {
  const { opening, open, idle, fields } = role;
  const head = (flags: number, id = open): Buffer => frame(HEADERS, flags, id, block(...fields));
  const five = (value: number): Buffer => u32(value, 0).subarray(0, 5);
  const padded = Buffer.concat([Buffer.from([0xff]), block(...fields)]);
  const dependsOnItself = Buffer.concat([u32(open), Buffer.from([9]), block(...fields)]);
  const overflow = frame(WINDOW_UPDATE, 0, 0, u32(0x7fffffff));
  const rows: [code: keyof typeof errorCode, what: string, sections: string, ...send: Buffer[]][] = [
    [
      'frameSizeError',
      'DATA above the maximum size',
      '4.2/2',
      ...opening,
      frame(DATA, 0, open, Buffer.alloc(16_385)),
    ],
    [
      'frameSizeError',
      'HEADERS above the maximum size',
      '4.2/3',
      frame(HEADERS, 4, open, Buffer.alloc(16_385)),
    ],
    [
      'compressionError',
      'header block that cannot be decoded',
      '4.3/1',
      frame(HEADERS, 5, open, Buffer.from([0x80])),
    ],
    [
      'protocolError',
      'PRIORITY inside a header block',
      '4.3/2 6.2/1',
      head(1),
      frame(PRIORITY, 0, open, five(0)),
    ],
    [
      'protocolError',
      'HEADERS of another stream inside a header block',
      '4.3/3 6.2/2',
      head(1),
      head(5, idle),
    ],
    ['protocolError', 'unknown frame inside a header block', '5.5/2', head(1), frame(0xee, 0, open)],
    ['protocolError', 'DATA inside a header block', '6.10/2', head(0), frame(DATA, END_STREAM, open, 'x')],
    ['protocolError', 'PING inside a header block', '4.3', head(0), frame(PING, 0, 0, Buffer.alloc(8))],
    ['protocolError', 'idle: DATA', '5.1/1', frame(DATA, END_STREAM, idle, 'x')],
    ['protocolError', 'idle: RST_STREAM', '5.1/2 6.4/2', frame(RST_STREAM, 0, idle, u32(8))],
    ['protocolError', 'idle: WINDOW_UPDATE', '5.1/3', frame(WINDOW_UPDATE, 0, idle, u32(100))],
    [
      'protocolError',
      'idle: CONTINUATION',
      '5.1/4',
      frame(CONTINUATION, END_HEADERS, idle, block(...fields)),
    ],
    ['protocolError', 'DATA on stream 0', '6.1/1', frame(DATA, 0, 0, 'x')],
    [
      'protocolError',
      'DATA padded with as much as there is',
      '6.1/3',
      ...opening,
      frame(DATA, PADDED, open, '\x04abc'),
    ],
    ['protocolError', 'padded DATA without a byte', '6.1', ...opening, frame(DATA, PADDED, open)],
    ['protocolError', 'HEADERS on stream 0', '6.2/3', head(5, 0)],
    [
      'protocolError',
      'HEADERS padded with more than there is',
      '6.2/4',
      frame(HEADERS, 5 | PADDED, open, padded),
    ],
    ['frameSizeError', 'padded HEADERS without a byte', '6.2', frame(HEADERS, 5 | PADDED, open)],
    ['frameSizeError', 'priority fields cut off', '6.2', frame(HEADERS, 5 | PRIORITY_FLAG, open, 'abc')],
    [
      'protocolError',
      'HEADERS that depends on itself',
      '5.3.1/1',
      frame(HEADERS, 5 | PRIORITY_FLAG, open, dependsOnItself),
    ],
    ['protocolError', 'PRIORITY that depends on itself', '5.3.1/2', frame(PRIORITY, 0, open, five(open))],
    ['protocolError', 'PRIORITY on stream 0', '6.3/1', frame(PRIORITY, 0, 0, five(1))],
    ['frameSizeError', 'PRIORITY of four bytes', '6.3/2', ...opening, frame(PRIORITY, 0, open, u32(0))],
    ['protocolError', 'RST_STREAM on stream 0', '6.4/1', frame(RST_STREAM, 0, 0, u32(8))],
    ['frameSizeError', 'RST_STREAM of three bytes', '6.4/3', ...opening, frame(RST_STREAM, 0, open, 'abc')],
    [
      'frameSizeError',
      'acknowledgement of SETTINGS with a payload',
      '6.5/1',
      frame(SETTINGS, ACK, 0, Buffer.alloc(6)),
    ],
    ['protocolError', 'SETTINGS on a stream', '6.5/2', frame(SETTINGS, 0, open, Buffer.alloc(6))],
    ['frameSizeError', 'SETTINGS of five bytes', '6.5/3', frame(SETTINGS, 0, 0, Buffer.alloc(5))],
    ['protocolError', 'ENABLE_PUSH of 2', '6.5.2/1', settings([2, 2])],
    ['flowControlError', 'INITIAL_WINDOW_SIZE above the maximum', '6.5.2/2', settings([4, 0x80000000])],
    ['protocolError', 'MAX_FRAME_SIZE below 16,384', '6.5.2/3', settings([5, 16_383])],
    ['protocolError', 'MAX_FRAME_SIZE above 16,777,215', '6.5.2/4', settings([5, 16_777_216])],
    [
      'protocolError',
      'PUSH_PROMISE',
      '8.2/1',
      ...opening,
      frame(PUSH_PROMISE, 4, open, Buffer.concat([u32(2), block(...fields)])),
    ],
    ['protocolError', 'PING on a stream', '6.7/3', frame(PING, 0, open, Buffer.alloc(8))],
    // Closes behind its GOAWAY: both halves of the requirement.
    ['frameSizeError', 'PING of seven bytes', '6.7/4 5.4.1/1 5.4.1/2', frame(PING, 0, 0, Buffer.alloc(7))],
    ['protocolError', 'GOAWAY on a stream', '6.8/1', frame(GOAWAY, 0, open, u32(0, 0))],
    ['frameSizeError', 'GOAWAY of four bytes', '6.8', frame(GOAWAY, 0, 0, u32(0))],
    ['protocolError', 'increment 0 on the connection', '6.9/1', frame(WINDOW_UPDATE, 0, 0, u32(0))],
    ['frameSizeError', 'WINDOW_UPDATE of three bytes', '6.9/3', frame(WINDOW_UPDATE, 0, 0, 'abc')],
    ['flowControlError', 'connection window above the maximum', '6.9.1/2', overflow, overflow],
    ['protocolError', 'CONTINUATION on stream 0', '6.10/3', head(1), frame(CONTINUATION, END_HEADERS, 0)],
    [
      'protocolError',
      'CONTINUATION of another stream',
      '6.10',
      head(1),
      frame(CONTINUATION, END_HEADERS, idle),
    ],
    [
      'protocolError',
      'CONTINUATION behind END_HEADERS',
      '6.10/4',
      head(4),
      frame(CONTINUATION, END_HEADERS, open),
    ],
    [
      'protocolError',
      'CONTINUATION behind a block of two frames',
      '6.10/5',
      head(0),
      frame(CONTINUATION, END_HEADERS, open, block('a', 'b')),
      frame(CONTINUATION, END_HEADERS, open, block('a', 'b')),
    ],
    [
      'protocolError',
      'CONTINUATION behind DATA',
      '6.10/6',
      head(4),
      frame(DATA, 0, open, 'x'),
      frame(CONTINUATION, END_HEADERS, open, block('a', 'b')),
    ],
  ];
  return rows.map(([goaway, what, sections, ...send]) => ({
    section: sections.split(/[ /]/, 1)[0] ?? '',
    what,
    suite: sections
      .split(' ')
      .map((number) => (role.suite === 'client' ? (clientNumbers[number] ?? number) : number))
      .filter((number) => number.includes('/'))
      .map((number) => `${role.suite}/${number}`),
    send,
    expect: { goaway },
  }));
}

/** Where the suite counts the same requirement of a client otherwise, or not at all. */
const clientNumbers: Readonly<Record<string, string>> = {
  '4.3/2': '',
  '4.3/3': '',
  '5.3.1/1': '',
  '5.3.1/2': '',
  '5.5/2': '',
  '6.2/2': '',
  '6.2/3': '6.2/2',
  '6.2/4': '6.2/3',
  '6.5.2/1': '',
  '6.5.2/2': '6.5.2/1',
  '6.5.2/3': '6.5.2/2',
  '6.5.2/4': '6.5.2/3',
  '6.9.1/2': '6.9.1/1',
  '8.2/1': '',
};

/** Cases per section in h2spec 2.6.0, strict ones included. */
const suiteCounts: Readonly<Record<'generic' | 'http2' | 'hpack' | 'client', Record<string, number>>> = {
  generic: {
    '1': 1,
    '2': 5,
    '3.1': 3,
    '3.2': 3,
    '3.3': 5,
    '3.4': 1,
    '3.5': 1,
    '3.7': 1,
    '3.8': 1,
    '3.9': 2,
    '3.10': 2,
    '4': 4,
    '5': 15,
  },
  http2: {
    '3.5': 2,
    '4.1': 3,
    '4.2': 3,
    '4.3': 3,
    '5.1': 13,
    '5.1.1': 2,
    '5.1.2': 1,
    '5.3.1': 2,
    '5.4.1': 2,
    '5.5': 2,
    '6.1': 3,
    '6.2': 4,
    '6.3': 2,
    '6.4': 3,
    '6.5': 3,
    '6.5.2': 5,
    '6.5.3': 2,
    '6.7': 4,
    '6.8': 1,
    '6.9': 3,
    '6.9.1': 3,
    '6.9.2': 3,
    '6.10': 6,
    '7': 2,
    '8.1': 1,
    '8.1.2': 1,
    '8.1.2.1': 4,
    '8.1.2.2': 2,
    '8.1.2.3': 7,
    '8.1.2.6': 2,
    '8.2': 1,
  },
  hpack: { '2.3.3': 2, '4.2': 1, '5.2': 3, '6.1': 1, '6.3': 1 },
  client: {
    '1': 1,
    '4.1': 3,
    '4.2': 3,
    '4.3': 1,
    '5.1': 10,
    '5.1.1': 1,
    '5.4.1': 2,
    '5.5': 1,
    '6.1': 3,
    '6.2': 3,
    '6.3': 2,
    '6.4': 3,
    '6.5': 3,
    '6.5.2': 4,
    '6.5.3': 1,
    '6.7': 4,
    '6.8': 1,
    '6.9': 3,
    '6.9.1': 2,
    '6.10': 6,
  },
};

/** All numbers of a suite. */
export function numbersOf(suite: keyof typeof suiteCounts): string[] {
  return Object.entries(suiteCounts[suite]).flatMap(([section, count]) =>
    Array.from({ length: count }, (_, index) => `${suite}/${section}/${index + 1}`),
  );
}
