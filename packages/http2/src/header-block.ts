/** Puts a header block together from HEADERS and CONTINUATION frames (RFC 9113 §4.3). */
export class HeaderBlock {
  #streamId = 0;
  #endStream = false;
  #parts: Buffer[] = [];
  #bytes = 0;
  #continuations = 0;

  /** The stream whose block is open, or 0. */
  get streamId(): number {
    return this.#streamId;
  }

  get endStream(): boolean {
    return this.#endStream;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** CONTINUATION frames so far. */
  get continuations(): number {
    return this.#continuations;
  }

  open(streamId: number, endStream: boolean, fragment: Buffer): void {
    this.#streamId = streamId;
    this.#endStream = endStream;
    this.#parts.push(Buffer.from(fragment));
    this.#bytes = fragment.length;
    this.#continuations = 0;
  }

  add(fragment: Buffer): void {
    this.#continuations += 1;
    this.#bytes += fragment.length;
    // A copy, so that a small fragment does not keep a whole read alive.
    if (fragment.length > 0) this.#parts.push(Buffer.from(fragment));
  }

  close(): Buffer {
    const block = Buffer.concat(this.#parts, this.#bytes);
    this.#parts = [];
    this.#streamId = 0;
    return block;
  }
}
