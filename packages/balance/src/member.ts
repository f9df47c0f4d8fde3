/**
 * One endpoint inside a balancer: its load, its breaker and whether it can be picked.
 *
 * Per request: `begin`, then `observe` once with the time to the first answer, `answered` if it begins well before it ends,
 * `succeed`, `fail` or `refuse` with the verdict, and `end`. None of them allocates.
 */
import type { Clock, Random } from '@mesh/clock/clock';
import { Breaker, type BreakerOptions } from './breaker.ts';
import { PeakEwma, type PeakEwmaOptions } from './peak-ewma.ts';

export interface MemberSpec<Target> {
  /** Identifies the endpoint across updates. */
  readonly key: string;
  /** 0 is preferred. */
  readonly tier: number;
  /** How many plain endpoints this one stands for; above 0. */
  readonly weight: number;
  /** False: failed responses never take it out (a gateway serves many services). */
  readonly ejectable: boolean;
  readonly target: Target;
}

/** What a member tells its balancer. */
export interface MemberOwner<Target> {
  /** Sum over all members, removed ones included; kept by the members. */
  inFlight: number;
  /** How often a breaker opened; kept by the members. */
  ejections: number;
  /** May be pickable or no longer so. */
  onAvailability(member: Member<Target>): void;
  mayEject(member: Member<Target>): boolean;
}

interface MemberOptions {
  clock: Clock;
  random: Random;
  ewma: PeakEwmaOptions;
  breaker: BreakerOptions;
}

export class Member<Target> {
  readonly key: string;
  readonly #clock: Clock;
  readonly #owner: MemberOwner<Target>;
  readonly #ewma: PeakEwma;
  readonly #breaker: Breaker;
  #ejectable: boolean;
  #reachable = true;
  /** Monotonic milliseconds of the last refusal that counted. */
  #refusedAt = Number.NEGATIVE_INFINITY;
  tier: number;
  weight: number;
  target: Target;
  /** Requests (or connections) that began and did not end. */
  inFlight = 0;
  /** Place in the ready list of its tier, −1 when not there; kept by the balancer. */
  readyIndex = -1;
  /** Kept by the balancer: a half-open member waits for its probe. */
  waitsForProbe = false;
  /** Kept by the balancer: false once removed from it. */
  attached = true;

  constructor(spec: MemberSpec<Target>, owner: MemberOwner<Target>, options: MemberOptions) {
    this.key = spec.key;
    this.tier = spec.tier;
    this.weight = spec.weight;
    this.target = spec.target;
    this.#ejectable = spec.ejectable;
    this.#owner = owner;
    this.#clock = options.clock;
    this.#ewma = new PeakEwma(options.ewma, options.clock.now());
    this.#breaker = new Breaker(
      {
        mayOpen: () => this.#ejectable && this.#owner.mayEject(this),
        onBreaker: (state) => {
          if (state === 'open') this.#owner.ejections++;
          this.#owner.onAvailability(this);
        },
      },
      { options: options.breaker, clock: options.clock, random: options.random },
    );
  }

  /** Can be connected to, as far as known. */
  get reachable(): boolean {
    return this.#reachable;
  }

  /** Reachable and not ejected. */
  get ready(): boolean {
    return this.#reachable && this.#breaker.state === 'closed';
  }

  get ejected(): boolean {
    return this.#breaker.state !== 'closed';
  }

  get halfOpen(): boolean {
    return this.#reachable && this.#breaker.state === 'half-open';
  }

  /**
   * Expected cost of one more request, ms: round trip × (in-flight per unit of weight + 1).
   *
   * The balancer draws a member as often as its weight says, as if it were that many replicas; this is the load of
   * one of them. Dividing the whole product by the weight instead would give an idle heavy member every request.
   */
  cost(now: number): number {
    return this.#ewma.read(now) * (this.inFlight / this.weight + 1);
  }

  begin(): void {
    this.inFlight++;
    this.#owner.inFlight++;
  }

  end(): void {
    this.inFlight--;
    this.#owner.inFlight--;
  }

  /** Time to the first answer; for a request that was given up, the time it waited in vain. */
  observe(rttMs: number, now: number): void {
    this.#ewma.observe(rttMs, now);
  }

  /** Round-trip estimate, ms. */
  get rttMs(): number {
    return this.#ewma.read(this.#clock.now());
  }

  /** An answer began that is no failure so far; the verdict follows. */
  answered(): void {
    this.#breaker.answered();
  }

  succeed(): void {
    this.#breaker.success();
  }

  fail(): void {
    this.#breaker.failure();
  }

  /**
   * As `fail`, by a refusal. A connection that its peer replaces (GOAWAY) refuses all that cross its end: of those that `begun`, ms of
   * the clock, before the last that counted none is a further sign.
   */
  refuse(begun: number): void {
    if (begun < this.#refusedAt) return;
    this.#refusedAt = this.#clock.now();
    this.#breaker.failure();
  }

  /** The request ended without telling anything about the endpoint. */
  forgo(): void {
    this.#breaker.abandonProbe();
  }

  startProbe(): void {
    this.#breaker.startProbe();
  }

  /** Connection-level verdict; takes effect at once. */
  setReachable(reachable: boolean): void {
    if (reachable === this.#reachable) return;
    this.#reachable = reachable;
    this.#owner.onAvailability(this);
  }

  /** Takes over changed facts, keeping the load state. */
  update(spec: MemberSpec<Target>): void {
    this.tier = spec.tier;
    this.weight = spec.weight;
    this.target = spec.target;
    this.#ejectable = spec.ejectable;
  }

  dispose(): void {
    this.attached = false;
    this.#breaker.dispose();
  }
}
