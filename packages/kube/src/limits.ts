import type { LimitSpec } from '@mesh/limits/limits';

export const kubeLimits = {
  kube_response_bytes: {
    default: 64 * 1024 * 1024,
    unit: 'bytes',
    why: 'One page of a list holds at most a few hundred objects of at most 1.5 MiB each, and usually a few KiB.',
  },
  kube_watch_line_bytes: {
    default: 8 * 1024 * 1024,
    unit: 'bytes',
    why: 'One watch event is one object; servers store at most about 1.5 MiB of it, JSON escapes may triple that.',
  },
  kube_request_ms: {
    default: 30_000,
    unit: 'ms',
    why: 'API servers give up on ordinary requests after 60 s; a controller does better to ask again sooner.',
  },
  kube_watch_idle_ms: {
    default: 150_000,
    unit: 'ms',
    why: 'Servers send a bookmark about once a minute, so a silent watch of twice that is a dead connection.',
  },
  kube_plugin_ms: {
    default: 300_000,
    unit: 'ms',
    why: 'A credential plugin may wait for a person who logs in by a browser; nobody takes longer than this.',
  },
  kube_plugin_output_bytes: {
    default: 1024 * 1024,
    unit: 'bytes',
    why: 'A credential plugin prints a token or a certificate chain with its key, of a few KiB.',
  },
} as const satisfies Record<string, LimitSpec>;

export type KubeLimit = keyof typeof kubeLimits;
