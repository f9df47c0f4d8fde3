/** Tells those who depend on a topic that it changed, once for all changes of a short while. */
import type { Clock, Timer } from '@mesh/clock/clock';

interface Subscription {
  readonly topics: readonly string[];
  readonly task: () => void;
}

export class Notifier {
  readonly #clock: Clock;
  readonly #delayMs: number;
  readonly #byTopic: Map<string, Set<Subscription>> = new Map();
  readonly #dirty: Set<Subscription> = new Set();
  #timer: Timer | undefined;

  constructor({ clock, delayMs }: { clock: Clock; delayMs: number }) {
    this.#clock = clock;
    this.#delayMs = delayMs;
  }

  /** Calls `task` at most once per `delayMs` while any of `topics` changes. Returns what ends that. */
  subscribe(topics: readonly string[], task: () => void): () => void {
    const subscription: Subscription = { topics, task };
    for (const topic of topics) {
      const known = this.#byTopic.get(topic);
      if (known === undefined) this.#byTopic.set(topic, new Set([subscription]));
      else known.add(subscription);
    }
    return () => {
      this.#dirty.delete(subscription);
      for (const topic of topics) {
        const known = this.#byTopic.get(topic);
        known?.delete(subscription);
        if (known?.size === 0) this.#byTopic.delete(topic);
      }
    };
  }

  mark(topic: string): void {
    const concerned = this.#byTopic.get(topic);
    if (concerned === undefined) return;
    for (const subscription of concerned) this.#dirty.add(subscription);
    this.#timer ??= this.#clock.after(this.#delayMs, () => this.#flush());
  }

  stop(): void {
    this.#timer?.cancel();
    this.#byTopic.clear();
    this.#dirty.clear();
  }

  #flush(): void {
    this.#timer = undefined;
    const due = [...this.#dirty];
    this.#dirty.clear();
    for (const { task } of due) task();
  }
}
