/** Names of the code that V8 made at run time: `perf-PID.map` of its `--perf-basic-prof`. */

export class CompiledFunctions {
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;
  readonly #names: string[];

  /** @param map lines of start, size (both hexadecimal) and name; where code was moved or replaced, the last one counts */
  constructor(map: string) {
    const latest: Map<number, readonly [end: number, name: string]> = new Map();
    for (const line of map.split('\n')) {
      const [, start, size, name] = /^([0-9a-f]+) ([0-9a-f]+) (.+)$/.exec(line) ?? [];
      if (start === undefined || size === undefined || name === undefined) continue;
      const from = Number.parseInt(start, 16);
      latest.set(from, [from + Number.parseInt(size, 16), name]);
    }
    const sorted = [...latest].sort(([a], [b]) => a - b);
    this.#starts = Float64Array.from(sorted, ([start]) => start);
    this.#ends = Float64Array.from(sorted, ([, [end]]) => end);
    this.#names = sorted.map(([, [, name]]) => name);
  }

  /** The function that holds `address`; undefined for code of nobody. */
  at(address: number): string | undefined {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#starts[middle] ?? 0) <= address) low = middle + 1;
      else high = middle;
    }
    return address < (this.#ends[low - 1] ?? 0) ? this.#names[low - 1] : undefined;
  }
}
