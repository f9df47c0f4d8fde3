/**
 * The endpoints of one destination, balanced, with the queue of requests that wait for a ready one.
 *
 * Discovery writes into it (`apply`, `remove`, `empty`), forwarders pick from it. When nothing becomes ready for the failfast time,
 * everything that waits and everything new fails at once, until an endpoint is ready again.
 */
import { Balancer } from '@mesh/balance/balancer';
import { type BreakerOptions, defaultBreaker } from '@mesh/balance/breaker';
import type { Member } from '@mesh/balance/member';
import { defaultTiers, type TierOptions } from '@mesh/balance/tier-choice';
import type { Timer } from '@mesh/clock/clock';
import type { SyntheticReason } from '@mesh/http/synthetic';
import type { LimitLedger } from '@mesh/limits/limits';
import { connectCauses, type ConnectFaultKind } from './connector.ts';
import { Endpoint } from './endpoint.ts';
import { type EndpointSpec, needsHeader, sameEndpoint } from './endpoint-spec.ts';
import type { HttpCells } from './http-metrics.ts';
import type { Lane } from './lane.ts';
import type { DataplaneLimit } from './limits.ts';
import type { SocketObserver } from './peer.ts';
import type { PeerPool } from './peer-pool.ts';
import { SlowBodies } from './slow-bodies.ts';

/** A request or connection that waits for a ready endpoint; exactly one of the two is called. */
export interface PoolWaiter {
  onEndpointsReady(): void;
  onEndpointsFailed(reason: SyntheticReason, detail: string): void;
}

export interface EndpointPoolOptions {
  /** For messages: `cart.shop.svc.cluster.local:80`. */
  name: string;
  peers: PeerPool;
  limits: LimitLedger<DataplaneLimit>;
  /** How long requests wait for a ready endpoint. */
  failfast: 'failfast_outbound_ms' | 'failfast_inbound_ms';
  cells: (spec: EndpointSpec) => HttpCells;
  /** Corrects what discovery says, for what only this program knows. */
  adapt?: (spec: EndpointSpec) => EndpointSpec;
  observer?: (spec: EndpointSpec) => SocketObserver;
  tiers?: TierOptions;
  breaker?: BreakerOptions;
}

export type PoolState = 'unknown' | 'known' | 'empty' | 'absent';

export class EndpointPool {
  readonly name: string;
  /** Of requests to it. */
  readonly bodies: SlowBodies;
  readonly #options: EndpointPoolOptions;
  readonly #balancer: Balancer<Endpoint>;
  readonly #attached: Map<string, Endpoint> = new Map();
  readonly #waiters: Set<PoolWaiter> = new Set();
  #failfast: Timer | undefined;
  #lookAgain: Timer | undefined;
  #failing = false;
  /** Endpoints are being replaced: who waits picks once all are in place. */
  #applying = false;
  #state: PoolState = 'unknown';
  #closed = false;

