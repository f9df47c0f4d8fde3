import type { LimitSpec } from '@mesh/limits/limits';

/** Everything a client can make grow. */
export const apiserverLimits = {
  'request-body': {
    default: 3 * 1024 * 1024,
    unit: 'bytes',
    why: 'the same bound as a real API server, so that what is accepted here is accepted there',
  },
  'watch-queue': {
    default: 4096,
    unit: 'count',
    why: 'events waiting for one slow watcher; beyond it the watch ends and the client lists again',
  },
  'watch-window': {
    default: 20_000,
    unit: 'count',
    why: 'past events kept for watches that resume and for pages of a list; older versions answer 410',
  },
  'journal-entries': {
    default: 50_000,
    unit: 'count',
    why: 'journal lines before a snapshot replaces them, which bounds the disk and the time of a restart',
  },
  'update-retries': {
    default: 8,
    unit: 'count',
    why: 'attempts of a patch without resourceVersion that meets concurrent writers',
  },
  'webhook-response': {
    default: 3 * 1024 * 1024,
    unit: 'bytes',
    why: 'an admission webhook is somebody else’s program',
  },
  'log-chunk': {
    default: 64 * 1024,
    unit: 'bytes',
    why: 'one read of a container log, so that a large log is streamed',
  },
  'patch-operations': {
    default: 10_000,
    unit: 'count',
    why: 'the same bound on one JSON patch as a real API server',
  },
} as const satisfies Record<string, LimitSpec>;

export type ApiserverLimit = keyof typeof apiserverLimits;
