/**
 * Named limits. Every buffer, queue, header block and loop that a peer can grow has an entry in such a table with a default,
 * a unit and a reason; hitting one is counted under its name (`mesh_limit_hits_total{limit}`), or `uncounted` says why not.
 * A repository test holds the sources to that, and docs/limits.md is generated from the tables.
 */
export interface LimitSpec {
  readonly default: number;
  readonly unit: 'bytes' | 'count' | 'ms';
  readonly why: string;
  /** For settings that nobody runs into, and for what another metric counts: which, or why none. */
  readonly uncounted?: string;
}

/** Counts how often each limit of one table was hit; read at scrape time. */
export class LimitLedger<Name extends string> {
  readonly #values: Readonly<Record<Name, number>>;
  readonly #hits: Map<Name, number> = new Map();

  constructor(table: Readonly<Record<Name, LimitSpec>>, overrides: Partial<Record<Name, number>> = {}) {
    const values = {} as Record<Name, number>;
    for (const name in table) values[name] = overrides[name] ?? table[name].default;
    this.#values = Object.freeze(values);
  }

  /** The effective values, by name. */
  get values(): Readonly<Record<Name, number>> {
    return this.#values;
  }

  hit(name: Name): void {
    this.#hits.set(name, (this.#hits.get(name) ?? 0) + 1);
  }

  /** How often `name` was hit since the start. */
  hits(name: Name): number {
    return this.#hits.get(name) ?? 0;
  }

  /** All limits that were hit at least once, for the metrics page. */
  entries(): IterableIterator<[Name, number]> {
    return this.#hits.entries();
  }
}