  constructor(options: EndpointPoolOptions) {
    this.name = options.name;
    this.#options = options;
    this.bodies = new SlowBodies(options.limits);
    const { clock, random } = options.peers.environment;
    this.#balancer = new Balancer<Endpoint>({
      clock,
      random,
      tiers: options.tiers ?? defaultTiers,
      breaker: options.breaker ?? defaultBreaker,
      onReady: () => this.#onReady(),
    });
  }

  /** `unknown` before discovery answered, `absent` when it says that there is no such service. */
  get state(): PoolState {
    return this.#state;
  }

  get size(): number {
    return this.#balancer.size;
  }

  get ready(): number {
    return this.#balancer.ready;
  }

  /** Endpoints that could be reached but are left out for what they answered. */
  get ejected(): number {
    return this.#balancer.ejected;
  }

  /** How often a breaker opened. */
  get ejections(): number {
    return this.#balancer.ejections;
  }

  /** Requests and opaque connections that began at an endpoint and did not end. */
  get inFlight(): number {
    return this.#balancer.inFlight;
  }

  /** Share, 0 to 1, of requests that go from the first tier to the second. */
  get spillShare(): number {
    return this.#balancer.spillShare;
  }

  /** How many ready endpoints of the first tier are enough for all requests. */
  requireReady(enough: number): void {
    this.#balancer.requireReady(enough);
  }

  get activeTier(): number {
    return this.#balancer.activeTier;
  }

  /** Whether one more request or connection may start; counted when not. */
  admits(): boolean {
    const { limits, peers } = this.#options;
    const { in_flight_requests: most } = limits.values;
    if (this.#busy * 2 >= most) this.bodies.look(peers.environment.clock.now());
    if (this.#busy < most || (this.bodies.end() && this.#busy < most)) return true;
    limits.hit('in_flight_requests');
    return false;
  }

  /** Requests wait for a connection of `lane`, and none may be opened for them: slow bodies give up theirs. */
  crowded(lane: Lane): void {
    const { limits, peers } = this.#options;
    const { clock } = peers.environment;
    this.bodies.look(clock.now());
    this.bodies.end(lane, lane.waiting);
    // To know what is slow takes two looks, and nobody else may come.
    this.#lookAgain ??= clock.after(
      limits.values.slow_body_ms,
      () => {
        this.#lookAgain = undefined;
        if (lane.waiting > 0) this.crowded(lane);
      },
      true,
    );
  }

  get #busy(): number {
    return this.#balancer.inFlight + this.#waiters.size;
  }

  get failfastMs(): number {
    const { failfast, limits } = this.#options;
    return limits.values[failfast];
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  members(): IterableIterator<Member<Endpoint>> {
    return this.#balancer.members();
  }

  pick(avoid?: Member<Endpoint>, now?: number): Member<Endpoint> | undefined {
    return this.#balancer.pick(avoid, now);
  }

  /** Waits for a ready endpoint; may fail the waiter before returning. */
  wait(waiter: PoolWaiter): void {
    if (this.#state === 'empty' || this.#state === 'absent') {
      waiter.onEndpointsFailed('no-endpoints', this.#emptyText());
      return;
    }
    if (this.#failing || this.#closed) {
      waiter.onEndpointsFailed(this.#failfastReason(), this.#failfastText());
      return;
    }
    if (this.#waiters.size >= this.#options.limits.values.queue_requests) {
      this.#options.limits.hit('queue_requests');
      waiter.onEndpointsFailed('overloaded', `too many requests wait for an endpoint of ${this.name}`);
      return;
    }
    this.#waiters.add(waiter);
    this.#failfast ??= this.#options.peers.environment.clock.after(this.failfastMs, () => {
      this.#options.limits.hit(this.#options.failfast);
      this.#failfast = undefined;
      this.#failing = true;
      this.#failWaiters(this.#failfastReason(), this.#failfastText());
    });
  }

  withdraw(waiter: PoolWaiter): void {
    if (this.#waiters.delete(waiter) && this.#waiters.size === 0) this.#stopTimer();
  }

  /** Adds or changes endpoints; with `replace` the set becomes exactly these. Of one that is named twice the last word counts. */
  apply(found: readonly EndpointSpec[], { replace }: { replace: boolean }): void {
    const { adapt } = this.#options;
    const specs = new Map<string, EndpointSpec>();
    for (const spec of found) specs.set(spec.key, adapt === undefined ? spec : adapt(spec));
    const entries = Array.from(specs.values(), (spec) => ({
      key: spec.key,
      tier: spec.tier,
      weight: spec.weight,
      ejectable: spec.authorityOverride === '',
      target: this.#endpoint(spec),
    }));
    this.#applying = true;
    if (replace) {
      for (const member of this.#balancer.reset(entries)) this.#dispose(member.target);
    } else {
      for (const entry of entries) this.#balancer.upsert(entry);
    }
    for (const { key, target } of entries) this.#attach(key, target);
    this.#applying = false;
    this.#settle('empty');
    if (this.#balancer.pickable) this.#onReady();
  }

  remove(keys: readonly string[]): void {
    for (const key of keys) {
      const gone = this.#balancer.remove(key);
      if (gone !== undefined) this.#dispose(gone.target);
    }
    this.#settle('empty');
  }

  /** No endpoints; `exists` false: no such service either. */
  empty(exists: boolean): void {
    for (const member of this.#balancer.reset([])) this.#dispose(member.target);
    this.#settle(exists ? 'empty' : 'absent');
  }

  close(): void {
    this.#closed = true;
    this.#lookAgain?.cancel();
    this.#stopTimer();
    this.#failWaiters('failfast', `${this.name} is no longer used`);
    for (const member of this.#balancer.reset([])) this.#dispose(member.target);
  }

  #endpoint(spec: EndpointSpec): Endpoint {
    const known = this.#balancer.get(spec.key)?.target;
    if (known !== undefined && sameEndpoint(known.spec, spec)) return known;
    const target = {
      host: spec.host,
      port: spec.port,
      identity: spec.identity,
      gateway: spec.authorityOverride !== '',
      transportPort: needsHeader(spec) ? spec.transportPort : 0,
    };
    const { peers } = this.#options;
    const observer = this.#options.observer?.(spec);
    const peer = peers.hold(target, observer);
    return new Endpoint(spec, { peer, peers, observer, cells: this.#options.cells(spec) });
  }

  #attach(key: string, endpoint: Endpoint): void {
    const member = this.#balancer.get(key);
    if (member === undefined || endpoint.member === member) return;
    endpoint.member = member;
    member.setReachable(endpoint.reachable);
    const replaced = this.#attached.get(key);
    if (replaced !== undefined && replaced !== endpoint) this.#dispose(replaced);
    this.#attached.set(key, endpoint);
  }

  #dispose(endpoint: Endpoint): void {
    if (this.#attached.get(endpoint.spec.key) === endpoint) this.#attached.delete(endpoint.spec.key);
    endpoint.close();
  }

  #settle(whenNone: 'empty' | 'absent'): void {
    this.#state = this.#balancer.size > 0 ? 'known' : whenNone;
    if (this.#state !== 'known') this.#failWaiters('no-endpoints', this.#emptyText());
  }

  #onReady(): void {
    if (this.#applying) return;
    this.#failing = false;
    this.#stopTimer();
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) waiter.onEndpointsReady();
  }

  #failWaiters(reason: SyntheticReason, detail: string): void {
    this.#stopTimer();
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) waiter.onEndpointsFailed(reason, detail);
  }

  #stopTimer(): void {
    this.#failfast?.cancel();
    this.#failfast = undefined;
  }

  #emptyText(): string {
    return this.#state === 'absent' ? `${this.name} does not exist` : `${this.name} has no endpoints`;
  }

  /** What all endpoints have in common, if it has an answer of its own. */
  #failfastReason(): SyntheticReason {
    let common: ConnectFaultKind | undefined;
    for (const { target } of this.#balancer.members()) {
      const kind = target.lastFault?.kind;
      if (kind === undefined || (common !== undefined && kind !== common)) return 'failfast';
      common = kind;
    }
    return common === undefined ? 'failfast' : connectCauses[common];
  }

  #failfastText(): string {
    let why = this.#state === 'unknown' ? 'discovery has not answered yet' : '';
    for (const { target } of this.#balancer.members()) {
      const { lastFault } = target;
      if (lastFault !== undefined) why = `last fault: ${lastFault.detail}`;
    }
    const text = `no endpoint of ${this.name} became ready within ${this.failfastMs} ms`;
    return why === '' ? text : `${text}; ${why}`;
  }
}
