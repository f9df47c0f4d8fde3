/**
 * A peer's connection with a transport header: opaque TCP to an export, or HTTP to one from a proxy that wraps it so.
 * A header that names no service is refused: a gateway is no way into a pod.
 */
import type { Socket } from 'node:net';
import type { Clock } from '@mesh/clock/clock';
import type { OpaqueExpiry } from '@mesh/dataplane/opaque-expiry';
import type { PeerPool } from '@mesh/dataplane/peer-pool';
import { forwardTcp } from '@mesh/dataplane/tcp-forwarder';
import { readTransportHeader } from '@mesh/dataplane/transport-header-reader';
import type { TransportHeader } from '@mesh/transport/transport-header';
import type { PeerIdentity } from '@mesh/trust/names';
import type { AdmissionRefusal, AdmissionTable } from './admission.ts';
import type { ExportTargets } from './exports.ts';
import type { GatewayMetrics } from './gateway-metrics.ts';
import { gatewayLimits } from './limits.ts';

/** A client that completed TLS sends its header at once. */
const headerTimeoutMs = 5000;
const maxHops = gatewayLimits.gateway_hops.default;

interface OpaqueOptions {
  caller: PeerIdentity;
  clock: Clock;
  table: () => AdmissionTable | undefined;
  targets: ExportTargets;
  metrics: GatewayMetrics;
  peers: PeerPool;
  expiry: OpaqueExpiry;
  /** Until when certificates prove the caller and us to it, wall-clock milliseconds. */
  until: number;
  /** Serves HTTP behind the header; each request is admitted by itself. */
  serveHttp: (version: 'http1' | 'http2') => void;
  /** The connection carries opaque bytes: it is waited for when the gateway stops. */
  onOpaque: (authority: string) => void;
}

/** Takes over `socket`, which is paused and unread. */
export function serveOpaque(socket: Socket, options: OpaqueOptions): void {
  readTransportHeader(socket, {
    clock: options.clock,
    timeoutMs: headerTimeoutMs,
    done: (header) => {
      if ('fault' in header) refuse(socket, options, 'bad-header');
      else serve(socket, header, options);
    },
  });
}

function serve(socket: Socket, header: TransportHeader, options: OpaqueOptions): void {
  const { caller, clock, table, targets, peers, expiry, until, serveHttp } = options;
  const current = table();
  if (current === undefined) return refuse(socket, options, 'no-table');
  if (header.hops >= maxHops) return refuse(socket, options, 'loop');
  if (header.name === '') return refuse(socket, options, 'no-name');
  const admission = current.admit(caller, `${header.name}:${header.port}`);
  // The federation API is called on the shared connection alone.
  if (admission.kind === 'federation') return refuse(socket, options, 'bad-authority');
  if (admission.kind === 'refused') return refuse(socket, options, admission.reason);
  if (header.sessionProtocol !== undefined) return serveHttp(header.sessionProtocol);
  const pool = targets.pool(admission.authority, admission.service);
  if (pool === undefined) return refuse(socket, options, 'too-many-exports');
  options.onOpaque(admission.authority);
  forwardTcp(socket, {
    clock,
    pool,
    peers,
    expiry,
    clientUntil: until,
    behalf: { clientId: caller.name, hops: header.hops + 1 },
    onClose: () => {},
  });
}

function refuse(socket: Socket, { caller, metrics }: OpaqueOptions, reason: AdmissionRefusal): void {
  metrics.requestRefused(caller.cluster, reason);
  socket.destroy();
}
