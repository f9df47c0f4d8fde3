/**
 * Tiers of endpoints with two random choices and a peak-EWMA cost.
 *
 * `pick` costs at most four random numbers and two cost readings, whatever the number of endpoints, and allocates nothing. Members keep
 * their load state over updates of the endpoint set.
 */
import type { Clock, Random } from '@mesh/clock/clock';
import { type BreakerOptions, defaultBreaker } from './breaker.ts';
import { Member, type MemberOwner, type MemberSpec } from './member.ts';
import { defaultPeakEwma, type PeakEwmaOptions } from './peak-ewma.ts';
import { ReadyList } from './ready-list.ts';
import { defaultTiers, TierChoice, type TierOptions } from './tier-choice.ts';

export interface BalancerOptions {
  clock: Clock;
  random: Random;
  ewma?: PeakEwmaOptions;
  breaker?: BreakerOptions;
  tiers?: TierOptions;
  /** Called when an endpoint can be picked after a time when none could; at times also when another could. */
  onReady?: () => void;
}

/** Highest tier number that is kept apart; higher ones share the last. */
const lastTier = 7;

export class Balancer<Target> implements MemberOwner<Target> {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #ewma: PeakEwmaOptions;
  readonly #breaker: BreakerOptions;
  readonly #members: Map<string, Member<Target>> = new Map();
  readonly #tiers: ReadyList<Target>[] = [];
  readonly #choice: TierChoice;
  readonly #probes: Member<Target>[] = [];
  readonly #onReady: (() => void) | undefined;
  #ready = 0;
  inFlight = 0;
  /** How often a member was ejected since the start. */
  ejections = 0;
  /** A whole set is being replaced: tiers are judged once, at its end. */
  #replacing = false;

