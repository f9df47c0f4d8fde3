import { atTurnEndLast, type TurnTask } from './turn.ts';

/** One task at least for each so many milliseconds, however long turns are. */
export interface Pace {
  readonly everyMs: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/**
 * Work that many can ask for at once, and that takes long beside what else a turn of the event loop does: so much of it at the end of one
 * turn, when what is under way has been written, then some turns of everybody else. A turn in which nothing is to do costs microseconds.
 * Where turns are long, since others have much to do or the machine has, more of it is done in one: it has its part of the time, too.
 */
export class TurnShare implements TurnTask {
  readonly #most: number;
  readonly #pause: number;
  readonly #waiting: (() => void)[] = [];
  readonly #pace: Pace | undefined;
  /** When tasks began last, or those that wait came first. */
  #since = 0;
  /** Turns of everybody else that are still to come. */
  #pauseLeft = 0;
  #armed = false;
  #running = false;

  /**
   * @param most tasks in one turn
   * @param pause turns without any behind one with some
   * @param pace undefined: turns alone count
   */
  constructor(most: number, pause: number, pace?: Pace) {
    this.#most = most;
    this.#pause = pause;
    this.#pace = pace;
  }

  /** Runs the task at the end of this turn, or, behind those that wait, of a later one: then the answer is false. */
  take(task: () => void): boolean {
    if (!this.#armed && !this.#running) this.#since = this.#pace?.now() ?? 0;
    this.#waiting.push(task);
    this.#arm();
    return !this.#running && this.#pauseLeft === 0 && this.#waiting.length <= this.#most;
  }

  onTurnEnd(): void {
    this.#armed = false;
    if (this.#pauseLeft > 0) {
      this.#pauseLeft--;
    } else {
      const tasks = this.#waiting.splice(0, Math.max(this.#most, this.#due()));
      if (tasks.length > 0) this.#pauseLeft = this.#pause;
      this.#running = true;
      for (const task of tasks) task();
      this.#running = false;
    }
    if (this.#pauseLeft > 0 || this.#waiting.length > 0) this.#arm();
  }

  /** How many have come due by the time that passed. */
  #due(): number {
    if (this.#pace === undefined) return 0;
    const { now, everyMs } = this.#pace;
    const at = now();
    const due = Math.floor((at - this.#since) / everyMs);
    this.#since = at;
    return due;
  }

  #arm(): void {
    if (this.#armed) return;
    this.#armed = true;
    atTurnEndLast(this);
  }
}
