/**
 * A gRPC port over mTLS for callers of the own cluster.
 *
 * ALPN is offered and not demanded, because the proxies' control clients send none (docs/decisions/0002). A connection is asked
 * to go after its maximum age, or before the caller's certificate ends, and is closed a little later: endless streams
 * would never let it drain by themselves.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '@mesh/clock/clock';
import { type GrpcRoutes, serveGrpc } from '@mesh/control-api/grpc-server';
import { type GrpcLimit, grpcLimits } from '@mesh/control-api/limits';
import { type GrpcCode, grpcCodeName } from '@mesh/control-api/status';
import type { ServerConnection } from '@mesh/http/message';
import { type Http2LimitName, http2Limits } from '@mesh/http2/limits';
import { serveHttp2 } from '@mesh/http2/server';
import { LimitLedger } from '@mesh/limits/limits';
import { capConnections } from '@mesh/sockets/connection-cap';
import type { Logger } from '@mesh/telemetry/log';
import type { MetricRegistry } from '@mesh/telemetry/metrics';
import { type DataplaneLimit, dataplaneLimits } from './limits.ts';
import { PeerLog } from './peer-log.ts';
import { SpreadAge } from './spread-age.ts';
import { TlsAcceptor } from '@mesh/trust/accept';
import type { CredentialStore } from '@mesh/trust/credentials';
import { type TrustLimit, trustLimits } from '@mesh/trust/limits';
import type { PeerIdentity } from '@mesh/trust/names';

/** A proxy keeps three streams for each target that its pods talk to. */
const streamsPerConnection = 2000;
/**
 * Of those streams a proxy may let go of all at once, when nobody used their targets for a while, and meanwhile of others
 * that made room (`discovered_target_evictions`, `policy_port_evictions`). Callers proved who they are.
 */
const resetsPerConnection = 2 * streamsPerConnection;
/** What a stream's header list takes, with room: those of proxies have 300 to 600 bytes, overhead included. */
const headBytesPerStream = 1024;
const lingerMs = 5000;

export interface ControlMetrics {
  readonly call: (path: string, code: GrpcCode) => void;
  readonly refused: (reason: string) => void;
  readonly connections: (change: 1 | -1) => void;
}

export function controlMetrics(registry: MetricRegistry): ControlMetrics {
  const calls = registry.counter('mesh_grpc_calls_total', 'Ended gRPC calls by method and status.');
  const refusals = registry.counter(
    'mesh_tls_refused_total',
    'Clients refused during the TLS handshake, by named reason.',
  );
  const open = registry.gauge('mesh_grpc_connections', 'Open connections of accepted callers.').with();
  return {
    call: (path, code) => calls.with({ path, code: grpcCodeName(code) }).add(),
    refused: (reason) => refusals.with({ reason }).add(),
    connections: (change) => open.add(change),
  };
}

/** Limits that clients can run into; shared by all ports. */
export interface ControlLimits {
  readonly grpc: LimitLedger<GrpcLimit>;
  readonly http2: LimitLedger<Http2LimitName>;
  readonly tls: LimitLedger<TrustLimit>;
  readonly dataplane: LimitLedger<DataplaneLimit>;
}

export function controlLimits(): ControlLimits {
  return {
    grpc: new LimitLedger(grpcLimits),
    http2: new LimitLedger(http2Limits, {
      http2_streams: streamsPerConnection,
      http2_peer_resets: resetsPerConnection,
      http2_held_header_bytes: streamsPerConnection * headBytesPerStream,
    }),
    tls: new LimitLedger(trustLimits),
    dataplane: new LimitLedger(dataplaneLimits),
  };
}

export interface ControlServerOptions {
  port: number;
  /** Default: all IPv4 addresses. */
  host?: string;
  services: readonly GrpcRoutes<PeerIdentity>[];
  /** The only cluster whose identities are served. */
  cluster: string;
  trustSuffix: string;
  credentials: CredentialStore;
  clock: Clock;
  log: Logger;
  metrics: ControlMetrics;
  limits: ControlLimits;
  /** How long a connection lasts, at most. */
  maxAgeMs: number;
}

export class ControlServer {
  readonly #options: ControlServerOptions;
  readonly #acceptor: TlsAcceptor;
  readonly #log: PeerLog;
  readonly #server: Server;
  readonly #raw: Set<Socket> = new Set();
  readonly #connections: Set<ServerConnection> = new Set();
  readonly #ages: SpreadAge;

  constructor(options: ControlServerOptions) {
    this.#options = options;
    this.#ages = new SpreadAge(options.maxAgeMs);
    this.#acceptor = new TlsAcceptor({
      credentials: options.credentials,
      clock: options.clock,
      alpn: ['h2'],
      suffix: options.trustSuffix,
      acceptsCluster: (cluster) => cluster === options.cluster,
      limits: options.limits.tls,
    });
    const { log, clock, limits } = options;
    this.#log = new PeerLog({ log, clock, limits: limits.dataplane });
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
    const { grpc } = limits;
    capConnections(this.#server, grpc.values.grpc_connections, () => grpc.hit('grpc_connections'));
  }

  /** The port that is listened on. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async start(): Promise<void> {
    this.#server.listen(this.#options.port, this.#options.host ?? '0.0.0.0');
    await once(this.#server, 'listening');
  }

  /** Asks callers to go, then closes what is left. */
  async stop(graceMs = 0): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const connection of this.#connections) connection.drain();
    const cut = (): void => {
      for (const socket of this.#raw) socket.destroy();
      this.#acceptor.close();
    };
    if (graceMs === 0) cut();
    else this.#options.clock.after(graceMs, cut, true);
    await closed;
  }

  #accept(socket: Socket): void {
    const { metrics } = this.#options;
    this.#raw.add(socket);
    socket.once('close', () => this.#raw.delete(socket));
    this.#acceptor.accept(socket, (result) => {
      if ('refused' in result) {
        metrics.refused(result.refused);
        this.#log.warn('caller refused', { reason: result.refused, detail: result.detail });
        return;
      }
      this.#serve(result.socket, result.peer, result.notAfter);
    });
  }

  #serve(socket: TLSSocket, peer: PeerIdentity, notAfter: number): void {
    const { clock, services, metrics, log, limits } = this.#options;
    const listener = serveGrpc(services, {
      peer,
      clock,
      limits: limits.grpc,
      onDone: metrics.call,
      onFault: (path, thrown) =>
        log.error('a call failed', { path, caller: peer.name, error: String(thrown) }),
    });
    const connection = serveHttp2(
      socket,
      { onRequest: listener.onRequest, onClose: () => gone() },
      { clock, limits: limits.http2 },
    );
    this.#connections.add(connection);
    metrics.connections(1);
    const age = clock.after(
      Math.max(0, Math.min(this.#ages.next(), notAfter - clock.wall())),
      () => {
        connection.drain();
        linger = clock.after(lingerMs, () => connection.destroy(), true);
      },
      true,
    );
    let linger = age;
    const gone = (): void => {
      age.cancel();
      linger.cancel();
      if (this.#connections.delete(connection)) metrics.connections(-1);
    };
  }
}