  constructor(options: BalancerOptions) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#ewma = options.ewma ?? defaultPeakEwma;
    this.#breaker = options.breaker ?? defaultBreaker;
    this.#choice = new TierChoice(options.tiers ?? defaultTiers);
    this.#onReady = options.onReady;
  }

  get size(): number {
    return this.#members.size;
  }

  /** Members that are reachable and not ejected. */
  get ready(): number {
    return this.#ready;
  }

  /** Whether `pick` finds a member. */
  get pickable(): boolean {
    for (const member of this.#members.values()) if (member.reachable) return true;
    return false;
  }

  /** Reachable members that are left out for what they answered. */
  get ejected(): number {
    let count = 0;
    for (const member of this.#members.values()) if (member.reachable && member.ejected) count++;
    return count;
  }

  /** Tier that carries traffic; −1 before any was ready. */
  get activeTier(): number {
    return this.#choice.active;
  }

  /** Share, 0 to 1, of what the first tier would get that goes to the second, because too few of its members are ready. */
  get spillShare(): number {
    return this.#choice.active === 0 ? this.#choice.spillShare(this.#tiers) : 0;
  }

  /** How many ready members of the first tier are enough for everything; 1 at the start. */
  requireReady(enough: number): void {
    this.#choice.enough = Math.max(1, enough);
  }

  members(): IterableIterator<Member<Target>> {
    return this.#members.values();
  }

  get(key: string): Member<Target> | undefined {
    return this.#members.get(key);
  }

  /**
   * The member for one request, or undefined when none can be picked. `avoid` (the one that just failed) is taken
   * only when nothing else is there.
   */
  pick(avoid?: Member<Target>, now: number = this.#clock.now()): Member<Target> | undefined {
    if (this.#probes.length > 0) {
      const probe = this.#takeProbe(avoid);
      if (probe !== undefined) return probe;
    }
    const tier = this.#choice.choose(this.#tiers, now, this.#random);
    if (tier === -1) return this.#pickEjected(avoid, now);
    const list = this.#tiers[tier];
    if (avoid !== undefined && list?.ready === 1 && list.has(avoid)) return this.#elsewhere(tier, avoid, now);
    return list?.draw(now, this.#random, avoid);
  }

  /** Adds an endpoint or takes over its changed facts. */
  upsert(spec: MemberSpec<Target>): Member<Target> {
    const known = this.#members.get(spec.key);
    const placed = spec.tier > lastTier ? { ...spec, tier: lastTier } : spec;
    if (known === undefined) {
      const member = new Member(placed, this, {
        clock: this.#clock,
        random: this.#random,
        ewma: this.#ewma,
        breaker: this.#breaker,
      });
      this.#members.set(spec.key, member);
      this.#enter(member);
      return member;
    }
    const tierChanged = known.tier !== placed.tier;
    if (tierChanged) this.#leave(known);
    known.update(placed);
    if (tierChanged) this.#enter(known);
    else this.#tier(known.tier).touch();
    return known;
  }

  /** Removes an endpoint; requests in flight on it may still end. */
  remove(key: string): Member<Target> | undefined {
    const member = this.#members.get(key);
    if (member === undefined) return undefined;
    this.#members.delete(key);
    member.dispose();
    this.#leave(member);
    this.#judge();
    return member;
  }

  /** Replaces the whole set; returns what is no longer in it. */
  reset(specs: Iterable<MemberSpec<Target>>): Member<Target>[] {
    const before = this.#ready;
    const kept = new Set<string>();
    const gone: Member<Target>[] = [];
    this.#replacing = true;
    for (const spec of specs) {
      this.upsert(spec);
      kept.add(spec.key);
    }
    for (const key of this.#members.keys()) {
      if (kept.has(key)) continue;
      const member = this.remove(key);
      if (member !== undefined) gone.push(member);
    }
    this.#replacing = false;
    this.#judge();
    if (before === 0 && this.#ready > 0) this.#onReady?.();
    return gone;
  }

  onAvailability(member: Member<Target>): void {
    if (!member.attached) return;
    this.#leave(member);
    this.#enter(member);
  }

  mayEject(member: Member<Target>): boolean {
    return this.#ready > (member.ready ? 1 : 0);
  }

  #enter(member: Member<Target>): void {
    if (member.ready) {
      this.#tier(member.tier).add(member);
      this.#ready++;
    } else if (member.halfOpen && !member.waitsForProbe) {
      member.waitsForProbe = true;
      this.#probes.push(member);
    }
    if (this.#replacing) return;
    this.#judge();
    // While none is ready, an ejected one that can be reached is picked.
    if (member.reachable && this.#ready === (member.ready ? 1 : 0)) this.#onReady?.();
  }

  #leave(member: Member<Target>): void {
    if (member.readyIndex !== -1) {
      this.#tier(member.tier).remove(member);
      this.#ready--;
    }
    if (member.waitsForProbe) {
      member.waitsForProbe = false;
      this.#probes.splice(this.#probes.indexOf(member), 1);
    }
  }

  /** A half-open member of a tier that is in use or preferred gets the next request, one at a time. */
  #takeProbe(avoid: Member<Target> | undefined): Member<Target> | undefined {
    const { active } = this.#choice;
    for (const member of this.#probes) {
      if (member === avoid || (active !== -1 && member.tier > active)) continue;
      member.startProbe();
      return member;
    }
    return undefined;
  }

  /** The only member of the chosen tier has just failed: the next tier, or else that member again. */
  #elsewhere(tier: number, avoid: Member<Target>, now: number): Member<Target> | undefined {
    for (let other = 0; other < this.#tiers.length; other++) {
      const list = this.#tiers[other];
      if (other !== tier && list !== undefined && list.ready > 0)
        return list.draw(now, this.#random, undefined);
    }
    return avoid;
  }

  /**
   * Nothing is ready. Members that were ejected for failed responses but can be connected to are better than none:
   * the breaker never leaves a service without an endpoint.
   */
  #pickEjected(avoid: Member<Target> | undefined, now: number): Member<Target> | undefined {
    let best: Member<Target> | undefined;
    for (const member of this.#members.values()) {
      if (!member.reachable || member === avoid) continue;
      if (
        best === undefined ||
        member.tier < best.tier ||
        (member.tier === best.tier && member.cost(now) < best.cost(now))
      ) {
        best = member;
      }
    }
    return best ?? (avoid?.reachable === true && avoid.attached ? avoid : undefined);
  }

  #judge(): void {
    if (!this.#replacing) this.#choice.update(this.#tiers, this.#clock.now());
  }

  #tier(tier: number): ReadyList<Target> {
    for (let missing = this.#tiers.length; missing <= tier; missing++) this.#tiers.push(new ReadyList());
    return this.#tiers[tier] as ReadyList<Target>;
  }
}
