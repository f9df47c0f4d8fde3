/**
 * Which tier gets the next request.
 *
 * The lowest tier that has a ready endpoint is used. Leaving a tier is immediate. The way back to a lower one is
 * damped: it must have had one for `holdOffMs` without a break, then its share grows linearly over `rampMs`, so that
 * endpoints that just came back are not hit by everything at once. Each lower tier has its own way back: one that flaps
 * does not hold up another.
 *
 * The first tier may be given a number of endpoints that it needs (`enough`). With fewer ready ones, the part that the missing
 * ones would take goes to the second tier: each that is left serves what it would serve beside all the others. That
 * share has no step in it, so its way back needs no damping. Later tiers hold what was judged bad; nothing spills there.
 */
import type { Random } from '@mesh/clock/clock';

export interface TierOptions {
  readonly holdOffMs: number;
  readonly rampMs: number;
}

export const defaultTiers: TierOptions = { holdOffMs: 5000, rampMs: 10_000 };

/** Counts of one tier, kept by the balancer. */
export interface TierCounts {
  readonly ready: number;
}

export class TierChoice {
  readonly #options: TierOptions;
  /** Tier in use; −1 before the first one was enough. */
  #active = -1;
  /** The lowest tier on its way back, of which there may be several; −1 for none. */
  #returning = -1;
  /** By tier: since when it has a ready endpoint; −1 while it has none. */
  readonly #readySince: number[] = [];
  /** Ready endpoints that the first tier needs to take everything. */
  enough = 1;

  constructor(options: TierOptions) {
    this.#options = options;
  }

  /** Call after every change of counts. `tiers` is indexed by tier. */
  update(tiers: readonly TierCounts[], now: number): void {
    for (const [tier, { ready }] of tiers.entries()) {
      if (ready === 0) this.#readySince[tier] = -1;
      else if ((this.#readySince[tier] ?? -1) === -1) this.#readySince[tier] = now;
    }
    const best = this.#best(tiers);
    if (best === -1) {
      // Keeps what was active: whether the way back needs damping is decided by what carried traffic last.
      this.#returning = -1;
      return;
    }
    const usable = this.#active !== -1 && (tiers[this.#active]?.ready ?? 0) > 0;
    if (!usable || best >= this.#active) {
      this.#active = best;
      this.#returning = -1;
      return;
    }
    this.#returning = best;
  }

  /** The tier for one request; −1 when no tier has a ready endpoint. */
  choose(tiers: readonly TierCounts[], now: number, random: Random): number {
    const tier = this.#preferred(tiers, now, random);
    const spilled = tier === 0 ? this.spillShare(tiers) : 0;
    return spilled > 0 && random.next() < spilled ? 1 : tier;
  }

  /** Share, 0 to 1, of what the first tier would get that goes to the second. */
  spillShare(tiers: readonly TierCounts[]): number {
    const ready = tiers[0]?.ready ?? 0;
    return ready >= this.enough || (tiers[1]?.ready ?? 0) === 0 ? 0 : 1 - ready / this.enough;
  }

  #preferred(tiers: readonly TierCounts[], now: number, random: Random): number {
    if (this.#returning !== -1) {
      for (let tier = this.#returning; tier < this.#active; tier++) {
        const share = this.#returnShare(tier, now);
        if (share >= 1) {
          this.#active = tier;
          if (tier === this.#returning) this.#returning = -1;
        } else if (share > 0 && random.next() < share) {
          return tier;
        }
      }
    }
    return this.#active !== -1 && (tiers[this.#active]?.ready ?? 0) > 0 ? this.#active : -1;
  }

  /** Tier in use; −1 for none yet. */
  get active(): number {
    return this.#active;
  }

  /** Share, 0 to 1, of the requests that no tier below `tier` gets. */
  #returnShare(tier: number, now: number): number {
    const since = this.#readySince[tier] ?? -1;
    const ramped = now - since - this.#options.holdOffMs;
    if (since === -1 || ramped < 0) return 0;
    return this.#options.rampMs === 0 ? 1 : Math.min(1, ramped / this.#options.rampMs);
  }

  #best(tiers: readonly TierCounts[]): number {
    return tiers.findIndex(({ ready }) => ready > 0);
  }
}
