import type { Http1Fault } from './faults.ts';
import type { Section } from './section.ts';

const carriageReturn = 0x0d;
const lineFeed = 0x0a;

/**
 * Holds a head or trailer section that arrives in pieces, up to the empty line. Grows by doubling, so that a peer that
 * sends byte by byte costs no more than linear work.
 */
export class HeadBuffer {
  #bytes: Buffer | undefined = undefined;
  #length = 0;
  /** How much of CR LF CR LF the last bytes are. */
  #matched = 0;

  /** Bytes held. */
  get length(): number {
    return this.#length;
  }

  /** More is held than a line end. */
  get begun(): boolean {
    return this.#length > this.#matched;
  }

  /** Starts with a line end that was read already: an empty section is then complete after one more CR LF. */
  beginAfterLine(): void {
    this.#append(carriageReturn);
    this.#append(lineFeed);
    this.#matched = 2;
  }

  /**
   * Takes bytes of `chunk` from `start` until the section is complete. Returns the offset behind the last byte taken,
   * or a fault. `complete` then says whether the empty line was reached.
   */
  take(chunk: Buffer, start: number, maxBytes: number): number | Http1Fault {
    for (let at = start; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      if (byte === carriageReturn) {
        this.#matched = this.#matched === 2 ? 3 : 1;
      } else if (byte === lineFeed) {
        if (this.#matched !== 1 && this.#matched !== 3) return 'bare-line-feed';
        this.#matched++;
      } else {
        this.#matched = 0;
      }
      if (this.#length === maxBytes) return 'head-too-large';
      this.#append(byte);
      if (this.#matched === 4) return at + 1;
    }
    return chunk.length;
  }

  get complete(): boolean {
    return this.#matched === 4;
  }

  /** Moves the section from `start`, without the empty line, to `section`; the buffer is empty afterwards. */
  releaseTo(section: Section, start: number): void {
    const bytes = this.#bytes;
    if (bytes !== undefined) {
      const text = bytes.toString('latin1', start, this.#length - 2);
      section.set(bytes, start, text, text.length);
    }
    this.clear();
  }

  clear(): void {
    this.#bytes = undefined;
    this.#length = 0;
    this.#matched = 0;
  }

  #append(byte: number): void {
    let bytes = this.#bytes;
    if (bytes === undefined) {
      bytes = Buffer.allocUnsafeSlow(512);
      this.#bytes = bytes;
    } else if (this.#length === bytes.length) {
      const larger = Buffer.allocUnsafeSlow(2 * bytes.length);
      bytes.copy(larger);
      bytes = larger;
      this.#bytes = bytes;
    }
    bytes[this.#length++] = byte;
  }
}
