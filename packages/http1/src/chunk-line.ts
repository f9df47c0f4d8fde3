import type { Http1Fault } from './faults.ts';
import type { Http1LimitValues } from './limits.ts';

const token = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const extensions = new RegExp(`^(?:;${token}(?:=(?:${token}|"(?:[\\t !#-\\[\\]-~]|\\\\[\\t -~])*"))?)+$`);

/** By byte: value of a hexadecimal digit plus 1, or 0. */
const hexDigits: Uint8Array = buildHexDigits();

function buildHexDigits(): Uint8Array {
  const table = new Uint8Array(256);
  for (const digit of '0123456789abcdefABCDEF') table[digit.charCodeAt(0)] = Number.parseInt(digit, 16) + 1;
  return table;
}

/**
 * Reads the line before a chunk (RFC 9112 §7.1): 1 to 8 hexadecimal digits, extensions, CR LF. Extensions are checked and
 * dropped. White space that the RFC calls bad is refused.
 */
export class ChunkLine {
  /** Size of the chunk, once `done`. */
  size = 0;
  done = false;
  #digits = 0;
  #extension = '';
  #sawReturn = false;
  #bodyExtensions = 0;

  /** Before the first chunk of a body. */
  beginBody(): void {
    this.#bodyExtensions = 0;
    this.begin();
  }

  begin(): void {
    this.size = 0;
    this.done = false;
    this.#digits = 0;
    this.#extension = '';
    this.#sawReturn = false;
  }

  /** Takes bytes until the line is `done`. Returns the offset behind the last byte taken, or a fault. */
  take(chunk: Buffer, start: number, limits: Http1LimitValues): number | Http1Fault {
    let at = start;
    while (at < chunk.length) {
      const byte = chunk[at++] as number;
      if (this.#sawReturn) {
        if (byte !== 0x0a) return 'bad-chunk-size';
        this.done = true;
        return at;
      }
      if (byte === 0x0d) {
        if (this.#digits === 0) return 'bad-chunk-size';
        if (this.#extension !== '' && !extensions.test(this.#extension)) return 'bad-chunk-extension';
        this.#sawReturn = true;
      } else if (this.#extension !== '' || byte === 0x3b) {
        if (this.#digits === 0) return 'bad-chunk-size';
        if (byte === 0x0a) return 'bare-line-feed';
        this.#bodyExtensions++;
        if (this.#extension.length === limits.http1_chunk_extension_bytes) return 'long-extension';
        if (this.#bodyExtensions > limits.http1_body_extension_bytes) return 'too-many-extensions';
        this.#extension += String.fromCharCode(byte);
      } else {
        const digit = hexDigits[byte] as number;
        if (digit === 0 || this.#digits === 8) return byte === 0x0a ? 'bare-line-feed' : 'bad-chunk-size';
        this.#digits++;
        this.size = this.size * 16 + digit - 1;
      }
    }
    return at;
  }
}
