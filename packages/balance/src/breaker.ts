/**
 * Consecutive-failure breaker of one endpoint.
 *
 * `closed` → `maxFailures` failures in a row → `open` for a back-off → `half-open` → one probe → `closed` once it is answered,
 * or `open` again for twice as long. A probe of which nothing is heard for that time makes room for the next. Who owns
 * the breaker decides whether it may open, because ejecting the last ready endpoint helps nobody.
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
  readonly #afterPause: () => void;
  #failures = 0;
  /** Pauses since the last success. */
  #pauses = 0;
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
    this.#afterPause = () => {
      if (this.state === 'probing') this.#pauses++;
      this.#become('half-open');
    };
  }

  success(): void {
    this.#failures = 0;
    // A late success from before the opening says nothing about now; only the probe closes.
    this.answered();
    if (this.state === 'closed') this.#pauses = 0;
  }

  /**
   * A good answer began. That is enough to be back: the end of a stream may be days away. But the next pause is short again only after a
   * success: an answer that began well may end in an error each time.
   */
  answered(): void {
    if (this.state === 'probing') this.#become('closed');
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
  }

  #open(): void {
    this.#failures = 0;
    this.#become('open');
    this.#pauses++;
  }

  #become(state: BreakerState): void {
    this.#timer?.cancel();
    // A probe gets as long as the pause that its failure would bring.
    if (state === 'open' || state === 'probing') {
      const pauseMs = backoffMs(this.#pauses, this.#random, this.#options);
      this.#timer = this.#clock.after(pauseMs, this.#afterPause, true);
    }
    this.state = state;
    this.#owner.onBreaker(state);
  }
}
