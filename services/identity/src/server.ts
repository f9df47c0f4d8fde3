/**
 * The port where proxies get their first certificate: TLS by our own leaf, no client certificate (they have none yet),
 * gRPC on HTTP/2 whether the client offers ALPN or not.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Clock } from '@mesh/clock/clock';
import { Identity } from '@mesh/control-api/gen/linkerd/identity_pb';
import { type GrpcRoutes, grpcService, serveGrpc } from '@mesh/control-api/grpc-server';
import { type GrpcLimit, grpcLimits } from '@mesh/control-api/limits';
import { GrpcError, grpcCode } from '@mesh/control-api/status';
import { type Http2LimitName, http2Limits } from '@mesh/http2/limits';
import { serveHttp2 } from '@mesh/http2/server';
import { LimitLedger } from '@mesh/limits/limits';
import type { Logger } from '@mesh/telemetry/log';
import { TlsAcceptor } from '@mesh/trust/accept';
import type { CredentialStore } from '@mesh/trust/credentials';
import { type TrustLimit, trustLimits } from '@mesh/trust/limits';
import type { Certifier } from './certify.ts';
import type { IdentityLimit } from './limits.ts';
import type { IdentityMetrics } from './metrics.ts';

const lingerMs = 2000;
/** A request carries a token and a CSR; nothing here is large, and each client asks for one certificate. */
const messageBytes = 32_768;
const requestBytes = 2 * messageBytes;

export interface IdentityServerOptions {
  port: number;
  /** Default: all IPv4 addresses. */
  host?: string;
  certifier: Certifier;
  credentials: CredentialStore;
  clock: Clock;
  log: Logger;
  limits: LimitLedger<IdentityLimit>;
  metrics: IdentityMetrics;
}

/** `io.linkerd.proxy.identity.Identity` (identity.proto). */
function identityRoutes(certifier: Certifier, metrics: IdentityMetrics): GrpcRoutes<undefined> {
  return grpcService<typeof Identity, undefined>(Identity, {
    async certify(request) {
      const result = await certifier.certify(request);
      if ('code' in result) {
        metrics.refused(result.reason);
        throw new GrpcError(grpcCode[result.code], result.message);
      }
      metrics.issued();
      return {
        leafCertificate: result.leaf,
        intermediateCertificates: [...result.intermediates],
        validUntil: timestampFromMs(result.validUntil),
      };
    },
  });
}

export class IdentityServer {
  readonly grpcLimits: LimitLedger<GrpcLimit> = new LimitLedger(grpcLimits, {
    grpc_message_bytes: messageBytes,
    grpc_request_bytes: requestBytes,
  });
  readonly http2Limits: LimitLedger<Http2LimitName> = new LimitLedger(http2Limits, {
    http2_held_header_bytes: requestBytes,
  });
  readonly trustLimits: LimitLedger<TrustLimit> = new LimitLedger(trustLimits);
  readonly #options: IdentityServerOptions;
  readonly #routes: readonly GrpcRoutes<undefined>[];
  readonly #acceptor: TlsAcceptor<'none'>;
  readonly #server: Server;
  readonly #open: Set<Socket> = new Set();

  constructor(options: IdentityServerOptions) {
    this.#options = options;
    this.#routes = [identityRoutes(options.certifier, options.metrics)];
    this.#acceptor = new TlsAcceptor({
      credentials: options.credentials,
      clock: options.clock,
      alpn: ['h2'],
      clientCertificate: 'none',
      limits: this.trustLimits,
    });
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
  }

  /** The port that is listened on. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async start(): Promise<void> {
    this.#server.listen(this.#options.port, this.#options.host ?? '0.0.0.0');
    await once(this.#server, 'listening');
  }

  /** Stops listening and closes all connections. */
  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#acceptor.close();
    for (const socket of this.#open) socket.destroy();
    await closed;
  }

  #accept(socket: Socket): void {
    const { metrics, log } = this.#options;
    this.#open.add(socket);
    socket.once('close', () => this.#open.delete(socket));
    this.#makeRoom();
    this.#acceptor.accept(socket, (result) => {
      if ('refused' in result) {
        metrics.tlsRefused(result.refused);
        log.debug('client refused', { reason: result.refused, detail: result.detail });
        return;
      }
      this.#serve(result.socket);
    });
  }

  /** Anybody may connect. Who means it is done within milliseconds; who has been here longest is who holds the others up. */
  #makeRoom(): void {
    const { limits } = this.#options;
    if (this.#open.size <= limits.values.identity_connections) return;
    limits.hit('identity_connections');
    const [oldest] = this.#open;
    if (oldest === undefined) return;
    this.#open.delete(oldest);
    oldest.destroy();
  }

  #serve(socket: TLSSocket): void {
    const { clock, log, limits } = this.#options;
    const listener = serveGrpc(this.#routes, {
      peer: undefined,
      clock,
      limits: this.grpcLimits,
      onFault: (path, thrown) => log.error('a call failed', { path, error: String(thrown) }),
    });
    const connection = serveHttp2(
      socket,
      {
        onRequest: (stream, head, end) => listener.onRequest(stream, head, end),
        onClose: () => {
          age.cancel();
          linger?.cancel();
        },
      },
      { clock, limits: this.http2Limits },
    );
    let linger: ReturnType<Clock['after']> | undefined;
    const age = clock.after(
      limits.values.identity_connection_age_ms,
      () => {
        limits.hit('identity_connection_age_ms');
        connection.drain();
        linger = clock.after(lingerMs, () => connection.destroy(), true);
      },
      true,
    );
  }
}
