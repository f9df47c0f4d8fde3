import type { Clock, Timer } from '@mesh/clock/clock';

interface Pending {
  at: number;
  order: number;
  task: () => void;
  periodMs: number | undefined;
}

/** A clock that moves only when told to. Timers fire in order of time, then of creation. */
export class FakeClock implements Clock {
  readonly #pending: Set<Pending> = new Set();
  #now = 0;
  #order = 0;
  #wallOffset: number;

  constructor(wallStart = Date.UTC(2026, 0, 1)) {
    this.#wallOffset = wallStart;
  }

  now(): number {
    return this.#now;
  }

  wall(): number {
    return this.#wallOffset + this.#now;
  }

  /** Moves the wall clock alone, as an operator or NTP would. */
  jumpWall(deltaMs: number): void {
    this.#wallOffset += deltaMs;
  }

  after(delayMs: number, task: () => void): Timer {
    return this.#add(delayMs, task, undefined);
  }

  every(periodMs: number, task: () => void): Timer {
    return this.#add(periodMs, task, periodMs);
  }

  /** Number of timers that still wait; a test may assert it is 0 at the end. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Moves time on by `deltaMs`, firing what falls due on the way. */
  advance(deltaMs: number): void {
    const end = this.#now + deltaMs;
    for (;;) {
      let next: Pending | undefined;
      for (const candidate of this.#pending) {
        if (candidate.at > end) continue;
        if (
          next === undefined ||
          candidate.at < next.at ||
          (candidate.at === next.at && candidate.order < next.order)
        ) {
          next = candidate;
        }
      }
      if (next === undefined) break;
      this.#now = Math.max(this.#now, next.at);
      if (next.periodMs === undefined) this.#pending.delete(next);
      else next.at += next.periodMs;
      next.task();
    }
    this.#now = end;
  }

  /** `advance` in small steps, letting promises settle between them. */
  async advanceAsync(deltaMs: number, stepMs = deltaMs): Promise<void> {
    for (let moved = 0; moved < deltaMs; moved += stepMs) {
      this.advance(Math.min(stepMs, deltaMs - moved));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #add(delayMs: number, task: () => void, periodMs: number | undefined): Timer {
    const pending: Pending = { at: this.#now + Math.max(0, delayMs), order: this.#order++, task, periodMs };
    this.#pending.add(pending);
    return { cancel: () => this.#pending.delete(pending) };
  }
}
