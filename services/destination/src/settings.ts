import type { InboundPolicyName } from './inbound-policy.ts';

/** What every answer depends on besides the objects of the cluster. */
export interface Settings {
  readonly cluster: string;
  /** What follows the cluster's name in its trust domain. */
  readonly trustSuffix: string;
  /** `cluster.local`. */
  readonly clusterDomain: string;
  /** Ports that are opaque unless an annotation says otherwise; see ports.ts for the form. */
  readonly opaquePorts: string;
  readonly inboundPolicy: InboundPolicyName;
  /** host:port of the cluster's mirror controller. */
  readonly mirrorAddress: string;
}

/** Port on which a proxy takes connections with a transport header. */
export const inboundPort = 4143;
