/**
 * Policies of the pod's ports as the control plane states them, each followed by a stream (`WatchPort`).
 *
 * A port goes by the default policy until the first answer, and by the last answer while the control plane is away. The
 * declared ports are watched from the start, others from their first connection until nobody used them for a while.
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

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  onMessage(server: Server): void {
    this.#current = serverPolicy(server, this.#fallback.detectTimeoutMs);
    if (this.#current.invalid) this.#log.error('policy of a port cannot be read', { port: this.port });
    for (const listener of this.#listeners) listener();
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

  constructor(options: PortPoliciesOptions) {
    this.#options = options;
    this.#permanent = new Set(options.workload === '' ? [] : options.ports);
  }

  /** Watches the declared ports. */
  start(): void {
    for (const port of this.#permanent) this.#watch(port);
  }

  get size(): number {
    return this.#ports.size;
  }

  /** What holds for a port now; whoever goes on to serve a connection holds the policy. */
  current(port: number): ServerPolicy {
    const known = this.#ports.get(port);
    if (known !== undefined) return known.current;
    const policy = this.hold(port);
    this.release(policy);
    return policy.current;
  }

  /** The policy of a port, kept up until it is released. */
  hold(port: number): PortPolicy {
    const { limits, log, fallback, workload } = this.#options;
    let known = this.#ports.get(port);
    if (known === undefined) {
      if (workload === '' || !this.#hasRoom(limits)) return new WatchedPort(port, fallback(port), log);
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
    const { clock, idleMs } = this.#options;
    this.#idle.add(known);
    known.idle = clock.after(idleMs, () => this.#forget(known), true);
  }

  close(): void {
    for (const known of this.#ports.values()) known.stop();
    this.#ports.clear();
    this.#idle.clear();
  }

  /** Whoever knocks at many ports must not have the default hold for one that the control plane has a policy for. */
  #hasRoom(limits: LimitLedger<ProxyLimit>): boolean {
    if (this.#ports.size - this.#permanent.size < limits.values.policy_ports) return true;
    limits.hit('policy_ports');
    const [longest] = this.#idle;
    if (longest === undefined) return false;
    this.#forget(longest);
    return true;
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
