/**
 * The port that other clusters call. A connection is accepted only from a linked cluster that is allowed, and ends
 * within a second after that changes; what it may ask for is decided per request by the table, and again
 * for requests under way when the table changes.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '@mesh/clock/clock';
import type { GatewayTable } from '@mesh/control-api/gen/mesh/gateway/v1/gateway_pb';
import { type Drain, listenOn } from '@mesh/dataplane/drain';
import type { OpaqueExpiry } from '@mesh/dataplane/opaque-expiry';
import type { Codecs } from '@mesh/dataplane/peer';
import { PeerLog } from '@mesh/dataplane/peer-log';
import type { PeerPool } from '@mesh/dataplane/peer-pool';
import { review } from '@mesh/dataplane/review';
import { serveHttp } from '@mesh/dataplane/serve-http';
import { SpreadAge } from '@mesh/dataplane/spread-age';
import type { ServerConnection } from '@mesh/http/message';
import type { LimitLedger } from '@mesh/limits/limits';
import { resetSocket } from '@mesh/sockets/reset-socket';
import type { Logger } from '@mesh/telemetry/log';
import { TlsAcceptor } from '@mesh/trust/accept';
import type { CredentialStore } from '@mesh/trust/credentials';
import type { TrustLimit } from '@mesh/trust/limits';
import type { PeerIdentity } from '@mesh/trust/names';
import { type AdmissionRefusal, admissionRefusals, AdmissionTable } from './admission.ts';
import type { ExportTargets } from './exports.ts';
import type { GatewayMetrics } from './gateway-metrics.ts';
import { serveOpaque } from './opaque-connection.ts';
import { PeerListener } from './peer-listener.ts';
import { transportHeaderAlpn } from '@mesh/transport/transport-header';

export interface GatewayOptions {
  cluster: string;
  suffix: string;
  clusterDomain: string;
  clock: Clock;
  log: Logger;
  credentials: CredentialStore;
  /** Of TLS that is accepted. */
  tlsLimits: LimitLedger<TrustLimit>;
  codecs: Codecs;
  drain: Drain;
  targets: ExportTargets;
  metrics: GatewayMetrics;
  /** Opens connections to endpoints, for opaque calls. */
  peers: PeerPool;
  expiry: OpaqueExpiry;
  maxAgeMs: number;
}

interface OpenConnection {
  readonly caller: PeerIdentity;
  /** What an opaque connection was opened for. */
  authority: string | undefined;
  /** Whose requests are admitted one by one. */
  http: ServerConnection | undefined;
}

export class Gateway {
  readonly #options: GatewayOptions;
  readonly #acceptor: TlsAcceptor;
  readonly #log: PeerLog;
  readonly #server: Server;
  readonly #ages: SpreadAge;
  readonly #open: Map<Socket, OpenConnection> = new Map();
  #table: AdmissionTable | undefined;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#ages = new SpreadAge(options.maxAgeMs);
    this.#acceptor = new TlsAcceptor({
      credentials: options.credentials,
      clock: options.clock,
      alpn: [transportHeaderAlpn, 'h2'],
      suffix: options.suffix,
      limits: options.tlsLimits,
    });
    const { limits } = options.peers.environment;
    this.#log = new PeerLog({ log: options.log, clock: options.clock, limits });
    const keepAliveInitialDelay = limits.values.tcp_keep_alive_ms;
    this.#server = createServer(
      { noDelay: true, allowHalfOpen: true, pauseOnConnect: true, keepAlive: true, keepAliveInitialDelay },
      (socket) => this.#accept(socket),
    );
    options.drain.addServer(this.#server, limits);
  }

  /** Whether the control plane has said what is exported. */
  get informed(): boolean {
    return this.#table !== undefined;
  }

  /** Resolves with the port. */
  async listen(port: number, host = '0.0.0.0'): Promise<number> {
    return await listenOn(this.#server, { host, port });
  }

  /** A new table: what it no longer allows ends now. */
  update(table: GatewayTable): void {
    const { suffix, clusterDomain, targets, log } = this.#options;
    this.#table = new AdmissionTable(table, { suffix, clusterDomain });
    targets.keepOnly(table);
    for (const [socket, open] of this.#open) {
      const reason = refusalNow(this.#table, open);
      if (reason === undefined) {
        if (open.http !== undefined) this.#review(open.http, open.caller, this.#table);
        continue;
      }
      log.info('connection of a peer closed', { caller: open.caller.name, reason });
      resetSocket(socket);
    }
  }

  /** Ends handshakes in progress; connections are the drain's. */
  close(): void {
    this.#acceptor.close();
  }

  #review(connection: ServerConnection, caller: PeerIdentity, table: AdmissionTable): void {
    review(connection, ({ authority }) => {
      const admission = table.admit(caller, authority);
      if (admission.kind !== 'refused') return undefined;
      this.#options.metrics.requestRefused(caller.cluster, admission.reason);
      return admissionRefusals[admission.reason];
    });
  }

  #accept(socket: Socket): void {
    const { metrics } = this.#options;
    this.#acceptor.accept(socket, (result) => {
      if ('refused' in result) {
        metrics.connectionRefused(result.refused);
        this.#log.info('connection refused', {
          from: socket.remoteAddress,
          reason: result.refused,
          detail: result.detail,
        });
        return;
      }
      const reason = this.#table === undefined ? 'no-table' : this.#table.refusesCluster(result.peer.cluster);
      if (reason !== undefined) {
        metrics.connectionRefused(reason);
        this.#log.info('connection refused', {
          from: socket.remoteAddress,
          reason,
          caller: result.peer.name,
        });
        result.socket.destroy();
        return;
      }
      this.#admit(result.socket, { caller: result.peer, alpn: result.alpn, notAfter: result.notAfter });
    });
  }

  #admit(
    socket: TLSSocket,
    { caller, alpn, notAfter }: { caller: PeerIdentity; alpn: string | undefined; notAfter: number },
  ): void {
    const { cluster, clock, codecs, credentials, drain, expiry, targets, metrics, peers } = this.#options;
    const until = Math.min(notAfter, credentials.current?.notAfter ?? notAfter);
    const open: OpenConnection = { caller, authority: undefined, http: undefined };
    this.#open.set(socket, open);
    metrics.connection(caller.cluster, 1);
    socket.once('close', () => {
      this.#open.delete(socket);
      metrics.connection(caller.cluster, -1);
    });
    const serve = (version: 'http1' | 'http2'): void => {
      const listener = new PeerListener({
        caller,
        cluster,
        table: () => this.#table,
        targets,
        metrics,
        onClose: () => {},
      });
      const { limits } = peers.environment;
      const { tcp_user_timeout_ms: userTimeoutMs } = limits.values;
      const maxAgeMs = this.#ages.next();
      const options = { clock, codecs, limits, drain, maxAgeMs, until, userTimeoutMs };
      open.http = serveHttp(socket, version, listener, options);
    };
    if (alpn !== transportHeaderAlpn) {
      serve('http2');
      return;
    }
    serveOpaque(socket, {
      caller,
      clock,
      table: () => this.#table,
      targets,
      metrics,
      peers,
      expiry,
      until,
      serveHttp: serve,
      onOpaque: (authority) => {
        open.authority = authority;
      },
    });
  }
}

/** Why a connection that was admitted may no longer be open. */
function refusalNow(
  table: AdmissionTable,
  { caller, authority }: OpenConnection,
): AdmissionRefusal | undefined {
  if (authority === undefined) return table.refusesCluster(caller.cluster);
  const admission = table.admit(caller, authority);
  return admission.kind === 'refused' ? admission.reason : undefined;
}
