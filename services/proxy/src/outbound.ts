/**
 * The outbound half: what the application dials is redirected here, looked up, and sent to an endpoint of the service it
 * meant; to where it was going anyway when nobody knows it.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { RetryBudget } from '@mesh/balance/retry-budget';
import type { HostPort } from '@mesh/control-api/convert';
import type { Discovery } from '@mesh/dataplane/discovery';
import { outboundLabels } from '@mesh/dataplane/endpoint';
import type { EndpointPool, EndpointPoolOptions } from '@mesh/dataplane/endpoint-pool';
import { type EndpointSpec, plainEndpoint } from '@mesh/dataplane/endpoint-spec';
import type { ForwardContext } from '@mesh/dataplane/exchange';
import { FixedTargets } from '@mesh/dataplane/fixed-targets';
import { ApplicationListener } from '@mesh/dataplane/http-forwarder';
import { PeerLog } from '@mesh/dataplane/peer-log';
import { noProfile, type Profile, type Profiles } from '@mesh/dataplane/profiles';
import { type DetectCells, detectProtocol } from '@mesh/dataplane/protocol-detection';
import { serveHttp } from '@mesh/dataplane/serve-http';
import { forwardTcp } from '@mesh/dataplane/tcp-forwarder';
import type { TransportCells } from '@mesh/dataplane/transport-metrics';
import { ignoreError } from '@mesh/sockets/socket-user';
import type { Counter, Family } from '@mesh/telemetry/metrics';
import type { DetectedProtocol } from '@mesh/transport/detect';
import { isLoopback } from '@mesh/transport/loopback';
import type { ConnectionError } from './connection-errors.ts';
import type { ProxyEnvironment } from './environment.ts';
import { inRanges } from './redirect-rules.ts';

export interface OutboundOptions {
  environment: ProxyEnvironment;
  discovery: Discovery;
  profiles: Profiles;
}

/** Of pools that this direction fills: labels, and the pod's own address reached directly. */
export function outboundPool(environment: ProxyEnvironment): Omit<EndpointPoolOptions, 'name' | 'limits'> {
  const { http, peers, podIp, transport } = environment;
  return {
    peers,
    failfast: 'failfast_outbound_ms',
    cells: (spec) => http.cells(outboundLabels(spec)),
    observer: (spec) => transport.cells({ peer: 'dst', ...outboundLabels(spec) }),
    // What we dial on our own address is not redirected, so it meets the application, not our inbound half.
    adapt: (spec) =>
      spec.host === podIp ? { ...spec, identity: undefined, protocol: 'unknown', transportPort: 0 } : spec,
  };
}

export class Outbound {
  readonly server: Server;
  readonly #options: OutboundOptions;
  readonly #fixed: FixedTargets;
  readonly #contexts: WeakMap<EndpointPool, ForwardContext> = new WeakMap();
  readonly #source: TransportCells;
  readonly #detected: DetectCells;
  readonly #errors: Family<Counter>;
  readonly #protocols: Family<Counter>;
  readonly #log: PeerLog;

