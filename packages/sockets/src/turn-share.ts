import { atTurnEndLast, type TurnTask } from './turn.ts';

/**
 * Work that many can ask for at once, and that takes long beside what else a turn of the event loop does: so much of it at the end of one
 * turn, when what is under way has been written, then some turns of everybody else. A turn in which nothing is to do costs microseconds.
 */
export class TurnShare implements TurnTask {
  readonly #most: number;
  readonly #pause: number;
  readonly #waiting: (() => void)[] = [];
  /** Turns of everybody else that are still to come. */
  #pauseLeft = 0;
  #armed = false;
  #running = false;

  /**
   * @param most tasks in one turn
   * @param pause turns without any behind one with some
   */
  constructor(most: number, pause: number) {
    this.#most = most;
    this.#pause = pause;
  }

  /** Runs the task at the end of this turn, or, behind those that wait, of a later one: then the answer is false. */
  take(task: () => void): boolean {
    this.#waiting.push(task);
    this.#arm();
    return !this.#running && this.#pauseLeft === 0 && this.#waiting.length <= this.#most;
  }

  onTurnEnd(): void {
    this.#armed = false;
    if (this.#pauseLeft > 0) {
      this.#pauseLeft--;
    } else {
      const tasks = this.#waiting.splice(0, this.#most);
      if (tasks.length > 0) this.#pauseLeft = this.#pause;
      this.#running = true;
      for (const task of tasks) task();
      this.#running = false;
    }
    if (this.#pauseLeft > 0 || this.#waiting.length > 0) this.#arm();
  }

  #arm(): void {
    if (this.#armed) return;
    this.#armed = true;
    atTurnEndLast(this);
  }
}
