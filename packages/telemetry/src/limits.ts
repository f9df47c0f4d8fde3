import type { LimitSpec } from '@mesh/limits/limits';

/** Limits of the admin page and of what it shows. */
export const adminLimits = {
  metric_series: {
    default: 10_000,
    unit: 'count',
    why: 'Label sets of one counter or gauge, some of which peers choose; the rest share one.',
    uncounted: 'The page shows it: the one of the rest has the label `overflow`.',
  },
  metric_histogram_series: {
    default: 2000,
    unit: 'count',
    why: 'Label sets of one histogram, each of which has many numbers; the rest share one.',
    uncounted: 'The page shows it: the one of the rest has the label `overflow`.',
  },
  admin_connections: {
    default: 64,
    unit: 'count',
    why: 'Open connections; scrapers and probes keep a few, and more must not take what the program is there for. The one whose last request is longest ago makes room.',
  },
  admin_head_bytes: {
    default: 8192,
    unit: 'bytes',
    why: 'A head of a request for the page, which has few fields; longer ones get 431.',
  },
  admin_body_ms: {
    default: 10_000,
    unit: 'ms',
    why: 'From the head of a request to the end of its body, which nobody reads; the connection is closed.',
  },
  admin_renders: {
    default: 100,
    unit: 'count',
    why: 'Burst of metrics pages that are made, a tenth of it more each second, whoever asks: a page of some megabytes takes milliseconds in which nobody is served. Meanwhile the last one is sent again.',
  },
  admin_stall_ms: {
    default: 10_000,
    unit: 'ms',
    why: 'A client that takes nothing of its page, which may be large, is cut off.',
  },
  admin_idle_ms: {
    default: 90_000,
    unit: 'ms',
    why: 'A connection without a request is closed. Scrapers come each minute or more often; one that comes less often connects again.',
  },
} as const satisfies Record<string, LimitSpec>;

export type AdminLimit = keyof typeof adminLimits;
