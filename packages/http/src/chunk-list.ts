/** So many crumbs in a row are joined. */
const joinedCrumbs = 64;
const crumbBytes = 1024;

/**
 * Bytes that are kept as they came, in order. A peer may send them one by one, and each buffer costs a hundred times as much as
 * a byte, or the whole slab that it was cut from: so small ones are joined.
 */
export class ChunkList {
  readonly #chunks: Buffer[] = [];
  /** Small ones at the end. */
  #crumbs = 0;

  add(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#crumbs = chunk.length <= crumbBytes ? this.#crumbs + 1 : 0;
    if (this.#crumbs < joinedCrumbs) return;
    this.#chunks.push(joined(this.#chunks.splice(-joinedCrumbs)));
    this.#crumbs = 0;
  }

  [Symbol.iterator](): IterableIterator<Buffer> {
    return this.#chunks.values();
  }
}

/** As Buffer.concat, but never a slice of a shared pool. */
export function joined(chunks: readonly Buffer[]): Buffer {
  let length = 0;
  for (const chunk of chunks) length += chunk.length;
  const whole = Buffer.allocUnsafeSlow(length);
  let at = 0;
  for (const chunk of chunks) at += chunk.copy(whole, at);
  return whole;
}
