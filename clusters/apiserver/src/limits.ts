import type { LimitSpec } from '@mesh/limits/limits';

/** Everything a client can make grow. */
export const apiserverLimits = {
  apiserver_request_body_bytes: {
    default: 3 * 1024 * 1024,
    unit: 'bytes',
    why: 'The same bound as a real API server, so that what is accepted here is accepted there.',
  },
  apiserver_watch_queue: {
    default: 4096,
    unit: 'count',
    why: 'Events waiting for one slow watcher; beyond it the watch ends and the client lists again.',
  },
  apiserver_watch_window: {
    default: 20_000,
    unit: 'count',
    why: 'Past events kept for watches that resume and for pages of a list; older versions answer 410.',
    uncounted: 'Older events are always dropped; who asks for one is answered 410.',
  },
  apiserver_journal_entries: {
    default: 50_000,
    unit: 'count',
    why: 'Journal lines before a snapshot replaces them, which bounds the disk and the time of a restart.',
    uncounted: 'A setting: when to write a snapshot.',
  },
  apiserver_update_retries: {
    default: 8,
    unit: 'count',
    why: 'Attempts of a patch without resourceVersion that meets concurrent writers.',
  },
  apiserver_webhook_response_bytes: {
    default: 3 * 1024 * 1024,
    unit: 'bytes',
    why: 'An admission webhook is somebody else’s program.',
  },
  apiserver_patch_operations: {
    default: 10_000,
    unit: 'count',
    why: 'The same bound on one JSON patch as a real API server.',
  },
} as const satisfies Record<string, LimitSpec>;

export type ApiserverLimit = keyof typeof apiserverLimits;
