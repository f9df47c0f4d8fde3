/** So many crumbs in a row are joined. */
const joinedCrumbs = 64;
const crumbBytes = 1024;
/** What is joined grows to this, so that it costs little more than its bytes. */
const joinedBytes = 4096;

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
    joinLast(this.#chunks, joinedCrumbs, 0);
    this.#crumbs = 0;
  }

  [Symbol.iterator](): IterableIterator<Buffer> {
    return this.#chunks.values();
  }
}

/** Joins the last `count` of `chunks`, and the one before them if it is small, too, and not before index `least`. */
export function joinLast(chunks: Buffer[], count: number, least: number): void {
  const before = chunks.length - count - 1;
  const takesBefore = before >= least && (chunks[before]?.length ?? 0) < joinedBytes;
  chunks.push(joined(chunks.splice(takesBefore ? before : before + 1)));
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
