import type { HostPort } from '@mesh/control-api/convert';
import type { WorkloadFiles } from '../trust-material.ts';
import type { Traffic } from './contestant.ts';

/** One proxy made of Node's own modules. */
export interface NodeProxySettings {
  readonly traffic: Traffic;
  readonly listen: HostPort;
  readonly endpoints: readonly HostPort[];
  /** Clients must show a certificate of the anchors. */
  readonly acceptTls?: WorkloadFiles;
  /** Endpoints are dialled with TLS and must be `peer`. */
  readonly dialTls?: WorkloadFiles & { readonly peer: string };
}
