import type { LimitSpec } from '@mesh/limits/limits';

/** Limits of the gateway's processes. */
export const gatewayLimits = {
  gateway_hops: {
    default: 8,
    unit: 'count',
    why: 'Gateways that a request or a connection may have passed: Services that lead to each other would send it round without end.',
    uncounted: 'Refused as `loop`: `gateway_requests_refused_total` counts by reason.',
  },
  gateway_worker_silence_ms: {
    default: 5000,
    unit: 'ms',
    why: 'A worker speaks each second; one that is silent so long hangs and is replaced.',
  },
  gateway_worker_start_ms: {
    default: 60_000,
    unit: 'ms',
    why: 'How long a new worker may take to its first word; starting is slow where processors are short.',
  },
  gateway_collect_ms: {
    default: 500,
    unit: 'ms',
    why: 'How long the metrics page waits for the workers; of one that is late the last figures are shown.',
  },
} as const satisfies Record<string, LimitSpec>;

export type GatewayLimit = keyof typeof gatewayLimits;
