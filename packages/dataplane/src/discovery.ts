/**
 * Endpoints of destinations: one `Get` stream per authority, feeding one pool, kept while used and a while longer.
 *
 * The first `add` of each stream replaces the set; until it comes, what was known before a reconnect stays in use.
 */
import type { Clock, Timer } from '@mesh/clock/clock';
import { Destination, type Update, type UpdateSchema } from '@mesh/control-api/gen/linkerd/destination_pb';
import type { RunningStream } from '@mesh/control-api/grpc-client';
import type { GrpcStatus } from '@mesh/control-api/status';
import type { LimitLedger } from '@mesh/limits/limits';
import { TokenBucket } from '@mesh/limits/token-bucket';
import type { Logger } from '@mesh/telemetry/log';
import type { MetricRegistry } from '@mesh/telemetry/metrics';
import { BalancerMetrics } from './balancer-metrics.ts';
import type { ControlStreams, KeptStreamHandler } from './control-channel.ts';
import { EndpointPool, type EndpointPoolOptions } from './endpoint-pool.ts';
import { addressKey, type EndpointSpec, endpointSpec } from './endpoint-spec.ts';
import type { DataplaneLimit } from './limits.ts';

export interface DiscoveryOptions {
  clock: Clock;
  log: Logger;
  channel: ControlStreams;
  registry: MetricRegistry;
  limits: LimitLedger<DataplaneLimit>;
  /** `context_token` of each question: who asks. */
  contextToken: string;
  /** Of the pools that are made, but for name and limits. */
  pool: Omit<EndpointPoolOptions, 'name' | 'limits'>;
  /** How long a destination that nobody uses is kept. */
  idleMs: number;
  /** Endpoints for which it is false are left out. Default: all are taken. */
  accepts?: (spec: EndpointSpec) => boolean;
}

/** One watched destination; give it back with `release`. */
export class Target implements KeptStreamHandler<typeof UpdateSchema> {
  /** host:port asked for. */
  readonly authority: string;
  readonly pool: EndpointPool;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #accepts: (spec: EndpointSpec) => boolean;
  #stream: RunningStream | undefined;
  /** No `add` came on the current stream yet. */
  #fresh = true;
  #answered = false;
  /** When the stream ended that has not spoken since. */
  #silentSince: number | undefined;
  holders = 0;
  idleTimer: Timer | undefined;

  constructor(
    authority: string,
    pool: EndpointPool,
    { clock, log, accepts = () => true }: Pick<DiscoveryOptions, 'clock' | 'log' | 'accepts'>,
  ) {
    this.authority = authority;
    this.pool = pool;
    this.#clock = clock;
    this.#log = log;
    this.#accepts = accepts;
  }

  watch(channel: ControlStreams, contextToken: string): void {
    this.#stream = channel.keep(Destination.method.get, { path: this.authority, contextToken }, this);
  }

