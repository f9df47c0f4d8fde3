/**
 * The standing connection to one peer: through its gateway, as our own identity, with nothing else (docs/decisions/0003).
 * It subscribes to the peer's exports, measures round trips on the same connection, and judges the peer. It never
 * touches Kubernetes: it says what it knows and calls back when that changed.
 */
import { backoffMs, type Clock, type Random, type Timer } from '@mesh/clock/clock';
import { Federation } from '@mesh/control-api/gen/mesh/federation/v1/federation_pb';
import { GrpcChannel, type RunningStream } from '@mesh/control-api/grpc-client';
import { grpcCode, type GrpcStatus } from '@mesh/control-api/status';
import type { ClientConnection } from '@mesh/http/message';
import { federationAuthority, type LinkSpec } from '@mesh/multicluster/link';
import type { PeerState } from '@mesh/multicluster/names';
import type { Logger } from '@mesh/telemetry/log';
import { TlsDialError } from '@mesh/trust/dial';
import { dialFault, type LinkFault } from './link-reasons.ts';
import { type Changes, PeerView, protocolVersion } from './peer-view.ts';
import { Verdict } from './verdict.ts';

/** A connection to the peer's gateway that can be asked for a round trip. */
export type GatewayConnection = ClientConnection & { ping(onPong: (rttMs: number) => void): void };

export interface ProbeSettings {
  periodMs: number;
  timeoutMs: number;
  failureThreshold: number;
}

export interface PeerSessionOptions {
  link: LinkSpec;
  /** This cluster. */
  cluster: string;
  probe: ProbeSettings;
  maxExports: number;
  /** Knowledge older than this is dropped. */
  maxAgeMs: number;
  /** Imports that exist as objects already. */
  known: Iterable<string>;
  clock: Clock;
  random: Random;
  log: Logger;
  /** Dials one gateway address as the peer's gateway. @throws TlsDialError */
  connect: (address: string, port: number) => Promise<GatewayConnection>;
  onExports: (keys: readonly string[]) => void;
  /** Verdict, conditions or round trip may have changed. */
  onState: () => void;
}

export interface SessionStatus {
  state: PeerState;
  connected: boolean;
  synced: boolean;
  heldRemovals: number;
  rttMs: number | undefined;
  /** Milliseconds since the last sign of life; undefined when there never was one. */
  silentMs: number | undefined;
  /** Why it is not connected, or why the last stream ended; empty when all is well. */
  fault: { reason: LinkFault; message: string } | undefined;
}

const retry = { baseMs: 200, capMs: 5_000, jitter: 0.3 };
const staleMs = 3_000;
const tickMs = 500;

export class PeerSession {
  readonly view: PeerView;
  readonly #options: PeerSessionOptions;
  readonly #verdict: Verdict;
  #timers: Timer[] = [];
  #connection: GatewayConnection | undefined;
  #stream: RunningStream | undefined;
  /** Leaves the connection, for this reason. */
  #finish: ((reason: LinkFault, message: string) => void) | undefined;
  #pingSentAt: number | undefined;
  #rttMs: number | undefined;
  #fault: SessionStatus['fault'];
  #attempts = 0;
  #stopped = false;
  #lastState: PeerState | undefined;
  #startedAt: number;
  /** When a timer last came. */
  #lookedAt: number;

  constructor(options: PeerSessionOptions) {
    this.#options = options;
    const { link, maxExports, known, probe, clock } = options;
    this.view = new PeerView({ cluster: link.cluster, maxExports, known });
    this.#verdict = new Verdict({ staleMs, failureThreshold: probe.failureThreshold });
    this.#startedAt = clock.now();
    this.#lookedAt = this.#startedAt;
  }

