/**
 * One address with one identity: its connections and whether it can be reached.
 *
 * Endpoints of several services may share a peer (all services behind one gateway do), so that one HTTP/2 connection
 * carries them. A failed connect marks the peer unreachable at once; it is tried again with growing pauses and becomes
 * reachable by a connection that succeeds, never by waiting alone.
 */
import type { Socket } from 'node:net';
import { backoffMs, type Clock, type Random, type Timer } from '@mesh/clock/clock';
import { connectHttp1 } from '@mesh/http1/client';
import { http1Limits, type Http1LimitName } from '@mesh/http1/limits';
import { connectHttp2, type Http2ClientConnection } from '@mesh/http2/client';
import { http2Limits, type Http2LimitName } from '@mesh/http2/limits';
import { WindowBudget } from '@mesh/http2/window-budget';
import { LimitLedger } from '@mesh/limits/limits';
import { resetUnseen, setUserTimeout } from '@mesh/transport/socket-options';
import type { SessionProtocol } from '@mesh/transport/transport-header';
import { dialledUntil } from '@mesh/trust/dial';
import {
  ConnectError,
  type ConnectFault,
  connectFault,
  type Connector,
  type DialTarget,
} from './connector.ts';
import {
  keepAlive,
  peerKeepAlive,
  type PingableConnection,
  type Siblings,
  signsOfLife,
} from './keep-alive.ts';
import { endingFrom } from './http-expiry.ts';
import { Lane, type WrappedSocket } from './lane.ts';
import type { DataplaneLimit } from './limits.ts';
import type { SharedTicker } from './shared-ticker.ts';
import type { SilentPaths } from './silent-paths.ts';

/** Told when a peer stops or starts being reachable. */
export interface PeerListener {
  onReachable(reachable: boolean): void;
}

/** Follows sockets for transport metrics. */
export interface SocketObserver {
  onSocket(socket: Socket): void;
}

export interface PeerEnvironment {
  readonly clock: Clock;
  readonly random: Random;
  readonly connector: Connector;
  readonly limits: LimitLedger<DataplaneLimit>;
  readonly http1Limits: LimitLedger<Http1LimitName>;
  readonly http2Limits: LimitLedger<Http2LimitName>;
  /** Shared by every HTTP/2 connection of the process. */
  readonly windowBudget: WindowBudget;
}

/** What the codecs of a process share. */
export type Codecs = Pick<PeerEnvironment, 'http1Limits' | 'http2Limits' | 'windowBudget'>;

/** Fresh ledgers with default values; programs share one environment so that hits add up. */
export function defaultCodecs(http2 = new LimitLedger(http2Limits)): Codecs {
  return {
    http1Limits: new LimitLedger(http1Limits),
    http2Limits: http2,
    windowBudget: new WindowBudget(http2),
  };
}

/** Who looks after the connections of peers. */
export interface PeerWatch {
  /** For PINGs; its period is `peerTickMs`. */
  readonly ticker: SharedTicker;
  /** For connections without PINGs. */
  readonly paths: SilentPaths;
}

const laneLimits = {
  waiters: 'connect_waiters',
  idle: 'http1_pool_idle_ms',
  age: 'connection_age_ms',
  expiry: 'expiry_lead_ms',
} as const satisfies Record<string, DataplaneLimit>;

const reconnect = { baseMs: 100, capMs: 10_000, jitter: 0.1 };

export class Peer {
  readonly target: DialTarget;
  readonly h1: Lane;
  readonly h2: Lane;
  readonly #environment: PeerEnvironment & PeerWatch;
  readonly #listeners: Set<PeerListener> = new Set();
  readonly #observer: SocketObserver | undefined;
  #lastLane: Lane | undefined;
  #attempt = 0;
  /** Monotonic milliseconds of the last failure that counted. */
  #failedAt = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;
  #reachable = true;
  #closed = false;
  /** Why the last connect failed; undefined when it did not. */
  lastFault: ConnectFault | undefined;