  /** How long what is known may have been outdated, ms: 0 while watched. Undefined before the first word. */
  get ageMs(): number | undefined {
    if (!this.#answered) return undefined;
    return this.#silentSince === undefined ? 0 : this.#clock.now() - this.#silentSince;
  }

  onMessage({ update }: Update, first: boolean): void {
    if (first) this.#fresh = true;
    this.#answered = true;
    this.#silentSince = undefined;
    switch (update.case) {
      case 'add': {
        this.pool.requireReady(update.value.enoughReady);
        const specs: EndpointSpec[] = [];
        for (const entry of update.value.addrs) {
          const spec = endpointSpec(entry, update.value.metricLabels);
          if (spec !== undefined && this.#accepts(spec)) specs.push(spec);
        }
        if (specs.length === 0) {
          // Endpoints that are not for us: as far as we are concerned there are none.
          if (this.#fresh && update.value.addrs.length > 0) this.pool.empty(true);
          return;
        }
        this.pool.apply(specs, { replace: this.#fresh });
        this.#fresh = false;
        return;
      }
      case 'remove':
        // Before the first set of a stream there is nothing that it could refer to.
        if (!this.#fresh) {
          this.pool.remove(
            update.value.addrs.map(addressKey).filter((key): key is string => key !== undefined),
          );
        }
        return;
      case 'noEndpoints':
        this.#fresh = false;
        this.pool.empty(update.value.exists);
        return;
      default:
    }
  }

  onRejected(status: GrpcStatus): void {
    this.#log.warn('discovery rejected', { authority: this.authority, detail: status.message });
    this.pool.empty(false);
  }

  onInterrupted(agoMs = 0): void {
    this.#silentSince ??= this.#clock.now() - agoMs;
  }

  close(): void {
    this.idleTimer?.cancel();
    this.#stream?.cancel();
    this.pool.close();
  }
}

export class Discovery {
  readonly #options: DiscoveryOptions;
  readonly #targets: Map<string, Target> = new Map();
  /** Those that nobody uses, the longest unused first. */
  readonly #idle: Set<Target> = new Set();
  readonly #evictions: TokenBucket;

  constructor(options: DiscoveryOptions) {
    this.#options = options;
    const { clock, limits, registry } = options;
    this.#evictions = new TokenBucket(limits.values.discovered_target_evictions, clock.now());
    const age = registry.gauge(
      'mesh_discovery_age_seconds',
      'How long the endpoints of a destination in use have not been watched; 0 while they are.',
      { merge: 'max' },
    );
    const balancers = new BalancerMetrics(registry);
    registry.onCollect(() => {
      for (const { authority, pool, ageMs } of this.#targets.values()) {
        if (ageMs !== undefined) age.with({ authority }).set(ageMs / 1000);
        balancers.update(authority, pool);
      }
    });
    this.#forget = (authority) => {
      age.remove({ authority });
      balancers.forget(authority);
    };
  }

  readonly #forget: (authority: string) => void;

  get size(): number {
    return this.#targets.size;
  }

  /** Whether all targets are held, and there may be no more of them. */
  get full(): boolean {
    return this.#targets.size >= this.#options.limits.values.discovered_targets && this.#idle.size === 0;
  }

  /** The target of this authority, watched; undefined when too many are in use. */
  hold(authority: string): Target | undefined {
    const known = this.#targets.get(authority);
    if (known !== undefined) {
      known.holders++;
      this.#idle.delete(known);
      known.idleTimer?.cancel();
      known.idleTimer = undefined;
      return known;
    }
    const { channel, contextToken, limits } = this.#options;
    if (!this.#hasRoom()) return undefined;
    const pool = new EndpointPool({ ...this.#options.pool, name: authority, limits });
    const target = new Target(authority, pool, this.#options);
    target.holders = 1;
    this.#targets.set(authority, target);
    target.watch(channel, contextToken);
    return target;
  }

  release(target: Target): void {
    target.holders--;
    if (target.holders > 0 || this.#targets.get(target.authority) !== target) return;
    const { clock, idleMs } = this.#options;
    this.#idle.add(target);
    target.idleTimer = clock.after(idleMs, () => this.#remove(target), true);
  }

  close(): void {
    for (const target of this.#targets.values()) target.close();
    this.#targets.clear();
    this.#idle.clear();
  }

  #hasRoom(): boolean {
    const { clock, limits } = this.#options;
    if (this.#targets.size < limits.values.discovered_targets) return true;
    limits.hit('discovered_targets');
    const [longest] = this.#idle;
    if (longest === undefined) return false;
    if (!this.#evictions.take(clock.now())) {
      limits.hit('discovered_target_evictions');
      return false;
    }
    this.#remove(longest);
    return true;
  }

  #remove(target: Target): void {
    this.#targets.delete(target.authority);
    this.#idle.delete(target);
    this.#forget(target.authority);
    target.close();
  }
}
