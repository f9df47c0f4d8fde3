/** Whether a client may call, by the pod's default policy. */
import { parseIdentity } from '@mesh/trust/names';
import type { InboundPolicy } from './config.ts';

/** Why a client was refused; a metric label, so the set is closed. */
export type InboundRefusal = 'unauthenticated' | 'foreign-cluster' | 'denied';

export const inboundRefusalText: Readonly<Record<InboundRefusal, string>> = {
  unauthenticated: 'the policy of this pod demands a mesh identity',
  'foreign-cluster': 'the policy of this pod admits only identities of its own cluster',
  denied: 'the policy of this pod admits nobody',
};

export interface PolicyContext {
  readonly policy: InboundPolicy;
  /** Own cluster. */
  readonly cluster: string;
  /** Suffix of trust domains. */
  readonly suffix: string;
}

/**
 * Undefined when the client may call. `identity` is what its certificate proved, or the caller that our own gateway vouches
 * for; undefined for plaintext.
 */
export function inboundRefusal(
  { policy, cluster, suffix }: PolicyContext,
  identity: string | undefined,
): InboundRefusal | undefined {
  switch (policy) {
    case 'all-unauthenticated':
      return undefined;
    case 'deny':
      return 'denied';
    case 'all-authenticated':
      return identity === undefined ? 'unauthenticated' : undefined;
    case 'cluster-authenticated':
      if (identity === undefined) return 'unauthenticated';
      return parseIdentity(identity, suffix)?.cluster === cluster ? undefined : 'foreign-cluster';
  }
}
