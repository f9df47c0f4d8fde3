import type { Clock, Timer } from '@mesh/clock/clock';

interface CoalescedTaskOptions {
  run: () => Promise<void>;
  clock: Clock;
  /** Changes within this time become one run. */
  delayMs: number;
  /** Wait before a failed run is tried again. */
  retryMs: number;
  onError: (error: unknown) => void;
}

/** Runs a task soon after it was asked for; never twice at once, and always once more after the last request. */
export class CoalescedTask {
  readonly #options: CoalescedTaskOptions;
  #timer: Timer | undefined;
  #running = false;
  #again = false;
  #stopped = false;

  constructor(options: CoalescedTaskOptions) {
    this.#options = options;
  }

  request(): void {
    this.#schedule(this.#options.delayMs);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #schedule(delayMs: number): void {
    if (this.#stopped || this.#timer !== undefined) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#timer = this.#options.clock.after(delayMs, () => void this.#run());
  }

  async #run(): Promise<void> {
    const { run, onError, delayMs, retryMs } = this.#options;
    this.#timer = undefined;
    this.#running = true;
    this.#again = false;
    let failed = false;
    try {
      await run();
    } catch (thrown) {
      failed = true;
      onError(thrown);
    }
    this.#running = false;
    if (failed) this.#schedule(retryMs);
    else if (this.#again) this.#schedule(delayMs);
  }
}
