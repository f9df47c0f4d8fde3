/**
 * The open streams of a connection by id.
 *
 * A Map would do but for the collector. One that loses entries as fast as it gains them is rebuilt all the time, an old one among what is
 * old, and the table that each rebuild leaves there keeps the streams that were open then until the next full collection: with their
 * requests a sixth of the pair's processor time, a quarter with gRPC (docs/where-the-time-goes.md).
 */
const leastSlots = 16;
/** What a table without streams keeps at most. */
const keptSlots = 256;

/**
 * Open addressing with linear probing, at most half full. Ids of one side rise in steps of two, so that live streams lie side by side; a
 * peer that picks ids which collide makes a look-up visit all streams of its connection, whose number is limited.
 */
export class StreamTable<Stream extends { readonly id: number }> {
  #slots: (Stream | undefined)[] = empty(leastSlots);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): Stream | undefined {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let at = (id >>> 1) & mask;
    for (;;) {
      const stream = slots[at];
      if (stream === undefined || stream.id === id) return stream;
      at = (at + 1) & mask;
    }
  }

  /** @param stream whose id is not in the table */
  add(stream: Stream): void {
    if (this.#size * 2 >= this.#slots.length) this.#resize(this.#slots.length * 2);
    place(this.#slots, stream);
    this.#size += 1;
  }

  delete(id: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = (id >>> 1) & mask;
    while (slots[hole]?.id !== id) {
      if (slots[hole] === undefined) return;
      hole = (hole + 1) & mask;
    }
    // Those behind it move up where they would no longer be found.
    for (let at = (hole + 1) & mask; ; at = (at + 1) & mask) {
      const stream = slots[at];
      if (stream === undefined) break;
      const home = (stream.id >>> 1) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      slots[hole] = stream;
      hole = at;
    }
    slots[hole] = undefined;
    this.#size -= 1;
    if (this.#size === 0 && slots.length > keptSlots) this.#slots = empty(leastSlots);
  }

  /** Streams in the order in which they were opened. */
  all(): Stream[] {
    return this.#slots
      .filter((stream): stream is Stream => stream !== undefined)
      .sort((one, other) => one.id - other.id);
  }

  #resize(length: number): void {
    const slots = empty<Stream>(length);
    for (const stream of this.#slots) if (stream !== undefined) place(slots, stream);
    this.#slots = slots;
  }
}

function place<Stream extends { readonly id: number }>(slots: (Stream | undefined)[], stream: Stream): void {
  const mask = slots.length - 1;
  let at = (stream.id >>> 1) & mask;
  while (slots[at] !== undefined) at = (at + 1) & mask;
  slots[at] = stream;
}

function empty<Stream>(length: number): (Stream | undefined)[] {
  return Array.from({ length }, () => undefined);
}
