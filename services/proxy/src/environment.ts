/** What both directions of the sidecar share. */
import type { Socket } from 'node:net';
import type { Clock } from '@mesh/clock/clock';
import type { HostPort } from '@mesh/control-api/convert';
import type { Drain } from '@mesh/dataplane/drain';
import type { DetectMetrics } from '@mesh/dataplane/protocol-detection';
import type { HttpMetrics } from '@mesh/dataplane/http-metrics';
import type { DataplaneLimit } from '@mesh/dataplane/limits';
import type { OpaqueExpiry } from '@mesh/dataplane/opaque-expiry';
import type { Codecs } from '@mesh/dataplane/peer';
import type { PeerPool } from '@mesh/dataplane/peer-pool';
import type { TransportMetrics } from '@mesh/dataplane/transport-metrics';
import type { LimitLedger } from '@mesh/limits/limits';
import type { Logger } from '@mesh/telemetry/log';
import type { MetricRegistry } from '@mesh/telemetry/metrics';
import type { CredentialStore } from '@mesh/trust/credentials';
import type { TrustLimit } from '@mesh/trust/limits';
import type { PortRange } from './redirect-rules.ts';

export interface ProxyEnvironment {
  readonly clock: Clock;
  readonly log: Logger;
  readonly registry: MetricRegistry;
  readonly http: HttpMetrics;
  readonly transport: TransportMetrics;
  readonly detect: DetectMetrics;
  readonly limits: LimitLedger<DataplaneLimit>;
  readonly codecs: Codecs;
  readonly peers: PeerPool;
  readonly expiry: OpaqueExpiry;
  readonly credentials: CredentialStore;
  /** Of TLS that is accepted. */
  readonly tlsLimits: LimitLedger<TrustLimit>;
  /** Of clients of the application. */
  readonly inboundDrain: Drain;
  /** Of the application itself. */
  readonly outboundDrain: Drain;
  /** Where a redirected connection was going; undefined when the kernel does not know. */
  readonly originalDestination: (socket: Socket) => HostPort | undefined;
  /** Own identity. */
  readonly identity: string;
  readonly cluster: string;
  /** Suffix of trust domains. */
  readonly suffix: string;
  readonly podIp: string;
  readonly opaquePorts: readonly PortRange[];
  readonly detectTimeoutMs: number;
  /** How long unused destinations are kept. */
  readonly idleMs: number;
}
