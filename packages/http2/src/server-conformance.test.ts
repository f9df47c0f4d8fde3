import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorCode } from './error-codes.ts';
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
  PUSH_PROMISE,
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
interface Case {
  /** RFC 9113 unless it says otherwise. */
  section: string;
  what: string;
  send: Buffer[];
  /** `accept`: the connection is open and nothing was reset; a number of requests that reached the listener. */
  expect:
    | { goaway: keyof typeof errorCode }
    | { reset: keyof typeof errorCode; stream: number }
    | { accept: true; requests?: number };
}

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
  // ---- frames
  {
    section: '4.1',
    what: 'unknown frame type is ignored',
    send: [frame(0xee, 0, 0, 'abc'), request(1)],
    expect: { accept: true, requests: 1 },
  },
  {
    section: '4.1',
    what: 'undefined flags are ignored',
    send: [frame(PING, 0x16, 0, Buffer.alloc(8))],
    expect: accept,
  },
  {
    section: '4.1',
    what: 'reserved bit of the stream id is ignored',
    send: [frame(HEADERS, END_HEADERS | END_STREAM, 0x80000001, block(...get))],
    expect: { accept: true, requests: 1 },
  },
  {
    section: '4.2',
    what: 'DATA of exactly the maximum size',
    send: [openRequest(1), frame(DATA, 0, 1, Buffer.alloc(16_384))],
    expect: accept,
  },
  {
    section: '4.2',
    what: 'DATA above the maximum size',
    send: [openRequest(1), frame(DATA, 0, 1, Buffer.alloc(16_385))],
    expect: { goaway: 'frameSizeError' },
  },
  {
    section: '4.2',
    what: 'HEADERS above the maximum size',
    send: [frame(HEADERS, END_HEADERS, 1, Buffer.alloc(16_385))],
    expect: { goaway: 'frameSizeError' },
  },
  {
    section: '4.3',
    what: 'header block that cannot be decoded',
    send: [frame(HEADERS, END_HEADERS | END_STREAM, 1, Buffer.from([0x80]))],
    expect: { goaway: 'compressionError' },
  },
  {
    section: '4.3',
    what: 'PRIORITY inside a header block',
    send: [frame(HEADERS, END_STREAM, 1, block(...get)), frame(PRIORITY, 0, 3, u32(0, 0).subarray(0, 5))],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '4.3',
    what: 'HEADERS of another stream inside a header block',
    send: [frame(HEADERS, END_STREAM, 1, block(...get)), request(3)],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '4.3',
    what: 'unknown frame inside a header block',
    send: [frame(HEADERS, END_STREAM, 1, block(...get)), frame(0xee, 0, 1)],
    expect: { goaway: 'protocolError' },
  },

  // ---- stream states
  {
    section: '5.1',
    what: 'idle: DATA',
    send: [frame(DATA, END_STREAM, 1, 'x')],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '5.1',
    what: 'idle: RST_STREAM',
    send: [frame(RST_STREAM, 0, 1, u32(8))],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '5.1',
    what: 'idle: WINDOW_UPDATE',
    send: [frame(WINDOW_UPDATE, 0, 1, u32(100))],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '5.1',
    what: 'idle: CONTINUATION',
    send: [frame(CONTINUATION, END_HEADERS, 1, block(...get))],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '5.1',
    what: 'idle: PRIORITY is allowed',
    send: [frame(PRIORITY, 0, 1, u32(3, 0).subarray(0, 5)), request(1)],
    expect: { accept: true, requests: 1 },
  },
  {
    section: '5.1',
    what: 'half-closed (remote): DATA',
    send: [request(1), frame(DATA, END_STREAM, 1, 'x')],
    expect: { goaway: 'streamClosed' },
  },
  {
    section: '5.1',
    what: 'half-closed (remote): HEADERS',
    send: [request(1), request(1)],
    expect: { goaway: 'streamClosed' },
  },
  {
    section: '5.1',
    what: 'half-closed (remote): CONTINUATION',
    send: [request(1), frame(CONTINUATION, END_HEADERS, 1, block(...get))],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '5.1',
    what: 'half-closed (remote): WINDOW_UPDATE, PRIORITY, RST_STREAM are allowed',
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
    send: [openRequest(1), frame(RST_STREAM, 0, 1, u32(8)), frame(DATA, END_STREAM, 1, 'x')],
    expect: { goaway: 'streamClosed' },
  },
  {
    section: '5.1',
    what: 'closed by RST_STREAM: HEADERS',
    send: [openRequest(1), frame(RST_STREAM, 0, 1, u32(8)), request(1)],
    expect: { goaway: 'streamClosed' },
  },
  {
    section: '5.1',
    what: 'closed by END_STREAM: DATA',
    send: [request(1, [...get.slice(0, 5), '/x', ...get.slice(6)]), frame(DATA, END_STREAM, 1, 'x')],
    expect: { goaway: 'streamClosed' },
  },
  {
    section: '5.1',
    what: 'closed by END_STREAM: HEADERS',
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
  { section: '5.1.1', what: 'even stream id', send: [request(2)], expect: { goaway: 'protocolError' } },
  {
    section: '5.1.1',
    what: 'stream id lower than one before, never opened',
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
    what: 'DATA on stream 0',
    send: [frame(DATA, 0, 0, 'x')],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '6.1',
    what: 'DATA with padding',
    send: [openRequest(1), frame(DATA, PADDED | END_STREAM, 1, '\x03abc\0\0\0')],
    expect: accept,
  },
  {
    section: '6.1',
    what: 'DATA of padding only',
    send: [openRequest(1), frame(DATA, PADDED | END_STREAM, 1, '\x02\0\0')],
    expect: accept,
  },
  {
    section: '6.1',
    what: 'padding as long as the payload',
    send: [openRequest(1), frame(DATA, PADDED | END_STREAM, 1, '\x04abc')],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '6.1',
    what: 'padded DATA without a byte',
    send: [openRequest(1), frame(DATA, PADDED, 1)],
    expect: { goaway: 'protocolError' },
  },

  // ---- HEADERS
  { section: '6.2', what: 'HEADERS on stream 0', send: [request(0)], expect: { goaway: 'protocolError' } },
  {
    section: '6.2',
    what: 'HEADERS with padding and priority',
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
  {
    section: '6.2',
    what: 'padding longer than the block',
    send: [
      frame(
        HEADERS,
        END_HEADERS | END_STREAM | PADDED,
        1,
        Buffer.concat([Buffer.from([0xff]), block(...get)]),
      ),
    ],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '6.2',
    what: 'padded HEADERS without a byte',
    send: [frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1)],
    expect: { goaway: 'frameSizeError' },
  },
  {
    section: '6.2',
    what: 'priority fields cut off',
    send: [frame(HEADERS, END_HEADERS | END_STREAM | PRIORITY_FLAG, 1, 'abc')],
    expect: { goaway: 'frameSizeError' },
  },
  {
    section: 'RFC 7540 5.3.1',
    what: 'HEADERS that depends on itself',
    send: [
      frame(
        HEADERS,
        END_HEADERS | END_STREAM | PRIORITY_FLAG,
        1,
        Buffer.concat([u32(1), Buffer.from([9]), block(...get)]),
      ),
    ],
    expect: { goaway: 'protocolError' },
  },
  {
    section: 'RFC 7540 5.3.1',
    what: 'PRIORITY that depends on itself',
    send: [frame(PRIORITY, 0, 1, u32(1, 0).subarray(0, 5))],
    expect: { goaway: 'protocolError' },
  },

  // ---- PRIORITY, RST_STREAM
  {
    section: '6.3',
    what: 'PRIORITY on stream 0',
    send: [frame(PRIORITY, 0, 0, u32(1, 0).subarray(0, 5))],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '6.3',
    what: 'PRIORITY of four bytes',
    send: [openRequest(1), frame(PRIORITY, 0, 1, u32(0))],
    expect: { goaway: 'frameSizeError' },
  },
  {
    section: '6.4',
    what: 'RST_STREAM on stream 0',
    send: [frame(RST_STREAM, 0, 0, u32(8))],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '6.4',
    what: 'RST_STREAM of three bytes',
    send: [openRequest(1), frame(RST_STREAM, 0, 1, 'abc')],
    expect: { goaway: 'frameSizeError' },
  },
  {
    section: '6.4',
    what: 'RST_STREAM on an open stream',
    send: [openRequest(1), frame(RST_STREAM, 0, 1, u32(8)), request(3)],
    expect: { accept: true, requests: 2 },
  },

  // ---- SETTINGS
  {
    section: '6.5',
    what: 'acknowledgement with a payload',
    send: [frame(SETTINGS, ACK, 0, Buffer.alloc(6))],
    expect: { goaway: 'frameSizeError' },
  },
  {
    section: '6.5',
    what: 'SETTINGS on a stream',
    send: [frame(SETTINGS, 0, 1, Buffer.alloc(6))],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '6.5',
    what: 'SETTINGS of five bytes',
    send: [frame(SETTINGS, 0, 0, Buffer.alloc(5))],
    expect: { goaway: 'frameSizeError' },
  },
  {
    section: '6.5.2',
    what: 'ENABLE_PUSH of 2',
    send: [settings([2, 2])],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '6.5.2',
    what: 'INITIAL_WINDOW_SIZE above the maximum',
    send: [settings([4, 0x80000000])],
    expect: { goaway: 'flowControlError' },
  },
  {
    section: '6.5.2',
    what: 'MAX_FRAME_SIZE below 16,384',
    send: [settings([5, 16_383])],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '6.5.2',
    what: 'MAX_FRAME_SIZE above 16,777,215',
    send: [settings([5, 16_777_216])],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '6.5.2',
    what: 'unknown setting',
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
    section: '6.6',
    what: 'PUSH_PROMISE from a client',
    send: [openRequest(1), frame(PUSH_PROMISE, END_HEADERS, 1, Buffer.concat([u32(2), block(...get)]))],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '6.7',
    what: 'PING on a stream',
    send: [frame(PING, 0, 1, Buffer.alloc(8))],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '6.7',
    what: 'PING of seven bytes',
    send: [frame(PING, 0, 0, Buffer.alloc(7))],
    expect: { goaway: 'frameSizeError' },
  },
  {
    section: '6.7',
    what: 'acknowledgement of no PING of ours',
    send: [frame(PING, ACK, 0, Buffer.alloc(8)), request(1)],
    expect: { accept: true, requests: 1 },
  },
  {
    section: '6.8',
    what: 'GOAWAY on a stream',
    send: [frame(GOAWAY, 0, 1, u32(0, 0))],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '6.8',
    what: 'GOAWAY of four bytes',
    send: [frame(GOAWAY, 0, 0, u32(0))],
    expect: { goaway: 'frameSizeError' },
  },
  {
    section: '6.8',
    what: 'GOAWAY with debug data',
    send: [frame(GOAWAY, 0, 0, Buffer.concat([u32(0, 0), Buffer.from('bye')])), request(1)],
    expect: { accept: true, requests: 1 },
  },

  // ---- WINDOW_UPDATE
  {
    section: '6.9',
    what: 'increment 0 on the connection',
    send: [frame(WINDOW_UPDATE, 0, 0, u32(0))],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '6.9',
    what: 'increment 0 on an open stream',
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
    section: '6.9',
    what: 'WINDOW_UPDATE of three bytes',
    send: [frame(WINDOW_UPDATE, 0, 0, 'abc')],
    expect: { goaway: 'frameSizeError' },
  },
  {
    section: '6.9.1',
    what: 'connection window above the maximum',
    send: [frame(WINDOW_UPDATE, 0, 0, u32(0x7fffffff)), frame(WINDOW_UPDATE, 0, 0, u32(0x7fffffff))],
    expect: { goaway: 'flowControlError' },
  },
  {
    section: '6.9.1',
    what: 'stream window above the maximum, open stream',
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
    send: [openRequest(1), frame(WINDOW_UPDATE, 0, 1, u32(0x7fffffff - 65_535)), settings([4, 65_536])],
    expect: { goaway: 'flowControlError' },
  },

  // ---- CONTINUATION
  {
    section: '6.10',
    what: 'block in three frames',
    send: [
      frame(HEADERS, END_STREAM, 1, block(...get.slice(0, 2))),
      frame(CONTINUATION, 0, 1, block(...get.slice(2, 4))),
      frame(CONTINUATION, END_HEADERS, 1, block(...get.slice(4))),
    ],
    expect: { accept: true, requests: 1 },
  },
  {
    section: '6.10',
    what: 'CONTINUATION on stream 0',
    send: [frame(HEADERS, END_STREAM, 1, block(...get)), frame(CONTINUATION, END_HEADERS, 0)],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '6.10',
    what: 'CONTINUATION of another stream',
    send: [
      frame(HEADERS, END_STREAM, 1, block(...get)),
      frame(CONTINUATION, END_HEADERS, 3, block('a', 'b')),
    ],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '6.10',
    what: 'CONTINUATION behind END_HEADERS',
    send: [openRequest(1), frame(CONTINUATION, END_HEADERS, 1, block('a', 'b'))],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '6.10',
    what: 'CONTINUATION behind a complete block of two',
    send: [
      frame(HEADERS, 0, 1, block(...post)),
      frame(CONTINUATION, END_HEADERS, 1, block('a', 'b')),
      frame(CONTINUATION, END_HEADERS, 1, block('a', 'b')),
    ],
    expect: { goaway: 'protocolError' },
  },
  {
    section: '6.10',
    what: 'DATA inside a header block',
    send: [frame(HEADERS, 0, 1, block(...post)), frame(DATA, END_STREAM, 1, 'x')],
    expect: { goaway: 'protocolError' },
  },

  // ---- messages
  {
    section: '8.1',
    what: 'second HEADERS without END_STREAM',
    send: [openRequest(1), openRequest(1, ['a', 'b'])],
    expect: malformed,
  },
  {
    section: '8.1',
    what: 'trailers',
    send: [openRequest(1), frame(DATA, 0, 1, 'x'), request(1, ['a', 'b'])],
    expect: { accept: true, requests: 1 },
  },
  {
    section: '8.1',
    what: 'pseudo-header in trailers',
    send: [openRequest(1), request(1, [':method', 'GET'])],
    expect: malformed,
  },
  {
    section: '8.1.1',
    what: 'content-length above what came',
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
  { section: '8.2', what: 'upper case in a name', send: plus('X-Test', 'ok'), expect: malformed },
  { section: '8.2.1', what: 'empty name', send: plus('', 'ok'), expect: malformed },
  { section: '8.2.1', what: 'CR LF in a value', send: plus('x-a', 'b\r\nx-c: d'), expect: malformed },
  { section: '8.2.1', what: 'space before a value', send: plus('x-a', ' b'), expect: malformed },
  ...['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'].map(
    (name): Case => ({
      section: '8.2.2',
      what: `connection-specific ${name}`,
      send: plus(name, 'x'),
      expect: malformed,
    }),
  ),
  {
    section: '8.2.2',
    what: 'te other than trailers',
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
    send: withFields(':test', 'x', ...get),
    expect: malformed,
  },
  {
    section: '8.3',
    what: 'response pseudo-header',
    send: withFields(':status', '200', ...get),
    expect: malformed,
  },
  {
    section: '8.3',
    what: 'pseudo-header behind a field',
    send: withFields('x-a', 'b', ...get),
    expect: malformed,
  },
  ...[':method', ':scheme', ':path'].map(
    (name): Case => ({
      section: '8.3.1',
      what: `without ${name}`,
      send: withFields(...without(name)),
      expect: malformed,
    }),
  ),
  ...[':method', ':scheme', ':path', ':authority'].map(
    (name): Case => ({
      section: '8.3.1',
      what: `two ${name}`,
      send: withFields(name, get[get.indexOf(name) + 1] ?? '', ...get),
      expect: malformed,
    }),
  ),
  ...['', 'a', '*', '%2fa', 'http://x/', '#f', '/a b', '/a\x7f', '/a#f', '/\tb'].map(
    (path): Case => ({
      section: '8.3.1',
      what: `:path ${JSON.stringify(path)}`,
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

for (const { section, what, send, expect } of cases) {
  test(`server ${section}: ${what}`, async () => {
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

test('server 3.4: SETTINGS come first, and our window for the connection', async () => {
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
  test(`server 3.4: ${what} ends the connection`, async () => {
    const { transport, server } = bareServer();
    server.receive(bytes);
    await turn();
    assert.equal(transport.goawayCode, errorCode.protocolError);
    assert.ok(transport.ended);
  });
}

test('server 6.5.3: SETTINGS and PING are acknowledged, in order', async () => {
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
});

test('server 5.1.2: streams above the limit are refused', async () => {
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

test('server 6.9: what we send stays within windows of one byte, and shrinking ones', async () => {
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
});

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
