import type { LimitSpec } from '@mesh/limits/limits';

/** Limits of the identity service. */
export const identityLimits = {
  identity_pod_certificates_per_minute: {
    default: 10,
    unit: 'count',
    why: 'A pod needs one certificate per start and renewal; more is a loop or an abuse of its token.',
  },
  identity_certificates_per_minute: {
    default: 600,
    unit: 'count',
    why: 'One ServiceAccount must not take the signing time of all others; it may roll out hundreds of pods.',
  },
  identity_token_bytes: {
    default: 8192,
    unit: 'bytes',
    why: 'A token is sent on to the API server before anything about its sender is known.',
  },
  identity_token_reviews: {
    default: 128,
    unit: 'count',
    why: 'Reviews in progress at the API server, which anybody who reaches the port can cause.',
  },
  identity_rate_entries: {
    default: 20_000,
    unit: 'count',
    why: 'Pods and identities that are remembered for their rates; the least recent one is forgotten.',
  },
  identity_connections: {
    default: 2000,
    unit: 'count',
    why: 'Open connections of clients that have no certificate yet; for one more the oldest is closed.',
  },
  identity_connection_age_ms: {
    default: 60_000,
    unit: 'ms',
    why: 'A client asks for one certificate and goes; one that stays must not hold its socket.',
  },
} as const satisfies Record<string, LimitSpec>;

export type IdentityLimit = keyof typeof identityLimits;
