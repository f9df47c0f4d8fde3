/** What control streams said that are not open now: of the program's earlier life, and idle ones of this. */
import type { LimitLedger } from '@mesh/limits/limits';
import { type LastGood, sizeOf } from './last-good-file.ts';
import type { DataplaneLimit } from './limits.ts';

/** By key, oldest first, as many as the file would take. */
export class EarlierWords {
  readonly #limits: LimitLedger<DataplaneLimit>;
  readonly #entries: Map<string, LastGood> = new Map();
  #bytes = 0;

  constructor(limits: LimitLedger<DataplaneLimit>) {
    this.#limits = limits;
  }

  get(key: string): LastGood | undefined {
    return this.#entries.get(key);
  }

  entries(): Iterable<[string, LastGood]> {
    return this.#entries;
  }

  remember(key: string, entry: LastGood): void {
    this.forget(key);
    this.#entries.set(key, entry);
    this.#bytes += sizeOf(key, entry);
    for (const [oldest] of this.#entries) {
      if (this.#bytes <= this.#limits.values.last_good_bytes) return;
      this.#limits.hit('last_good_bytes');
      this.forget(oldest);
    }
  }

  forget(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= sizeOf(key, entry);
  }
}
