/**
 * Cuts a byte stream into lines, bounded. Watch streams are one JSON object per line, and a read may end anywhere,
 * also within a UTF-8 sequence; so lines are cut as bytes and decoded whole.
 */
export class LineSplitter {
  readonly #maxBytes: number;
  readonly #onLine: (line: string) => void;
  #parts: Buffer[] = [];
  #size = 0;

  /** `onLine` gets each line without its line feed; empty lines are skipped. */
  constructor(maxBytes: number, onLine: (line: string) => void) {
    this.#maxBytes = maxBytes;
    this.#onLine = onLine;
  }

  /** Returns false when a line grew past the limit; the stream must then be dropped. */
  push(chunk: Buffer): boolean {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(0x0a, start);
      const size = this.#size + (end === -1 ? chunk.length : end) - start;
      if (size > this.#maxBytes) return false;
      if (end === -1) break;
      const tail = chunk.subarray(start, end);
      const line = this.#parts.length === 0 ? tail : Buffer.concat([...this.#parts, tail]);
      this.#parts = [];
      this.#size = 0;
      start = end + 1;
      if (line.length > 0) this.#onLine(line.toString('utf8'));
    }
    if (start < chunk.length) {
      this.#parts.push(chunk.subarray(start));
      this.#size += chunk.length - start;
    }
    return true;
  }

  /** Bytes of an unfinished line. */
  get pending(): number {
    return this.#size;
  }
}
