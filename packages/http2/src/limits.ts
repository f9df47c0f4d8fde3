import type { LimitLedger, LimitSpec } from '@mesh/limits/limits';

/**
 * What one HTTP/2 peer can make us hold or do. Limits that say "burst" are token buckets: the value is the burst,
 * and a tenth of it comes back every second (see token-bucket.ts in packages/limits).
 */
export const http2Limits = {
  http2_header_list_bytes: {
    default: 73_728,
    unit: 'bytes',
    why: 'Decoded size of one header list, 32 bytes overhead per field included (HPACK bomb, CVE-2016-6581). More than `http1_head_bytes`, so that a head that HTTP/1 took passes.',
  },
  http2_header_count: {
    default: 110,
    unit: 'count',
    why: 'Fields in one header list, every cookie crumb counted (HTTP/2 bomb, CVE-2026-49975): the 100 of HTTP/1, pseudo-header fields and what proxies add.',
  },
  http2_decoded_fields: {
    default: 1000,
    unit: 'count',
    why: 'Fields of one list that are looked at, to keep the table in step, although there are too many; more end the connection.',
  },
  http2_held_header_bytes: {
    default: 524_288,
    unit: 'bytes',
    why: 'Decoded header lists of all open streams of a connection together, above which they take of `http2_head_budget_bytes`; a program without that budget refuses more streams unprocessed.',
  },
  http2_head_budget_bytes: {
    default: 2_097_152,
    unit: 'bytes',
    why: 'Decoded header lists of all connections of a program above their `http2_held_header_bytes`, in equal shares where a gateway has several workers; more streams are refused unprocessed.',
  },
  http2_informational_count: {
    default: 16,
    unit: 'count',
    why: '1xx heads before one response; no window holds them back, so that more would pile up before a client that does not read. The stream is reset.',
  },
  http2_turn_work: {
    default: 512,
    unit: 'count',
    why: 'Frames of one connection in one turn of the event loop, a request counted as 24, 64 bytes of a header block or 256 of its list as one; the rest waits until everybody else had a turn.',
  },
  http2_header_block_bytes: {
    default: 81_920,
    unit: 'bytes',
    why: 'Encoded bytes held while a header block waits for END_HEADERS. More than a list may have, as it ends the connection for all.',
  },
  http2_continuation_frames: {
    default: 8,
    unit: 'count',
    why: 'CONTINUATION frames in one header block (VU#421644).',
  },
  http2_header_block_ms: {
    default: 5_000,
    unit: 'ms',
    why: 'Time from HEADERS to END_HEADERS.',
  },
  http2_preface_ms: {
    default: 10_000,
    unit: 'ms',
    why: 'Time from the connection to the first SETTINGS frame of the peer.',
  },
  http2_idle_ms: {
    default: 3_600_000,
    unit: 'ms',
    why: 'A connection to a server on which no stream is open for this long is asked to go by GOAWAY, then closed; PINGs do not make it busy, an open stream does, however silent. Long, because a client that means to come back pays with a handshake.',
  },
  http2_streams: {
    default: 100,
    unit: 'count',
    why: 'Streams a client may have open at once (SETTINGS_MAX_CONCURRENT_STREAMS).',
  },
  http2_peer_resets: {
    default: 100,
    unit: 'count',
    why: 'Burst of streams the peer opened and soon reset (rapid reset, CVE-2023-44487); every completed stream gives one back.',
  },
  http2_rapid_reset_ms: {
    default: 100,
    unit: 'ms',
    why: 'Life of a stream from which on its reset counts no more: clients give up on what takes too long, and others share their connection. Streams that live so long are few. Our own clients reset half of `http2_peer_resets` at once, and further ones only after twice this time.',
    uncounted: 'A setting of `http2_peer_resets`.',
  },
  http2_provoked_resets: {
    default: 100,
    unit: 'count',
    why: 'Burst of streams we had to reset for a fault of the peer (CVE-2019-9514, CVE-2025-8671).',
  },
  http2_queued_control_frames: {
    default: 500,
    unit: 'count',
    why: 'Answers (SETTINGS and PING acknowledgements, RST_STREAM) waiting for a peer that does not read.',
  },
  http2_queued_bytes: {
    default: 262_144,
    unit: 'bytes',
    why: 'Bytes waiting for a peer that does not read, above which a server stops reading requests from it.',
  },
  http2_owed_bytes: {
    default: 1_048_576,
    unit: 'bytes',
    why: 'Received body bytes of one connection that no reader took yet, above which its window is only returned as they do.',
  },
  http2_owed_budget_bytes: {
    default: 67_108_864,
    unit: 'bytes',
    why: 'Received body bytes of all connections of a program that no reader took yet and whose window was returned all the same, in equal shares where a gateway has several workers; above it windows are only returned as readers take them.',
  },
  http2_stream_window_bytes: {
    default: 4_194_304,
    unit: 'bytes',
    why: 'Size to which the receive window of one stream may grow.',
    uncounted: 'A setting: windows settle at what their path needs, at most here.',
  },
  http2_window_budget_bytes: {
    default: 33_554_432,
    unit: 'bytes',
    why: 'What all windows of a program together may grow by, in equal shares where a gateway has several workers; an asker gets at most a quarter of what is left.',
  },
  http2_pings: {
    default: 100,
    unit: 'count',
    why: 'Burst of PING frames (CVE-2019-9512); every DATA or HEADERS frame received and every DATA frame sent gives one back.',
  },
  http2_settings: {
    default: 20,
    unit: 'count',
    why: 'Burst of SETTINGS frames (CVE-2019-9515).',
  },
  http2_empty_frames: {
    default: 10,
    unit: 'count',
    why: 'Consecutive HEADERS, CONTINUATION or DATA frames that carry nothing (CVE-2019-9518).',
  },
  http2_priority_frames: {
    default: 100,
    unit: 'count',
    why: 'PRIORITY frames per stream opened, plus as many at the start (CVE-2019-9513).',
  },
  http2_window_updates: {
    default: 10,
    unit: 'count',
    why: 'WINDOW_UPDATE frames per DATA frame sent and per stream opened, plus ten times as many at the start.',
  },
  http2_unknown_frames: {
    default: 100,
    unit: 'count',
    why: 'Burst of frames of unknown type.',
  },
  http2_stall_ms: {
    default: 30_000,
    unit: 'ms',
    why: 'A stream with bytes to send whose peer opened no window and read nothing for this long is reset.',
  },
  http2_drain_ping_ms: {
    default: 1_000,
    unit: 'ms',
    why: 'Wait for the PING that separates the two GOAWAY frames of a graceful end.',
  },
  http2_linger_ms: {
    default: 1_000,
    unit: 'ms',
    why: 'Wait for the peer to close after our last GOAWAY before the socket is destroyed; behind answers, as often as it says something within `http2_stall_ms`.',
  },
} as const satisfies Record<string, LimitSpec>;

export type Http2LimitName = keyof typeof http2Limits;
export type Http2Limits = LimitLedger<Http2LimitName>;
