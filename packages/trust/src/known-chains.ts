/**
 * What was found out about chains before, by their bytes: peers come again and again with the same certificates, and what
 * their signatures prove does not change. Only that is kept: dates, usages and names are judged each time.
 */
import type { Certificate } from './certificate.ts';
import { trustLimits } from './limits.ts';

const mostKnown = trustLimits.tls_known_chains.default;

export class KnownChains {
  readonly #paths: Map<string, readonly Certificate[]> = new Map();

  get size(): number {
    return this.#paths.size;
  }

  /** The path of `chain`; when it is not known, that of `verify`, which is kept unless it is a refusal. */
  pathOf<Refusal extends object>(
    chain: readonly Buffer[],
    verify: () => readonly Certificate[] | Refusal,
  ): readonly Certificate[] | Refusal {
    const key = chain.map((der) => `${der.length}:${der.toString('latin1')}`).join('');
    const known = this.#paths.get(key);
    if (known !== undefined) return known;
    const path = verify();
    if (!isPath(path)) return path;
    if (this.#paths.size >= mostKnown) this.#forgetOldest();
    this.#paths.set(key, path);
    return path;
  }

  #forgetOldest(): void {
    for (const oldest of this.#paths.keys()) {
      this.#paths.delete(oldest);
      return;
    }
  }
}

function isPath(found: readonly Certificate[] | object): found is readonly Certificate[] {
  return Array.isArray(found);
}
