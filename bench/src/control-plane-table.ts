/** What a control plane of the bench tells proxies; written by the bench, read by the control plane's process. */
import type { Cluster, IssuerFiles } from './trust-material.ts';

export interface ServedEndpoint {
  readonly host: string;
  readonly port: number;
  /** Undefined: plaintext. */
  readonly identity?: string;
  /** Of another cluster's gateway: what is asked for there. */
  readonly authority?: string;
}

export interface ServedService {
  /** `ip:port` that clients dial. */
  readonly clusterIp: string;
  readonly name: string;
  readonly opaque: boolean;
  readonly endpoints: readonly ServedEndpoint[];
}

export interface ControlPlaneTable {
  readonly cluster: Cluster;
  readonly host: string;
  readonly identityPort: number;
  readonly destinationPort: number;
  readonly issuer: IssuerFiles;
  readonly anchorsPem: string;
  /** Whom sidecars admit: identities of the cluster, or also those of others. */
  readonly inboundPolicy: 'cluster-authenticated' | 'all-authenticated';
  readonly services: readonly ServedService[];
  /** Of the certificates it issues; undefined: a day. */
  readonly leafLifetimeMs?: number;
  /** Sidecars are told of a policy with another name when it changes. */
  readonly policyRevision?: number;
}
