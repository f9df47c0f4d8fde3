/**
 * Which tier gets the next request.
 *
 * The lowest tier that has enough ready endpoints is used. Leaving a tier is immediate. The way back to a lower one
 * is damped: it must have been enough for `holdOffMs` without a break, then its share grows linearly over `rampMs`,
 * so that endpoints that just came back are not hit by everything at once.
 */
import type { Random } from '@mesh/clock/clock';

export interface TierOptions {
  /** Share of a tier's endpoints that must be ready for it to count as enough; at least one always must. */
  readonly enoughShare: number;
  readonly holdOffMs: number;
  readonly rampMs: number;
}

export const defaultTiers: TierOptions = { enoughShare: 0, holdOffMs: 5000, rampMs: 10_000 };

/** Counts of one tier, kept by the balancer. */
export interface TierCounts {
  readonly ready: number;
  readonly size: number;
}

export class TierChoice {
  readonly #options: TierOptions;
  /** Tier in use; −1 before the first one was enough. */
  #active = -1;
  /** Lower tier on its way back; −1 for none. */
  #returning = -1;
  #returningSince = 0;

  constructor(options: TierOptions) {
    this.#options = options;
  }

  /** Call after every change of counts. `tiers` is indexed by tier. */
  update(tiers: readonly TierCounts[], now: number): void {
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
    if (this.#returning !== best) {
      this.#returning = best;
      this.#returningSince = now;
    }
  }

  /** The tier for one request; −1 when no tier has a ready endpoint. */
  choose(tiers: readonly TierCounts[], now: number, random: Random): number {
    if (this.#returning !== -1) {
      const share = this.returnShare(now);
      if (share >= 1) {
        this.#active = this.#returning;
        this.#returning = -1;
      } else if (share > 0 && random.next() < share) {
        return this.#returning;
      }
    }
    return this.#active !== -1 && (tiers[this.#active]?.ready ?? 0) > 0 ? this.#active : -1;
  }

  /** Tier in use; −1 for none yet. */
  get active(): number {
    return this.#active;
  }

  /** Share of requests, 0 to 1, that the returning tier gets; 0 when none returns. */
  returnShare(now: number): number {
    if (this.#returning === -1) return 0;
    const ramped = now - this.#returningSince - this.#options.holdOffMs;
    if (ramped < 0) return 0;
    return this.#options.rampMs === 0 ? 1 : Math.min(1, ramped / this.#options.rampMs);
  }

  #best(tiers: readonly TierCounts[]): number {
    let fallback = -1;
    for (let tier = 0; tier < tiers.length; tier++) {
      const counts = tiers[tier];
      if (counts === undefined || counts.ready === 0) continue;
      if (counts.ready >= this.#options.enoughShare * counts.size) return tier;
      if (fallback === -1) fallback = tier;
    }
    return fallback;
  }
}
