import { backoffMs, type Clock, type Random, type Timer } from '@mesh/clock/clock';

/** Nothing: done until the key is added again. `requeueAfterMs`: look again after that time. */
export type ReconcileResult = { requeueAfterMs: number } | undefined | void;

export interface ReconcilerOptions {
  /** For errors and metrics. */
  name: string;
  /**
   * Reads the world for this key and writes the difference. It gets no event, so it must cope with events that were
   * merged, repeated or missed. Throwing means: again later, with growing delay.
   */
  reconcile: (key: string) => Promise<ReconcileResult>;
  clock: Clock;
  random: Random;
  /** Keys worked on at the same time; one key never twice at once. Default 2. */
  concurrency?: number;
  /** First retry delay, doubled per failure of the key. Default 100. */
  retryBaseMs?: number;
  /** Longest retry delay. Default 60 000. */
  retryCapMs?: number;
  onError?: (failure: { key: string; attempt: number; error: unknown }) => void;
}

interface KeyState {
  /** Waits in the queue. */
  queued: boolean;
  running: boolean;
  failures: number;
  timer: Timer | undefined;
}

/** A level-triggered work queue: every `add` leads to at least one reconcile that starts after it. */
export class Reconciler {
  readonly name: string;
  readonly #options: ReconcilerOptions;
  readonly #concurrency: number;
  readonly #keys: Map<string, KeyState> = new Map();
  readonly #queue: Set<string> = new Set();
  #running = 0;
  #stopped = false;
  #started = false;
  #onDrained: (() => void)[] = [];
  #reconciled = 0;
  #failed = 0;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.name = options.name;
    this.#concurrency = options.concurrency ?? 2;
  }

  /** Begins to work. Keys added before wait until then, so that caches can fill first. */
  start(): void {
    this.#started = true;
    this.#pump();
  }

  /** Asks for a reconcile of `key` as soon as possible; also cuts a back-off or a timed requeue short. */
  add(key: string): void {
    if (this.#stopped) return;
    const state = this.#stateOf(key);
    state.timer?.cancel();
    state.timer = undefined;
    state.queued = true;
    if (state.running) return;
    this.#queue.add(key);
    this.#pump();
  }

  /** Asks for a reconcile in `delayMs`, unless one is already queued or due sooner by `add`. */
  addAfter(key: string, delayMs: number): void {
    if (this.#stopped) return;
    const state = this.#stateOf(key);
    if (state.queued) return;
    state.timer?.cancel();
    state.timer = this.#options.clock.after(delayMs, () => this.add(key), true);
  }

  /** Takes no more work and resolves when what runs has finished. Queued keys are dropped. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#queue.clear();
    for (const state of this.#keys.values()) state.timer?.cancel();
    if (this.#running > 0) await new Promise<void>((resolve) => this.#onDrained.push(resolve));
    this.#keys.clear();
  }

  /** Keys that wait to run now; those in back-off do not count. */
  get depth(): number {
    return this.#queue.size;
  }

  /** Finished reconciles, and how many of them failed, since the start. */
  get totals(): { reconciled: number; failed: number } {
    return { reconciled: this.#reconciled, failed: this.#failed };
  }

  /** True when nothing runs, waits or backs off. Timed requeues count as waiting. */
  get idle(): boolean {
    return this.#keys.size === 0;
  }

  #stateOf(key: string): KeyState {
    let state = this.#keys.get(key);
    if (state === undefined) {
      state = { queued: false, running: false, failures: 0, timer: undefined };
      this.#keys.set(key, state);
    }
    return state;
  }

  #pump(): void {
    if (!this.#started) return;
    for (const key of this.#queue) {
      if (this.#running >= this.#concurrency) return;
      this.#queue.delete(key);
      this.#running++;
      void this.#work(key, this.#stateOf(key));
    }
  }

  async #work(key: string, state: KeyState): Promise<void> {
    state.queued = false;
    state.running = true;
    const { clock, random, retryBaseMs = 100, retryCapMs = 60_000, onError } = this.#options;
    let againMs: number | undefined;
    try {
      const result = await this.#options.reconcile(key);
      state.failures = 0;
      if (typeof result === 'object') againMs = result.requeueAfterMs;
    } catch (error) {
      this.#failed++;
      againMs = backoffMs(state.failures, random, { baseMs: retryBaseMs, capMs: retryCapMs, jitter: 0.3 });
      state.failures++;
      onError?.({ key, attempt: state.failures, error });
    }
    this.#reconciled++;
    this.#running--;
    state.running = false;
    if (!this.#stopped) {
      if (state.queued) {
        this.#queue.add(key);
      } else if (againMs !== undefined) {
        state.timer?.cancel();
        state.timer = clock.after(againMs, () => this.add(key), true);
      } else if (state.timer === undefined) {
        this.#keys.delete(key);
      }
      this.#pump();
    }
    if (this.#running === 0) {
      for (const resolve of this.#onDrained.splice(0)) resolve();
    }
  }
}
