import type { LimitSpec } from '@mesh/limits/limits';

/** Limits of the admission webhook. */
export const injectorLimits = {
  injector_review_bytes: {
    default: 3 * 1024 * 1024,
    unit: 'bytes',
    why: 'The API server stores no larger object.',
  },
  injector_pending_bytes: {
    default: 32 * 1024 * 1024,
    unit: 'bytes',
    why: 'Reviews together that have not arrived whole. Above it the one that holds most is cut off: anybody who reaches the port can begin many, and those of pods are small.',
  },
  injector_connections: {
    default: 1024,
    unit: 'count',
    why: 'Open connections; only API servers have a reason to call, and they keep a few. For one more the one is closed whose last request is longest ago.',
  },
} as const satisfies Record<string, LimitSpec>;

export type InjectorLimit = keyof typeof injectorLimits;
