import { atTurnEnd, type TurnTask } from './turn.ts';

/**
 * Work that many can ask for at once, and that takes long beside what else a turn of the event loop does: so much of it in one turn, then
 * some turns of everybody else. A turn in which nothing is to do costs microseconds.
 */
export class TurnShare implements TurnTask {
  readonly #most: number;
  readonly #pause: number;
  readonly #waiting: (() => void)[] = [];
  /** Tasks of this turn, or of the last one that had any. */
  #done = 0;
  #paused = 0;
  #armed = false;

  /**
   * @param most tasks in one turn
   * @param pause turns without any behind one with some
   */
  constructor(most: number, pause: number) {
    this.#most = most;
    this.#pause = pause;
  }

  /** Runs the task now, or, behind those that wait, in a later turn: then the answer is false. */
  take(task: () => void): boolean {
    if (this.#done >= this.#most || this.#waiting.length > 0) {
      this.#waiting.push(task);
      return false;
    }
    this.#done++;
    this.#arm();
    task();
    return true;
  }

  onTurnEnd(): void {
    this.#armed = false;
    if (this.#paused < this.#pause) {
      this.#paused++;
      this.#arm();
      return;
    }
    this.#paused = 0;
    const tasks = this.#waiting.splice(0, this.#most);
    this.#done = tasks.length;
    if (tasks.length > 0) this.#arm();
    for (const task of tasks) task();
  }

  #arm(): void {
    if (this.#armed) return;
    this.#armed = true;
    atTurnEnd(this);
  }
}