  /** Nothing happens once it was stopped. */
  start(): void {
    if (this.#stopped) return;
    this.#lookedAt = this.#options.clock.now();
    const { clock, probe } = this.#options;
    this.#timers = [
      clock.every(probe.periodMs, () => this.#probe()),
      clock.every(tickMs, () => this.#tick()),
    ];
    void this.#run();
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) timer.cancel();
    this.#disconnect();
  }

  get state(): PeerState {
    return this.#verdict.state(this.#options.clock.now());
  }

  /** Whether there was time to tell how the peer is doing: at first `unknown` only means that nobody looked. */
  get judged(): boolean {
    const now = this.#options.clock.now();
    return this.#verdict.state(now) !== 'unknown' || now - this.#startedAt > staleMs;
  }

  status(): SessionStatus {
    const now = this.#options.clock.now();
    const { lastSeen } = this.#verdict;
    return {
      state: this.#verdict.state(now),
      connected: this.#stream !== undefined && this.#verdict.streamFresh(now),
      synced: this.view.synced,
      heldRemovals: this.view.heldRemovals,
      rttMs: this.#rttMs,
      silentMs: lastSeen === undefined ? undefined : now - lastSeen,
      fault: this.#fault,
    };
  }

  /** One attempt, then another after it ended; addresses take turns. */
  async #run(): Promise<void> {
    const { clock, random, link, connect } = this.#options;
    while (!this.#stopped) {
      const address = link.gatewayAddresses[this.#attempts % link.gatewayAddresses.length] ?? '';
      try {
        const connection = await connect(address, link.gatewayPort ?? 4143);
        if (this.#stopped) {
          connection.destroy();
          return;
        }
        this.#connection = connection;
        // Its certificate was proven just now, so the gateway is there, whatever it says next.
        this.#verdict.answered(clock.now());
        await this.#subscribe(connection);
      } catch (thrown) {
        this.#verdict.failed();
        this.#setFault(
          thrown instanceof TlsDialError ? dialFault(thrown) : 'ConnectFailed',
          String((thrown as Error).message),
        );
      }
      this.#disconnect();
      if (this.#fault !== undefined) this.#options.onState();
      const delayMs = backoffMs(this.#attempts++, random, retry);
      await new Promise<void>((resolve) => {
        this.#timers[2] = clock.after(this.#stopped ? 0 : delayMs, resolve);
      });
    }
  }

  /** Resolves when the stream has ended. */
  #subscribe(connection: GatewayConnection): Promise<void> {
    const { clock, cluster } = this.#options;
    const channel = new GrpcChannel({
      connect: () => Promise.resolve(connection),
      authority: federationAuthority,
      clock,
    });
    this.view.begin();
    return new Promise((resolve) => {
      let heard = false;
      let over = false;
      // The first reason counts: the end of the stream makes the connection end, which says nothing more.
      const finish = (reason: LinkFault, message: string): void => {
        if (over) return;
        over = true;
        this.#setFault(reason, message);
        resolve();
      };
      this.#finish = finish;
      const lost = (detail: string): void => {
        // A TLS 1.3 client learns that it is refused only by the end of the connection.
        if (heard) finish('StreamEnded', detail);
        else finish('ClosedByGateway', this.#closedText(detail));
      };
      // A gateway asks to be left by GOAWAY, each hour and when it stops, long before the stream ends. That is no fault, unless
      // the next connection fails.
      connection.onChange = () => {
        if (connection.usable || !heard || over) return;
        over = true;
        resolve();
      };
      this.#stream = channel.serverStream(
        Federation.method.subscribe,
        { protocol: protocolVersion, cluster, features: [] },
        {
          onMessage: (event) => {
            heard = true;
            const now = clock.now();
            this.#verdict.event(now);
            const changes = this.view.receive(event, now);
            this.#publish(changes);
            if (changes.fault !== undefined) {
              finish(changes.fault.reason, changes.fault.message);
              // What came with it is not looked at any more.
              this.#stream?.cancel();
            } else if (event.event.case === 'snapshotEnd') {
              // Not before: a stream that always fails after its hello would be opened five times a second for ever.
              this.#fault = undefined;
              this.#attempts = 0;
              this.#options.onState();
            }
          },
          onEnd: (status) => {
            const reason = streamReason(status);
            if (reason === 'StreamEnded' && !connection.usable) lost(status.message);
            else finish(reason, status.message);
          },
        },
      );
    });
  }

  #closedText(detail: string): string {
    const { cluster, link } = this.#options;
    return `the gateway of ${link.cluster} ended the connection before it answered (${detail}); it does so where no Link ${cluster} allows this cluster; run: mesh multicluster link ${link.cluster} ${cluster}`;
  }

  #disconnect(): void {
    this.#stream?.cancel();
    this.#stream = undefined;
    this.#finish = undefined;
    this.#connection?.destroy();
    this.#connection = undefined;
    this.#pingSentAt = undefined;
  }

  /** The time. A timer comes each `tickMs`; by how much it is late, this process stood still, and not the peer. */
  #look(): number {
    const now = this.#options.clock.now();
    const lateMs = now - this.#lookedAt - tickMs;
    this.#lookedAt = now;
    if (lateMs > 0) {
      this.#verdict.excuse(lateMs, now);
      if (this.#pingSentAt !== undefined) this.#pingSentAt = Math.min(now, this.#pingSentAt + lateMs);
    }
    return now;
  }

  #probe(): void {
    const { clock, probe } = this.#options;
    const now = this.#look();
    const connection = this.#connection;
    if (connection === undefined || !connection.usable) return;
    if (this.#pingSentAt !== undefined) {
      if (now - this.#pingSentAt < probe.timeoutMs) return;
      this.#verdict.failed();
      if (now - this.#pingSentAt >= probe.timeoutMs * probe.failureThreshold) {
        const silentMs = Math.round(now - this.#pingSentAt);
        this.#finish?.('NoAnswer', `the gateway did not answer within ${silentMs} ms`);
      }
      return;
    }
    this.#pingSentAt = now;
    connection.ping((rttMs) => {
      if (this.#connection !== connection) return;
      this.#pingSentAt = undefined;
      this.#rttMs = rttMs;
      this.#verdict.answered(clock.now());
    });
  }

  #tick(): void {
    const { maxAgeMs, onState } = this.#options;
    const now = this.#look();
    this.#publish(this.view.settle(now));
    if (!this.view.empty && now - (this.#verdict.lastEvent ?? this.#startedAt) > maxAgeMs)
      this.#publish(this.view.clear());
    const state = this.#verdict.state(now);
    if (state === this.#lastState || !this.judged) return;
    this.#options.log.info('peer state changed', {
      peer: this.#options.link.cluster,
      from: this.#lastState ?? 'starting',
      to: state,
    });
    this.#lastState = state;
    onState();
  }

  #publish({ keys }: Changes): void {
    if (keys.length > 0) this.#options.onExports(keys);
  }

  #setFault(reason: LinkFault, message: string): void {
    if (this.#fault?.reason !== reason) {
      this.#options.log.warn('peer is not connected', {
        peer: this.#options.link.cluster,
        reason,
        detail: message,
      });
    }
    this.#fault = { reason, message };
  }
}

function streamReason({ code }: GrpcStatus): LinkFault {
  if (code === grpcCode.permissionDenied || code === grpcCode.unauthenticated) return 'NotAllowed';
  if (code === grpcCode.failedPrecondition) return 'ProtocolMismatch';
  return 'StreamEnded';
}
