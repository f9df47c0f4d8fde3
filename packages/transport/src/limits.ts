import type { LimitSpec } from '@mesh/limits/limits';

/** What is read of a connection before it is known what it carries, and for how long. Read by pure functions, hence not counted there. */
export const transportLimits = {
  detect_bytes: {
    default: 1024,
    unit: 'bytes',
    why: 'Looked at to tell protocols apart; what is undecided then is opaque, or HTTP/1 with a very long target.',
    uncounted: '`mesh_detect_total` counts what was found.',
  },
  detect_ms: {
    default: 10_000,
    unit: 'ms',
    why: 'How long the first bytes of a client are awaited before its connection is passed on unparsed (`MESH_DETECT_TIMEOUT`).',
    uncounted: '`mesh_detect_total` with `result="timeout"` counts.',
  },
  transport_header_bytes: {
    default: 64 * 1024,
    unit: 'bytes',
    why: 'A transport header, from its first byte to its last, is held until it is whole.',
    uncounted: 'A longer one is refused as malformed; refusals are counted by reason.',
  },
} as const satisfies Record<string, LimitSpec>;
