/** One direction of a TCP connection in simulated time: delay, loss with recovery, stalls, in order. */
import type { Clock, Random } from '@mesh/clock/clock';

export interface SimulatedPathOptions {
  clock: Clock;
  random: Random;
  delayMs: number;
  /** Share of segments lost, 0 to 1; a retransmission may be lost as well. */
  loss: number;
  /** From a loss to the arrival of what is sent again, beyond the delay; again for each further loss. */
  recoveryMs: number;
}

export class SimulatedPath {
  readonly #options: SimulatedPathOptions;
  #lastDelivery = 0;
  #stalledUntil = 0;
  /** Swallows everything from now on. */
  dead = false;

  constructor(options: SimulatedPathOptions) {
    this.#options = options;
  }

  /** `arrived` is called when the other kernel has the segment, `deliver` when it and all before it are there. */
  send(deliver: () => void, arrived: () => void): void {
    const { clock, delayMs, loss, random, recoveryMs } = this.#options;
    let lateMs = 0;
    while (random.next() < loss) lateMs += recoveryMs;
    const arrival = clock.now() + delayMs + lateMs;
    this.#lastDelivery = Math.max(this.#lastDelivery, arrival);
    this.#at(arrival, arrived);
    this.#at(this.#lastDelivery, deliver);
  }

  /** An acknowledgement without data: never sent again, and not held up by what is. */
  acknowledge(arrived: () => void): void {
    const { clock, delayMs, loss, random } = this.#options;
    if (random.next() >= loss) this.#at(clock.now() + delayMs, arrived);
  }

  /** Delivers nothing for `ms`, then all that was held up. */
  stall(ms: number): void {
    this.#stalledUntil = this.#options.clock.now() + ms;
  }

  #at(time: number, task: () => void): void {
    const { clock } = this.#options;
    clock.after(time - clock.now(), () => {
      if (this.dead) return;
      if (clock.now() < this.#stalledUntil) this.#at(this.#stalledUntil, task);
      else task();
    });
  }
}
