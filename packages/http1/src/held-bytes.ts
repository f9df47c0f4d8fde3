/**
 * Bytes that came too early and are kept, in order, until somebody reads them. One buffer that doubles as it fills; what was
 * read is never written over, so that slices of it stay valid.
 */
export class HeldBytes {
  #bytes: Buffer | undefined;
  #start = 0;
  #end = 0;

  get length(): number {
    return this.#end - this.#start;
  }

  /** Copies `bytes` behind what is held. */
  add(bytes: Buffer): void {
    const { length } = this;
    if (this.#bytes === undefined || this.#end + bytes.length > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(length + bytes.length, 2 * length));
      this.#bytes?.copy(larger, 0, this.#start, this.#end);
      this.#bytes = larger;
      this.#start = 0;
      this.#end = length;
    }
    this.#end += bytes.copy(this.#bytes, this.#end);
  }

  /** All that is held; undefined for nothing. */
  peek(): Buffer | undefined {
    return this.length === 0 ? undefined : this.#bytes?.subarray(this.#start, this.#end);
  }

  /** The first `count` bytes were read. */
  skip(count: number): void {
    this.#start += count;
    if (this.#start >= this.#end) this.clear();
  }

  clear(): void {
    this.#bytes = undefined;
    this.#start = 0;
    this.#end = 0;
  }
}
