import type { LimitSpec } from '@mesh/limits/limits';

/** Everything a peer could grow on an HTTP/1 connection. */
export const http1Limits = {
  http1_head_bytes: {
    default: 64 * 1024,
    unit: 'bytes',
    why: 'A head is held in memory until it is complete; longer ones get 431.',
  },
  http1_header_count: {
    default: 100,
    unit: 'count',
    why: 'Each field costs an entry in every later step; more get 431.',
  },
  http1_method_bytes: {
    default: 32,
    unit: 'bytes',
    why: 'No registered method is longer than 17; more gets 501.',
  },
  http1_target_bytes: { default: 16 * 1024, unit: 'bytes', why: 'Longer request targets get 414.' },
  http1_trailer_bytes: {
    default: 16 * 1024,
    unit: 'bytes',
    why: 'Trailers are held until they are complete.',
  },
  http1_chunk_extension_bytes: {
    default: 1024,
    unit: 'bytes',
    why: 'Extensions of one chunk are read and dropped; longer ones are an attack.',
  },
  http1_body_extension_bytes: {
    default: 16 * 1024,
    unit: 'bytes',
    why: 'Extensions of all chunks of one body: work that carries no data.',
  },
  http1_body_window_bytes: {
    default: 128 * 1024,
    unit: 'bytes',
    why: 'Body bytes delivered but not given back; the socket is paused above, resumed at half of it.',
    uncounted: 'Flow control: every body of some length meets it.',
  },
  http1_pipelined_bytes: {
    default: 65_536,
    unit: 'bytes',
    why: 'Bytes behind a request that is not answered yet; the socket is paused above, and one read may arrive on top.',
  },
  http1_informational_count: {
    default: 16,
    unit: 'count',
    why: '1xx heads before one response; more come from a broken or hostile server.',
  },
  http1_head_ms: {
    default: 10_000,
    unit: 'ms',
    why: 'From the first byte of a head to its last (slowloris); then 408.',
  },
  http1_idle_ms: {
    default: 600_000,
    unit: 'ms',
    why: 'A kept-alive connection without a request is closed.',
  },
  http1_stall_ms: {
    default: 300_000,
    unit: 'ms',
    why: 'A body that does not move although we wait for it, or a reader that takes nothing.',
  },
  http1_held_ms: {
    default: 5000,
    unit: 'ms',
    why: 'How often to look whether a client that is held back, because its request is not taken or not answered, has reset the connection; hits are those that had.',
  },
  http1_linger_ms: {
    default: 1000,
    unit: 'ms',
    why: 'Time for the peer to read the last response before the connection is cut (RFC 9112 §9.6).',
  },
} as const satisfies Record<string, LimitSpec>;

export type Http1LimitName = keyof typeof http1Limits;
export type Http1LimitValues = Readonly<Record<Http1LimitName, number>>;
