/** What every server accepts, and what no HPACK decoder does: the suites `generic` and `hpack`. */
import type { ConformanceCase, ConnectionFault } from './conformance.ts';
import {
  block,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  get,
  HEADERS,
  openRequest,
  PADDED,
  PING,
  post,
  PRIORITY,
  PRIORITY_FLAG,
  request,
  settings,
  u32,
  WINDOW_UPDATE,
} from './raw-peer.ts';

export interface Served {
  accept: true;
  /** Requests that reached the application. */
  requests?: number;
}

type GenericCase = ConformanceCase<Served | ConnectionFault>;

const one: Served = { accept: true, requests: 1 };
const none: Served = { accept: true, requests: 0 };
/** A stream whose both halves end at once. */
const closed = request(1, [...get.slice(0, 5), '/x', ...get.slice(6)]);

/** PRIORITY fields: 31-bit dependency, exclusive bit, weight less one (RFC 7540 §6.3). */
function priority(dependency: number, weight: number, exclusive = false): Buffer {
  return Buffer.concat([u32(exclusive ? dependency + 0x80000000 : dependency), Buffer.from([weight - 1])]);
}

const exchanges: readonly GenericCase[] = [
  { section: '3.4', what: 'nothing behind the preface', suite: ['generic/1/1'], send: [], expect: none },
  {
    section: '5.1',
    what: 'PRIORITY on a closed stream',
    suite: ['generic/2/5'],
    send: [closed, frame(PRIORITY, 0, 1, priority(0, 255)), request(3)],
    expect: { accept: true, requests: 2 },
  },
  {
    section: '6.1',
    what: 'a body in one frame',
    suite: ['generic/3.1/1', 'generic/4/3'],
    send: [openRequest(1), frame(DATA, END_STREAM, 1, 'test')],
    expect: one,
  },
  {
    section: '6.1',
    what: 'a body in two frames',
    suite: ['generic/3.1/2'],
    send: [openRequest(1), frame(DATA, 0, 1, 'te'), frame(DATA, END_STREAM, 1, 'st')],
    expect: one,
  },
  { section: '6.2', what: 'a GET', suite: ['generic/3.2/1', 'generic/4/1'], send: [request(1)], expect: one },
  {
    section: '6.2',
    what: 'HEADERS with padding alone',
    suite: ['generic/3.2/2'],
    send: [frame(HEADERS, 5 | PADDED, 1, Buffer.concat([Buffer.from([3]), block(...get), Buffer.alloc(3)]))],
    expect: one,
  },
  {
    section: '6.2',
    what: 'HEADERS with priority alone',
    suite: ['generic/3.2/3'],
    send: [frame(HEADERS, 5 | PRIORITY_FLAG, 1, Buffer.concat([priority(0, 256), block(...get)]))],
    expect: one,
  },
  {
    section: '8.1',
    what: 'a HEAD',
    suite: ['generic/4/2'],
    send: [request(1, [':method', 'HEAD', ...get.slice(2)])],
    expect: one,
  },
  ...[priority(0, 1), priority(0, 256), priority(1, 9), priority(1, 9, true)].map(
    (fields, index): GenericCase => ({
      section: '6.3',
      what: `PRIORITY ${fields.toString('hex')}`,
      suite: [`generic/3.3/${index + 1}`],
      send: [openRequest(1), frame(PRIORITY, 0, index < 2 ? 1 : 3, fields)],
      expect: one,
    }),
  ),
  {
    section: '6.3',
    what: 'PRIORITY on an idle stream, then HEADERS on a lower one',
    suite: ['generic/3.3/5'],
    send: [frame(PRIORITY, 0, 3, priority(0, 256)), request(1)],
    expect: one,
  },
  {
    section: '6.5',
    what: 'SETTINGS of every kind',
    suite: ['generic/3.5/1', 'http2/6.5.3/1'],
    send: [settings([1, 0], [2, 0], [3, 0], [4, 100], [4, 1], [5, 20_000], [6, 100]), request(1)],
    expect: one,
  },
  {
    section: '6.7',
    what: 'PING',
    suite: ['generic/3.7/1'],
    send: [frame(PING, 0, 0, 'abcdefgh'), request(1)],
    expect: one,
  },
  {
    section: '6.9',
    what: 'WINDOW_UPDATE for the connection',
    suite: ['generic/3.9/1'],
    send: [frame(WINDOW_UPDATE, 0, 0, u32(1)), request(1)],
    expect: one,
  },
  {
    section: '6.9',
    what: 'WINDOW_UPDATE for a stream',
    suite: ['generic/3.9/2'],
    send: [openRequest(1), frame(WINDOW_UPDATE, 0, 1, u32(1)), frame(DATA, END_STREAM, 1, 'x')],
    expect: one,
  },
  {
    section: '6.10',
    what: 'block in two frames',
    suite: ['generic/3.10/1'],
    send: [
      frame(HEADERS, END_STREAM, 1, block(...get.slice(0, 6))),
      frame(CONTINUATION, END_HEADERS, 1, block(...get.slice(6))),
    ],
    expect: one,
  },
  {
    section: '7',
    what: 'GOAWAY with an unknown error code',
    suite: ['http2/7/1'],
    send: [frame(7, 0, 0, u32(0, 0xff)), request(1)],
    expect: one,
  },
  {
    section: '7',
    what: 'RST_STREAM with an unknown error code',
    suite: ['http2/7/2'],
    send: [openRequest(1, post), frame(3, 0, 1, u32(0xff)), request(3)],
    expect: { accept: true, requests: 2 },
  },
];