  constructor(target: DialTarget, environment: PeerEnvironment & PeerWatch, observer?: SocketObserver) {
    this.target = target;
    this.#environment = environment;
    this.#observer = observer;
    const { limits, ticker } = environment;
    const { peer_silence_ms: silenceMs, tcp_user_timeout_ms: userTimeoutMs } = limits.values;
    this.h1 = this.#lane({
      alpn: [],
      session: 'http1',
      exclusive: true,
      maxConnections: limits.values.http1_connections_per_endpoint,
      limit: 'http1_connections_per_endpoint',
      wrap: (socket) => ({
        connection: connectHttp1(socket, {
          clock: environment.clock,
          limits: environment.http1Limits,
          resetUnseen,
        }),
        confirmed: undefined,
      }),
    });
    // What a peer allows is not asked of every connection anew: a burst would overrun it before its SETTINGS come.
    let latest: Http2ClientConnection | undefined;
    const siblings: Siblings = new Set();
    this.h2 = this.#lane({
      alpn: target.gateway ? ['h2'] : [],
      session: 'http2',
      exclusive: false,
      maxConnections: limits.values.http2_connections_per_endpoint,
      limit: 'http2_connections_per_endpoint',
      wrap: (socket) => {
        const { clock, http2Limits: limits, windowBudget } = environment;
        const streams = latest === undefined ? {} : { streamsBeforeSettings: latest.maxStreams };
        const connection = connectHttp2(socket, { clock, limits, windowBudget, ...streams });
        latest = connection;
        // A stranger may count our PINGs as an attack; its kernel is all that is watched.
        if (target.identity === undefined) return { connection, confirmed: undefined };
        const onSilence = (): void => environment.limits.hit('peer_silence_ms');
        const watched = { ticker, silenceMs, onSilence, siblings };
        keepAlive(connection, { ...watched, ...signsOfLife(socket), ...peerKeepAlive });
        setUserTimeout(socket, userTimeoutMs);
        return { connection, confirmed: this.#confirm(connection) };
      },
    });
  }

  get reachable(): boolean {
    return this.#reachable;
  }

  /** Whether a connection for HTTP is there, usable or not. */
  get connected(): boolean {
    return this.h1.connected || this.h2.connected;
  }

  watch(listener: PeerListener): void {
    this.#listeners.add(listener);
  }

  unwatch(listener: PeerListener): void {
    this.#listeners.delete(listener);
  }

  /**
   * A connection that carried requests broke. Nothing new is sent until a new one is there: a peer that was killed
   * is left at once, one that only lost a connection is back after a round trip.
   */
  connectionLost(lane: Lane): void {
    if (!this.#reachable || this.#closed) return;
    if (lane.usable) return;
    this.#lastLane = lane;
    this.#become(false);
    lane.probe();
  }

  /** A connect for opaque bytes; its outcome counts like any other. Rejects with a ConnectError. */
  async dial(alpn: readonly string[]): Promise<Socket> {
    const begun = this.#environment.clock.now();
    let socket: Socket;
    try {
      socket = await this.#environment.connector.connect(this.target, alpn);
    } catch (thrown) {
      // A peer that others are connected to is there: they wait for one pause, which does not grow.
      if (this.#reachable) this.#failed(connectFault(thrown), begun, this.h2.usable ? this.h2 : undefined);
      throw thrown;
    }
    this.#succeeded();
    this.#observer?.onSocket(socket);
    return socket;
  }

  sweep(limits: { idleMs: number; ageMs: number }): void {
    this.h1.sweep(limits);
    this.h2.sweep(limits);
  }

  close({ graceful }: { graceful: boolean }): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#listeners.clear();
    for (const lane of [this.h1, this.h2]) {
      if (graceful) lane.drain();
      else lane.destroy();
    }
  }

  #lane(options: {
    alpn: readonly string[];
    session: SessionProtocol;
    exclusive: boolean;
    maxConnections: number;
    limit: DataplaneLimit;
    wrap: (socket: Socket) => WrappedSocket;
  }): Lane {
    const { connector, clock, limits, paths } = this.#environment;
    const lane: Lane = new Lane({
      clock,
      dial: () => connector.connect(this.target, options.alpn, options.session),
      expiry: (socket) => {
        const until = dialledUntil(socket);
        return { until, endingAt: endingFrom(until, { clock, limits }) };
      },
      wrap: (socket) => {
        this.#observer?.onSocket(socket);
        // PINGs watch HTTP/2 between proxies; and an application beside us does not lose its machine alone.
        const pinged = lane === this.h2 && this.target.identity !== undefined;
        if (!pinged && socket.remoteAddress !== socket.localAddress) paths.follow(socket);
        return options.wrap(socket);
      },
      exclusive: options.exclusive,
      maxConnections: options.maxConnections,
      maxWaiters: limits.values.connect_waiters,
      connectMs: limits.values.connect_ms,
      onFailure: (fault, begun) => this.#failed(fault, begun, lane),
      onSuccess: () => this.#succeeded(),
      onLimit: (name) => limits.hit(name === 'connections' ? options.limit : laneLimits[name]),
    });
    return lane;
  }

  /**
   * With TLS 1.3 a handshake succeeds on our side before the peer has judged our certificate, so a connection counts
   * only once the peer answered on it; otherwise requests would be lost on one that it is about to refuse.
   */
  async #confirm(connection: PingableConnection): Promise<void> {
    const { clock, limits } = this.#environment;
    const { host, port } = this.target;
    await new Promise<void>((resolve, reject) => {
      const timer = clock.after(limits.values.connect_ms, () => {
        limits.hit('connect_ms');
        // Before its end, which would be taken for the peer's.
        reject(new ConnectError(`${host}:${port}: no answer on a new connection`, { kind: 'timeout' }));
        connection.destroy();
      });
      connection.onChange = () => {
        if (connection.usable) return;
        timer.cancel();
        reject(
          new ConnectError(`${host}:${port}: closed after the handshake; it may refuse our certificate`, {
            kind: 'refused',
          }),
        );
      };
      connection.ping(() => {
        timer.cancel();
        resolve();
      });
    });
    // Its end may have come in the same read. Taken for a success it would be tried again at once, for ever.
    if (!connection.usable)
      throw new ConnectError(`${host}:${port}: ended a new connection at once`, { kind: 'refused' });
  }

  /**
   * Connects that fail together are signs of one thing: the pause before the next try must not grow by how many requests or clients there
   * were. So only one counts for each pause, and none that `begun` before the last that counted if the peer was reached since.
   */
  #failed(fault: ConnectFault, begun: number, lane: Lane | undefined): void {
    if (this.#closed || this.#timer !== undefined) return;
    if (this.#reachable && begun <= this.#failedAt) return;
    const { clock, random } = this.#environment;
    this.#lastLane = lane;
    this.lastFault = fault;
    this.#failedAt = clock.now();
    this.#become(false);
    this.#timer = clock.after(backoffMs(this.#attempt++, random, reconnect), () => this.#retry(), true);
  }

  #retry(): void {
    this.#timer = undefined;
    // Opaque targets may greet first, so a connection just to look would reach the application; the next client tries.
    if (this.#lastLane === undefined) this.#become(true);
    else this.#lastLane.probe();
  }

  #succeeded(): void {
    this.#attempt = 0;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.lastFault = undefined;
    this.#become(true);
  }

  #become(reachable: boolean): void {
    if (this.#reachable === reachable || this.#closed) return;
    this.#reachable = reachable;
    for (const listener of this.#listeners) listener.onReachable(reachable);
  }
}
