/**
 * Policies of the pod's ports as the control plane states them, each followed by a stream (`WatchPort`).
 *
 * A port goes by the default policy until the first answer, and by the last answer while the control plane is away. The
 * declared ports are watched from the start, others from their first connection until nobody used them for a while. A port
 * that cannot be watched admits nobody: the default may admit more than the control plane does.
 */
import type { Clock, Timer } from '@mesh/clock/clock';
import {
  InboundServerPolicies,
  type Server,
  type ServerSchema,
} from '@mesh/control-api/gen/linkerd/inbound_pb';
import type { RunningStream } from '@mesh/control-api/grpc-client';
import type { GrpcStatus } from '@mesh/control-api/status';
import type { ControlStreams, KeptStreamHandler } from '@mesh/dataplane/control-channel';
import type { LimitLedger } from '@mesh/limits/limits';
import { TokenBucket } from '@mesh/limits/token-bucket';
import type { Logger } from '@mesh/telemetry/log';
import { type ServerPolicy, serverPolicy } from './inbound-policy.ts';
import type { ProxyLimit } from './limits.ts';

/** The policy of a port, now. */
export interface PortPolicy {
  readonly current: ServerPolicy;
  /** Calls `listener` after each change; the answer ends that. */
  onChange(listener: () => void): () => void;
}

export interface PortPoliciesOptions {
  clock: Clock;
  log: Logger;
  channel: ControlStreams;
  limits: LimitLedger<ProxyLimit>;
  /** Who asks, `PortSpec.workload`; empty for a proxy that has no pod, whose ports go by the default. */
  workload: string;
  /** Watched from the start. */
  ports: readonly number[];
  /** Policy of a port that nothing is known of. */
  fallback: (port: number) => ServerPolicy;
  /** How long a port that nobody uses is watched. */
  idleMs: number;
}

class WatchedPort implements PortPolicy, KeptStreamHandler<typeof ServerSchema> {
  readonly port: number;
  readonly #log: Logger;
  readonly #listeners: Set<() => void> = new Set();
  readonly #fallback: ServerPolicy;
  #current: ServerPolicy;
  #interrupted = false;
  stream: RunningStream | undefined;
  holders = 0;
  idle: Timer | undefined;

  constructor(port: number, fallback: ServerPolicy, log: Logger) {
    this.port = port;
    this.#fallback = fallback;
    this.#current = fallback;
    this.#log = log;
  }

  get current(): ServerPolicy {
    return this.#current;
  }

  /** Something was said of it. */
  get answered(): boolean {
    return this.#current !== this.#fallback;
  }

  /** What was said of it could not be asked for again: without it the port would go by the default. */
  get irreplaceable(): boolean {
    return this.answered && this.#interrupted;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  onMessage(server: Server): void {
    this.#interrupted = false;
    this.#current = serverPolicy(server, this.#fallback.detectTimeoutMs);
    if (this.#current.invalid) this.#log.error('policy of a port cannot be read', { port: this.port });
    for (const listener of this.#listeners) listener();
  }

  onInterrupted(): void {
    this.#interrupted = true;
  }

  onRejected({ message }: GrpcStatus): void {
    this.#log.warn('the policy of a port was refused', { port: this.port, detail: message });
  }

  stop(): void {
    this.idle?.cancel();
    this.stream?.cancel();
  }
}

export class PortPolicies {
  readonly #options: PortPoliciesOptions;
  readonly #ports: Map<number, WatchedPort> = new Map();
  readonly #permanent: ReadonlySet<number>;
  /** Those that nobody uses, the longest unused first. */
  readonly #idle: Set<WatchedPort> = new Set();
  readonly #evictions: TokenBucket;

  constructor(options: PortPoliciesOptions) {
    this.#options = options;
    const { clock, limits } = options;
    this.#evictions = new TokenBucket(limits.values.policy_port_evictions, clock.now());
    this.#permanent = new Set(options.workload === '' ? [] : options.ports);
  }

  /** Watches the declared ports. */
  start(): void {
    for (const port of this.#permanent) this.#watch(port);
  }

  get size(): number {
    return this.#ports.size;
  }

  /** The policy of a port, kept up until it is released; undefined when too many are in use: nobody may be admitted then. */
  hold(port: number): PortPolicy | undefined {
    const { log, fallback, workload } = this.#options;
    let known = this.#ports.get(port);
    if (known === undefined) {
      if (workload === '') return new WatchedPort(port, fallback(port), log);
      if (!this.#hasRoom()) return undefined;
      known = this.#watch(port);
    }
    known.holders++;
    this.#idle.delete(known);
    known.idle?.cancel();
    return known;
  }

  release(policy: PortPolicy): void {
    const known = policy as WatchedPort;
    if (this.#ports.get(known.port) !== known || --known.holders > 0 || this.#permanent.has(known.port))
      return;
    this.#idle.add(known);
    this.#forgetLater(known);
  }

  close(): void {
    for (const known of this.#ports.values()) known.stop();
    this.#ports.clear();
    this.#idle.clear();
  }

  /** Anybody can knock at many ports, and that must neither cost the others their policies nor wear the control plane out. */
  #hasRoom(): boolean {
    const { clock, limits } = this.#options;
    if (this.#ports.size - this.#permanent.size < limits.values.policy_ports) return true;
    limits.hit('policy_ports');
    const leaving = this.#leastNeeded();
    if (leaving === undefined) return false;
    if (!this.#evictions.take(clock.now())) {
      limits.hit('policy_port_evictions');
      return false;
    }
    this.#forget(leaving);
    return true;
  }

  /** Of those that nobody uses the longest unused without an answer, else of those whose answer would come again. */
  #leastNeeded(): WatchedPort | undefined {
    let found: WatchedPort | undefined;
    for (const watched of this.#idle) {
      if (!watched.answered) return watched;
      if (!watched.irreplaceable) found ??= watched;
    }
    return found;
  }

  #forgetLater(watched: WatchedPort): void {
    const { clock, idleMs } = this.#options;
    watched.idle = clock.after(
      idleMs,
      () => {
        if (watched.irreplaceable) this.#forgetLater(watched);
        else this.#forget(watched);
      },
      true,
    );
  }

  #forget(watched: WatchedPort): void {
    this.#ports.delete(watched.port);
    this.#idle.delete(watched);
    watched.stop();
  }

  #watch(port: number): WatchedPort {
    const { channel, fallback, log, workload } = this.#options;
    const watched = new WatchedPort(port, fallback(port), log);
    this.#ports.set(port, watched);
    watched.stream = channel.keep(InboundServerPolicies.method.watchPort, { workload, port }, watched);
    return watched;
  }
}