/** `user-agent: no-cache` in the five forms of RFC 7541 §6.2, text plain and by Huffman code (vectors of its appendix C). */
const name = { plain: '04' + Buffer.from('test').toString('hex'), huffman: '8825a849e95ba97d7f' };
const value = { plain: '08' + Buffer.from('no-cache').toString('hex'), huffman: '86a8eb10649cbf' };
const representations: readonly (readonly [what: string, hex: string])[] = [
  ['indexed', '90'],
  ['incremental indexing, indexed name', `7a${value.plain}`],
  ['incremental indexing, indexed name, Huffman', `7a${value.huffman}`],
  ['incremental indexing, new name', `40${name.plain}${value.plain}`],
  ['incremental indexing, new name, Huffman', `40${name.huffman}${value.huffman}`],
  ['without indexing, indexed name', `0f2b${value.plain}`],
  ['without indexing, indexed name, Huffman', `0f2b${value.huffman}`],
  ['without indexing, new name', `00${name.plain}${value.plain}`],
  ['without indexing, new name, Huffman', `00${name.huffman}${value.huffman}`],
  ['never indexed, indexed name', `1f2b${value.plain}`],
  ['never indexed, indexed name, Huffman', `1f2b${value.huffman}`],
  ['never indexed, new name', `10${name.plain}${value.plain}`],
  ['never indexed, new name, Huffman', `10${name.huffman}${value.huffman}`],
  ['table size update', '20'],
  ['two table size updates', '203fe11f'],
];

const hpackAccepted = representations.map(([what, hex], index): GenericCase => {
  const bytes = Buffer.from(hex, 'hex');
  const fields = block(...get);
  // Updates come first in a block.
  const whole = what.includes('size update') ? [bytes, fields] : [fields, bytes];
  return {
    section: 'RFC 7541 6',
    what,
    suite: [`generic/5/${index + 1}`],
    send: [frame(HEADERS, 5, 1, Buffer.concat(whole))],
    expect: one,
  };
});

const hpackFaults: readonly (readonly [what: string, number: string, hex: string])[] = [
  ['index beyond the table', '2.3.3/1', 'c6'],
  ['name index beyond the table', '2.3.3/2', '7f0f0474657374'],
  ['size update at the end of a block', '4.2/1', '20'],
  ['Huffman padding longer than seven bits', '5.2/1', '00047465737487a8eb10649cbfff'],
  ['Huffman padding of zeros', '5.2/2', '00047465737486a8eb10649cb8'],
  ['Huffman code of the end of string', '5.2/3', '00047465737484ffffffff'],
  ['index 0', '6.1/1', '80'],
  ['size update above our table', '6.3/1', '3fe21f'],
];

export const genericCases: readonly GenericCase[] = [
  ...exchanges,
  ...hpackAccepted,
  ...hpackFaults.map(([what, number, hex]): GenericCase => {
    const bytes = Buffer.from(hex, 'hex');
    const fields = block(...get);
    return {
      section: `RFC 7541 ${number.split('/', 1)[0]}`,
      what,
      suite: [`hpack/${number}`],
      send: [frame(HEADERS, 5, 1, Buffer.concat(number === '6.3/1' ? [bytes, fields] : [fields, bytes]))],
      expect: { goaway: 'compressionError' },
    };
  }),
];
