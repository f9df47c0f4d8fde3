/** Destinations that are one endpoint: the application behind an inbound port, a pod dialled by address, a stranger. */
import { RetryBudget } from '@mesh/balance/retry-budget';
import type { Clock, Timer } from '@mesh/clock/clock';
import { EndpointPool, type EndpointPoolOptions } from './endpoint-pool.ts';
import { type EndpointSpec, sameEndpoint } from './endpoint-spec.ts';

export interface FixedTargetsOptions {
  clock: Clock;
  pool: Omit<EndpointPoolOptions, 'name'>;
  /** How long a destination that nobody uses is kept; not so long where there are more than `discovered_targets`. */
  idleMs: number;
}

/** Give it back with `release`. */
export interface FixedTarget {
  readonly pool: EndpointPool;
  /** Shared by all that use the destination. */
  readonly budget: RetryBudget;
}

interface Entry extends FixedTarget {
  spec: EndpointSpec;
  holders: number;
  idle: Timer | undefined;
}

export class FixedTargets {
  readonly #options: FixedTargetsOptions;
  readonly #entries: Map<string, Entry> = new Map();
  /** Those that nobody uses, the longest unused first. The others are bounded by the connections that use them. */
  readonly #idle: Set<Entry> = new Set();

  constructor(options: FixedTargetsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** @param guess nothing is known of the address now: what was known of it holds as long as somebody uses it */
  hold(spec: EndpointSpec, { guess = false }: { guess?: boolean } = {}): FixedTarget {
    let entry = this.#entries.get(spec.key);
    if (entry === undefined) {
      this.#makeRoom();
      const pool = new EndpointPool({ ...this.#options.pool, name: spec.key });
      entry = { pool, budget: new RetryBudget(this.#options.clock), spec, holders: 0, idle: undefined };
      this.#entries.set(spec.key, entry);
      pool.apply([spec], { replace: true });
    } else if (!guess && !sameEndpoint(entry.spec, spec)) {
      entry.spec = spec;
      entry.pool.apply([spec], { replace: true });
    }
    entry.holders++;
    this.#idle.delete(entry);
    entry.idle?.cancel();
    entry.idle = undefined;
    return entry;
  }

  release(target: FixedTarget): void {
    const entry = target as Entry;
    entry.holders--;
    if (entry.holders > 0) return;
    const { clock, idleMs } = this.#options;
    this.#idle.add(entry);
    entry.idle = clock.after(idleMs, () => this.#forget(entry), true);
  }

  close(): void {
    for (const entry of this.#entries.values()) this.#forget(entry);
  }

  #makeRoom(): void {
    const { limits } = this.#options.pool;
    if (this.#entries.size < limits.values.discovered_targets) return;
    limits.hit('discovered_targets');
    const [longest] = this.#idle;
    if (longest !== undefined) this.#forget(longest);
  }

  #forget(entry: Entry): void {
    this.#entries.delete(entry.spec.key);
    this.#idle.delete(entry);
    entry.idle?.cancel();
    entry.pool.close();
  }
}
