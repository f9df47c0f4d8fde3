/**
 * Consecutive-failure breaker of one endpoint.
 *
 * `closed` → `maxFailures` failures in a row → `open` for a back-off → `half-open` → one probe → `closed` on success,
 * or `open` again for twice as long. Who owns the breaker decides whether it may open, because ejecting the last
 * ready endpoint helps nobody.
 */
import { backoffMs, type Clock, type Random, type Timer } from '@mesh/clock/clock';

export interface BreakerOptions {
  readonly maxFailures: number;
  readonly baseMs: number;
  readonly capMs: number;
  readonly jitter: number;
}

export const defaultBreaker: BreakerOptions = { maxFailures: 7, baseMs: 1000, capMs: 60_000, jitter: 0.5 };

export type BreakerState = 'closed' | 'open' | 'half-open' | 'probing';

interface BreakerOwner {
  /** Whether this endpoint may be taken out now. */
  mayOpen(): boolean;
  /** The state changed; it is already in place. */
  onBreaker(state: BreakerState): void;
}

export class Breaker {
  readonly #options: BreakerOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #owner: BreakerOwner;
  readonly #afterBackoff: () => void;
  #failures = 0;
  #openings = 0;
  #timer: Timer | undefined;
  state: BreakerState = 'closed';

  constructor(
    owner: BreakerOwner,
    { options, clock, random }: { options: BreakerOptions; clock: Clock; random: Random },
  ) {
    this.#owner = owner;
    this.#options = options;
    this.#clock = clock;
    this.#random = random;
    this.#afterBackoff = () => {
      this.#timer = undefined;
      this.#become('half-open');
    };
  }

  success(): void {
    this.#failures = 0;
    if (this.state === 'closed') return;
    // A late success from before the opening says nothing about now; only the probe closes.
    if (this.state !== 'probing') return;
    this.#openings = 0;
    this.#become('closed');
  }

  failure(): void {
    if (this.state === 'probing') {
      this.#open();
      return;
    }
    if (this.state !== 'closed') return;
    this.#failures++;
    if (this.#failures >= this.#options.maxFailures && this.#owner.mayOpen()) this.#open();
  }

  /** The probe ended without a verdict (cancelled): the next request may probe. */
  abandonProbe(): void {
    if (this.state === 'probing') this.#become('half-open');
  }

  /** Takes the single probe of a half-open breaker. */
  startProbe(): void {
    this.#become('probing');
  }

  dispose(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #open(): void {
    this.#failures = 0;
    this.#timer?.cancel();
    this.#timer = this.#clock.after(
      backoffMs(this.#openings++, this.#random, this.#options),
      this.#afterBackoff,
      true,
    );
    this.#become('open');
  }

  #become(state: BreakerState): void {
    this.state = state;
    this.#owner.onBreaker(state);
  }
}