  constructor(options: OutboundOptions) {
    this.#options = options;
    const { environment } = options;
    const { clock, idleMs, limits, registry } = environment;
    this.#log = new PeerLog(environment);
    this.#fixed = new FixedTargets({ clock, idleMs, pool: { ...outboundPool(environment), limits } });
    this.#source = environment.transport.cells({ direction: 'outbound', peer: 'src', tls: 'no_identity' });
    this.#detected = environment.detect.cells({ direction: 'outbound', tls: 'no_identity' });
    this.#errors = registry.counter(
      'outbound_tcp_errors_total',
      'Outbound connections that failed, by cause.',
    );
    this.#protocols = registry.counter(
      'outbound_tcp_protocol_connections_total',
      'Outbound connections by detected protocol.',
    );
    this.server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) =>
      this.#accept(socket),
    );
    environment.outboundDrain.addServer(this.server, limits);
  }

  close(): void {
    this.#fixed.close();
  }

  #accept(socket: Socket): void {
    const { environment, profiles } = this.#options;
    socket.on('error', ignoreError);
    this.#source.onSocket(socket);
    const target = environment.originalDestination(socket);
    if (target === undefined) {
      this.#fail(socket, 'original destination unknown');
      return;
    }
    // Nothing redirected goes to loopback, so this is a connection to ourselves, without end.
    if (isLoopback(target.host) && target.port === socket.localPort) {
      this.#fail(socket, 'loop');
      return;
    }
    const profile = profiles.get(`${target.host}:${target.port}`);
    if (profile instanceof Promise) void profile.then((known) => this.#route(socket, target, known));
    else this.#route(socket, target, profile);
  }

  #route(socket: Socket, target: HostPort, profile: Profile): void {
    if (socket.destroyed) return;
    const held = this.#hold(target, profile);
    if (held === undefined) {
      this.#fail(socket, 'too many destinations');
      return;
    }
    const { environment } = this.#options;
    const unknown = profile.service === '' && profile.endpoint === undefined;
    const opaque = profile.opaque || (unknown && inRanges(environment.opaquePorts, target.port));
    if (opaque) {
      this.#forward(socket, held, 'opaque', undefined);
      return;
    }
    detectProtocol(socket, {
      clock: environment.clock,
      timeoutMs: environment.detectTimeoutMs,
      cells: this.#detected,
      done: (protocol, rest) => {
        if (protocol === 'closed') {
          socket.destroy();
          held.release();
        } else {
          this.#forward(socket, held, protocol, rest);
        }
      },
    });
  }

  #hold(target: HostPort, profile: Profile): HeldPool | undefined {
    const { discovery } = this.#options;
    if (profile.service !== '') {
      const held = discovery.hold(`${profile.service}:${target.port}`);
      if (held === undefined) return undefined;
      return { pool: held.pool, release: () => discovery.release(held) };
    }
    const spec: EndpointSpec = profile.endpoint ?? plainEndpoint(target.host, target.port);
    const fixed = this.#fixed.hold(spec, { guess: profile === noProfile });
    return { pool: fixed.pool, release: () => this.#fixed.release(fixed) };
  }

  #forward(socket: Socket, held: HeldPool, protocol: DetectedProtocol, rest: Buffer | undefined): void {
    const { clock, codecs, expiry, limits, outboundDrain: drain, peers, log } = this.#options.environment;
    this.#protocols.with({ protocol }).add();
    if (protocol === 'opaque' || protocol === 'tls') {
      forwardTcp(socket, {
        clock,
        pool: held.pool,
        peers,
        expiry,
        clientUntil: Number.POSITIVE_INFINITY,
        rest,
        onClose: (fault) => {
          held.release();
          if (fault === '') return;
          this.#countError('i/o');
          log.debug('opaque connection failed', { target: held.pool.name, detail: fault });
        },
      });
      return;
    }
    serveHttp(socket, protocol, new ApplicationListener(this.#context(held.pool), held.release), {
      clock,
      codecs,
      limits,
      drain,
      maxAgeMs: Number.POSITIVE_INFINITY,
      until: Number.POSITIVE_INFINITY,
      userTimeoutMs: 0,
    });
  }

  /** One per destination, so that its retry budget counts all connections to it. */
  #context(pool: EndpointPool): ForwardContext {
    const known = this.#contexts.get(pool);
    if (known !== undefined) return known;
    const { clock, http, identity, limits } = this.#options.environment;
    const context: ForwardContext = {
      clock,
      pool,
      budget: new RetryBudget(clock),
      limits,
      proxyName: `outbound ${identity}`,
      refuseUnsent: false,
      cells: http.cells({
        direction: 'outbound',
        tls: 'no_identity',
        no_tls_reason: 'no_endpoint',
        dst: pool.name,
      }),
      countBy: 'endpoint',
      retries: http.retries({ direction: 'outbound', outcome: 'sent' }),
      retriesDenied: http.retries({ direction: 'outbound', outcome: 'no_budget' }),
    };
    this.#contexts.set(pool, context);
    return context;
  }

  #fail(socket: Socket, error: ConnectionError): void {
    this.#countError(error);
    this.#log.warn('outbound connection refused', { error });
    socket.destroy();
  }

  #countError(error: ConnectionError): void {
    this.#errors.with({ error }).add();
  }
}

interface HeldPool {
  readonly pool: EndpointPool;
  readonly release: () => void;
}
