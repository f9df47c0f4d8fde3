/**
 * What was found out about chains before, by their bytes: peers come again and again with the same certificates, and what
 * their signatures prove does not change. Only that is kept: dates, usages and names are judged each time. What has expired
 * is nobody's any more, and goes when the next one comes. A path that is not valid now is looked for anew: there may be another.
 */
import type { Certificate } from './certificate.ts';
import { trustLimits } from './limits.ts';

const mostKnown = trustLimits.tls_known_chains.default;

interface Known {
  readonly path: readonly Certificate[];
  /** When the last certificate of it begins and the first one expires, wall-clock milliseconds. */
  readonly from: number;
  readonly until: number;
}

export class KnownChains {
  readonly #known: Map<string, Known> = new Map();

  get size(): number {
    return this.#known.size;
  }

  /**
   * The path of `chain`; when none is known that is valid now, that of `verify`, which is kept unless it is a refusal.
   * @param now wall-clock milliseconds
   */
  pathOf<Refusal extends object>(
    chain: readonly Buffer[],
    now: number,
    verify: () => readonly Certificate[] | Refusal,
  ): readonly Certificate[] | Refusal {
    const key = chain.map((der) => `${der.length}:${der.toString('latin1')}`).join('');
    const known = this.#known.get(key);
    if (known !== undefined && now >= known.from && now <= known.until) return known.path;
    const path = verify();
    if (!isPath(path)) return path;
    this.#makeRoom(now);
    this.#known.set(key, {
      path,
      from: Math.max(...path.map(({ notBefore }) => notBefore)),
      until: Math.min(...path.map(({ notAfter }) => notAfter)),
    });
    return path;
  }

  #makeRoom(now: number): void {
    for (const [key, { until }] of this.#known) if (until < now) this.#known.delete(key);
    if (this.#known.size < mostKnown) return;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      return;
    }
  }
}

function isPath(found: readonly Certificate[] | object): found is readonly Certificate[] {
  return Array.isArray(found);
}
