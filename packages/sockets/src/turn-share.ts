import { atTurnEndLast, type TurnTask } from './turn.ts';

/** One task at least for each so many milliseconds, however long turns are. */
export interface Pace {
  readonly everyMs: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** What one of many asks for, once at a time. */
export interface SharedTask {
  onTurn(): void;
  /** For who counts it: told once when `onTurn` comes in a later turn than the one in which it was asked for. */
  onPutOff?(): void;
}

/** Who dials gives up after a second (`connect_ms`), and needs some of it for the rest. */
const patienceMs = 500;

/**
 * Work that many can ask for at once, and that takes long beside what else a turn of the event loop does: so much of it at the end of one
 * turn, when what is under way has been written, then some turns of everybody else. A turn in which nothing is to do costs microseconds.
 * Where turns are long, since others have much to do or the machine has, more of it is done in one: it has its part of the time, too.
 *
 * Who came first goes first, until more come than can be served: in order all would then be served too late. So who came last goes first
 * while somebody has waited for half a second (adaptive LIFO: Maurer, Fail at Scale, ACM Queue 13, 2015).
 */
export class TurnShare implements TurnTask {
  readonly #most: number;
  readonly #pause: number;
  /** And since when, in order. */
  readonly #waiting: Map<SharedTask, number> = new Map();
  readonly #pace: Pace | undefined;
  /** Came in this turn. */
  readonly #fresh: Set<SharedTask> = new Set();
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

  /** How many wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Runs the task at the end of this turn, or of a later one. */
  take(task: SharedTask): void {
    const now = this.#now();
    if (!this.#armed && !this.#running) this.#since = now;
    this.#waiting.set(task, now);
    this.#fresh.add(task);
    this.#arm();
  }

  /** For a task that has become pointless: it takes nobody's place. */
  withdraw(task: SharedTask): void {
    this.#waiting.delete(task);
  }

  onTurnEnd(): void {
    this.#armed = false;
    if (this.#pauseLeft > 0) this.#pauseLeft--;
    else this.#run();
    for (const task of this.#fresh) if (this.#waiting.has(task)) task.onPutOff?.();
    this.#fresh.clear();
    if (this.#pauseLeft > 0 || this.#waiting.size > 0) this.#arm();
  }

  #run(): void {
    const now = this.#now();
    const tasks = this.#next(Math.max(this.#most, this.#due(now)), now);
    if (tasks.length > 0) this.#pauseLeft = this.#pause;
    this.#running = true;
    // One of them may withdraw another.
    for (const task of tasks) if (this.#waiting.delete(task)) task.onTurn();
    this.#running = false;
  }

  #next(most: number, now: number): SharedTask[] {
    const [oldest = now] = this.#waiting.values();
    if (now - oldest <= patienceMs) return this.#waiting.keys().take(most).toArray();
    return [...this.#waiting.keys()].slice(-most).toReversed();
  }

  /** How many have come due by the time that passed. */
  #due(now: number): number {
    if (this.#pace === undefined) return 0;
    const due = Math.floor((now - this.#since) / this.#pace.everyMs);
    this.#since = now;
    return due;
  }

  #now(): number {
    return this.#pace?.now() ?? 0;
  }

  #arm(): void {
    if (this.#armed) return;
    this.#armed = true;
    atTurnEndLast(this);
  }
}
