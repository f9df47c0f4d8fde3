import type { LimitSpec } from '@mesh/limits/limits';

/** Limits of the admin page. */
export const adminLimits = {
  admin_connections: {
    default: 64,
    unit: 'count',
    why: 'Open connections; scrapers and probes keep a few, and more must not take what the program is there for.',
  },
} as const satisfies Record<string, LimitSpec>;

export type AdminLimit = keyof typeof adminLimits;
