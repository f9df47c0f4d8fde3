/**
 * The inbound half: clients of the pod are redirected here. Mesh TLS for us is ended here and its client known by name; other
 * TLS and plaintext pass when the policy admits strangers. Then the request goes to the application as it speaks.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { HostPort } from '@mesh/control-api/convert';
import { plainEndpoint } from '@mesh/dataplane/endpoint-spec';
import type { ForwardContext } from '@mesh/dataplane/exchange';
import { type FirstBytesOptions, readFirstBytes, type Undecided } from '@mesh/dataplane/first-bytes';
import { type FixedTarget, FixedTargets } from '@mesh/dataplane/fixed-targets';
import { PeerLog } from '@mesh/dataplane/peer-log';
import { type DetectCells, type DetectResult, detectProtocol } from '@mesh/dataplane/protocol-detection';
import { serveHttp } from '@mesh/dataplane/serve-http';
import { forwardTcp } from '@mesh/dataplane/tcp-forwarder';
import { type HeaderFault, readTransportHeader } from '@mesh/dataplane/transport-header-reader';
import { resetSocket } from '@mesh/sockets/reset-socket';
import { ignoreError } from '@mesh/sockets/socket-user';
import { TurnShare } from '@mesh/sockets/turn-share';
import type { Labels } from '@mesh/telemetry/metrics';
import { type DetectedProtocol, judgeProtocol } from '@mesh/transport/detect';
import { type TransportHeader, transportHeaderAlpn } from '@mesh/transport/transport-header';
import { type AcceptedPeer, TlsAcceptor } from '@mesh/trust/accept';
import { gatewayIdentity } from '@mesh/trust/names';
import { peekClientHello } from '@mesh/trust/peek';
import type { ConnectionError } from './connection-errors.ts';
import type { ProxyEnvironment } from './environment.ts';
import { InboundListener } from './inbound-listener.ts';
import { InboundMetrics } from './inbound-metrics.ts';
import { inboundRefusal } from './inbound-policy.ts';
import type { PortPolicies, PortPolicy } from './port-policies.ts';

export interface InboundOptions {
  environment: ProxyEnvironment;
  policies: PortPolicies;
  /** Port that clients may also dial on purpose, with a transport header. */
  inboundPort: number;
  /** Ports of the proxy itself, which nobody is forwarded to. */
  ownPorts: readonly number[];
}

/** What a connection is found to be before TLS. */
type Opening =
  | { readonly kind: 'tls'; readonly sni: string | undefined; readonly alpn: readonly string[] }
  | { readonly kind: 'plain'; readonly protocol: DetectedProtocol };

/** A connection that is on its way to a port of the pod. */
interface Redirected {
  readonly socket: Socket;
  readonly target: HostPort;
  /** Of the target's port, held as long as the connection is open. */
  readonly policy: PortPolicy;
}

/** A client after TLS, if any, and where it wants to go. */
interface Client extends Redirected {
  /** Undefined for plaintext and for TLS that is not ours. */
  readonly identity: string | undefined;
  /** Who is behind the connection: the same, or whom our own gateway vouches for. */
  readonly caller: string | undefined;
  /** `tls` and `client_id` of all its metrics. */
  readonly labels: Labels;
  /** Until when its certificate and ours prove the connection, wall-clock milliseconds; Infinity without them. */
  readonly until: number;
}

export class Inbound {
  readonly server: Server;
  readonly #options: InboundOptions;
  readonly #acceptor: TlsAcceptor;
  readonly #targets: FixedTargets;
  readonly #metrics: InboundMetrics;
  readonly #log: PeerLog;
  /** At first bytes of new connections. */
  readonly #looks: Required<FirstBytesOptions<Opening>>['turns'];
  /** Before TLS, and inside it. */
  readonly #openings: DetectCells;
  readonly #detected: DetectCells;
  readonly #gateway: string;

  constructor(options: InboundOptions) {
    this.#options = options;
    const { environment } = options;
    const { clock, cluster, credentials, idleMs, limits, registry, suffix } = environment;
    this.#gateway = gatewayIdentity(cluster, suffix);
    this.#acceptor = new TlsAcceptor({
      credentials,
      clock,
      alpn: [transportHeaderAlpn, 'h2'],
      suffix,
      limits: environment.tlsLimits,
    });
    this.#metrics = new InboundMetrics(registry);
    this.#log = new PeerLog(environment);
    this.#looks = {
      share: new TurnShare(limits.values.first_looks_per_turn, 0, {
        everyMs: 1,
        now: () => clock.now(),
      }),
      onWait: () => limits.hit('first_looks_per_turn'),
    };
    this.#openings = environment.detect.cells({ direction: 'inbound', tls: 'no_identity' });
    this.#detected = environment.detect.cells({ direction: 'inbound', tls: 'true' });
    this.#targets = new FixedTargets({
      clock,
      idleMs,
      pool: {
        peers: environment.peers,
        limits,
        failfast: 'failfast_inbound_ms',
        // Inbound requests are counted by client, so the application's own cells are never shown.
        cells: () => environment.http.cells({ direction: 'inbound' }),
        observer: () =>
          environment.transport.cells({ direction: 'inbound', peer: 'dst', tls: 'no_identity' }),
      },
    });
    const keepAliveInitialDelay = limits.values.tcp_keep_alive_ms;
    this.server = createServer(
      { allowHalfOpen: true, pauseOnConnect: true, noDelay: true, keepAlive: true, keepAliveInitialDelay },
      (socket) => this.#accept(socket),
    );
    environment.inboundDrain.addServer(this.server, limits);
  }

  close(): void {
    this.#acceptor.close();
    this.#targets.close();
  }

  #accept(socket: Socket): void {
    const { environment, inboundPort, ownPorts } = this.#options;
    socket.on('error', ignoreError);
    // Without redirection somebody dialled us on purpose.
    const original = environment.originalDestination(socket);
    const direct = original === undefined || original.port === inboundPort;
    const target = original ?? { host: socket.localAddress ?? '', port: inboundPort };
    if (!direct && ownPorts.includes(target.port)) {
      this.#drop(socket, 'loop');
      return;
    }
    const policy = direct ? undefined : this.#hold(socket, target.port);
    if (!direct && policy === undefined) return;
    if (policy?.current.opaque === true) {
      this.#plain({ socket, target, policy }, 'opaque', undefined);
      return;
    }
    readFirstBytes<Opening>(socket, {
      clock: environment.clock,
      timeoutMs: policy?.current.detectTimeoutMs ?? environment.detectTimeoutMs,
      judge: judgeOpening,
      turns: this.#looks,
      done: (opening, { rest, ms }) => {
        this.#openings.count(resultOf(opening), ms);
        if (opening === 'closed') socket.destroy();
        else if (policy === undefined) this.#dialled(socket, target, opening);
        else this.#redirected({ socket, target, policy }, opening, rest);
      },
    });
  }

  /** The policy of a port as long as the connection is open; undefined when it was dropped because there is none to be had. */
  #hold(socket: Socket, port: number): PortPolicy | undefined {
    const { policies } = this.#options;
    const policy = policies.hold(port);
    if (policy === undefined) this.#drop(socket, 'too many ports');
    else socket.once('close', () => policies.release(policy));
    return policy;
  }

  #dialled(socket: Socket, target: HostPort, opening: Opening | Undecided): void {
    if (typeof opening === 'string') this.#drop(socket, 'tls detection timeout');
    else if (opening.kind === 'plain') this.#drop(socket, 'plaintext on a direct connection');
    else this.#terminate(socket, target, undefined);
  }

  #redirected(arrived: Redirected, opening: Opening | Undecided, rest: Buffer | undefined): void {
    const { identity } = this.#options.environment;
    if (typeof opening === 'string') this.#plain(arrived, 'opaque', rest);
    else if (opening.kind === 'plain') this.#plain(arrived, opening.protocol, rest);
    else if (opening.sni === identity || opening.alpn.includes(transportHeaderAlpn)) {
      this.#terminate(arrived.socket, arrived.target, arrived.policy);
    } else this.#passTls(arrived);
  }

  #plain(arrived: Redirected, protocol: DetectedProtocol, rest: Buffer | undefined): void {
    const labels = { tls: 'no_identity', no_tls_reason: 'no_tls_from_remote' };
    this.#serve(stranger(arrived, labels), protocol, rest);
  }

  /** Somebody else's TLS: its bytes pass untouched to whom they are meant for. */
  #passTls(arrived: Redirected): void {
    // Without the server name: strangers choose it, and each one would be a series of its own.
    this.#serve(stranger(arrived, { tls: 'opaque' }), 'opaque', undefined);
  }

  /** `policy`: undefined for a connection that was dialled on purpose. */
  #terminate(raw: Socket, target: HostPort, policy: PortPolicy | undefined): void {
    this.#acceptor.accept(raw, (result) => {
      if ('refused' in result) {
        this.#metrics.tlsRefused(result.refused, target.port);
        this.#log.warn('client refused', {
          reason: result.refused,
          detail: result.detail,
          port: target.port,
        });
        return;
      }
      this.#terminated(result, target, policy);
    });
  }

  #terminated(result: AcceptedPeer, target: HostPort, policy: PortPolicy | undefined): void {
    const { clock, credentials, detectTimeoutMs } = this.#options.environment;
    const { socket, peer, alpn } = result;
    socket.on('error', ignoreError);
    const client: Omit<Client, 'policy'> = {
      socket,
      target,
      identity: peer.name,
      caller: peer.name,
      labels: { tls: 'true', client_id: peer.name },
      until: Math.min(result.notAfter, credentials.current?.notAfter ?? result.notAfter),
    };
    if (alpn === transportHeaderAlpn) {
      readTransportHeader(socket, {
        clock,
        timeoutMs: detectTimeoutMs,
        done: (header) => this.#direct(client, header),
      });
      return;
    }
    if (policy === undefined) {
      this.#drop(socket, 'direct connection without a transport header');
      return;
    }
    detectProtocol(socket, {
      clock,
      timeoutMs: policy.current.detectTimeoutMs,
      cells: this.#detected,
      done: (protocol, rest) => {
        if (protocol === 'closed') socket.destroy();
        else this.#serve({ ...client, policy }, protocol, rest);
      },
    });
  }

  #direct(client: Omit<Client, 'policy'>, header: TransportHeader | { readonly fault: HeaderFault }): void {
    const { inboundPort, ownPorts } = this.#options;
    if ('fault' in header) {
      this.#drop(client.socket, `transport header ${header.fault}`);
      return;
    }
    if (header.name !== '') {
      this.#drop(client.socket, 'a sidecar is no gateway');
      return;
    }
    if (header.port === inboundPort || ownPorts.includes(header.port)) {
      this.#drop(client.socket, 'loop');
      return;
    }
    if (client.socket.destroyed) return;
    const policy = this.#hold(client.socket, header.port);
    if (policy === undefined) return;
    const protocol = header.sessionProtocol ?? 'opaque';
    this.#metrics.transportHeader(protocol, header.port);
    const target = { host: client.target.host, port: header.port };
    const vouched = client.identity === this.#gateway && header.clientId !== '' ? header.clientId : undefined;
    this.#serve({ ...client, target, policy, caller: vouched ?? client.identity }, protocol, undefined);
  }

  #serve(client: Client, protocol: DetectedProtocol, rest: Buffer | undefined): void {
    const { environment } = this.#options;
    const { clock, codecs, inboundDrain: drain, limits, transport } = environment;
    const { socket, target, policy, identity, labels } = client;
    if (socket.destroyed) return;
    transport.cells({ direction: 'inbound', peer: 'src', ...labels }).onSocket(socket);
    if (protocol === 'opaque' || protocol === 'tls') {
      this.#opaque(client, rest);
      return;
    }
    const fixed = this.#targets.hold(plainEndpoint(target.host, target.port));
    const listener = new InboundListener({
      context: this.#context(client, fixed, protocol),
      policy,
      pod: environment,
      client: { identity, address: socket.remoteAddress ?? '' },
      viaGateway: identity === this.#gateway,
      allowed: this.#metrics.httpAllowed(target.port, labels),
      denied: (reason) => this.#metrics.httpDenied(reason, target.port, labels),
      terminated: (reason) => this.#metrics.httpTerminated(reason, target.port, labels),
      onClose: () => this.#targets.release(fixed),
    });
    const { connection_age_ms: ageMs, tcp_user_timeout_ms: userTimeoutMs } = limits.values;
    const proven = identity !== undefined;
    listener.connection = serveHttp(socket, protocol, listener, {
      clock,
      codecs,
      limits,
      drain,
      maxAgeMs: proven ? ageMs : Number.POSITIVE_INFINITY,
      until: client.until,
      userTimeoutMs: proven ? userTimeoutMs : 0,
    });
  }

  #opaque(client: Client, rest: Buffer | undefined): void {
    const { environment } = this.#options;
    const { clock, expiry, peers } = environment;
    const { socket, target, policy, labels } = client;
    const caller = { identity: client.caller, address: socket.remoteAddress ?? '' };
    const refusal = inboundRefusal(policy.current, caller, environment);
    if (refusal !== undefined) {
      this.#metrics.tcpDenied(refusal, target.port, labels).value++;
      this.#log.warn('client refused', { reason: refusal, port: target.port });
      socket.destroy();
      return;
    }
    this.#metrics.tcpAllowed(target.port, labels).value++;
    // An open connection lives as long as it would be admitted today.
    const unwatch = policy.onChange(() => {
      const reason = inboundRefusal(policy.current, caller, environment);
      if (reason === undefined) return;
      this.#metrics.tcpTerminated(reason, target.port, labels).value++;
      this.#log.warn('client cut off', { reason, port: target.port });
      resetSocket(socket);
    });
    const fixed = this.#targets.hold(plainEndpoint(target.host, target.port));
    forwardTcp(socket, {
      clock,
      pool: fixed.pool,
      peers,
      expiry,
      clientUntil: client.until,
      rest,
      onClose: (fault) => {
        unwatch();
        this.#targets.release(fixed);
        if (fault !== '') this.#metrics.error('i/o');
      },
    });
  }

  #context(
    { identity, labels, target }: Client,
    fixed: FixedTarget,
    protocol: DetectedProtocol,
  ): ForwardContext {
    const { clock, http, identity: own, limits } = this.#options.environment;
    return {
      clock,
      pool: fixed.pool,
      budget: fixed.budget,
      limits,
      proxyName: identity === undefined ? '' : `inbound ${own}`,
      refuseUnsent: identity !== undefined && protocol === 'http2',
      cells: http.cells({
        direction: 'inbound',
        ...labels,
        target_addr: `${target.host}:${target.port}`,
        target_port: String(target.port),
      }),
      countBy: 'client',
      retries: http.retries({ direction: 'inbound', outcome: 'sent' }),
      retriesDenied: http.retries({ direction: 'inbound', outcome: 'no_budget' }),
    };
  }

  #drop(socket: Socket, error: ConnectionError): void {
    this.#metrics.error(error);
    this.#log.warn('inbound connection refused', { error });
    socket.destroy();
  }
}

/** A client that proved nothing. */
function stranger(arrived: Redirected, labels: Labels): Client {
  return { ...arrived, identity: undefined, caller: undefined, labels, until: Number.POSITIVE_INFINITY };
}

function judgeOpening(bytes: Buffer): Opening | undefined {
  const peek = peekClientHello(bytes);
  if (peek.kind === 'need-more') return undefined;
  if (peek.kind === 'tls') return { kind: 'tls', sni: peek.sni, alpn: peek.alpn };
  const protocol = judgeProtocol(bytes);
  return protocol === undefined ? undefined : { kind: 'plain', protocol };
}

function resultOf(opening: Opening | Undecided): DetectResult {
  if (typeof opening === 'string') return opening;
  return opening.kind === 'tls' ? 'tls' : opening.protocol;
}
