import type { Headers } from '@mesh/http/message';
import { lastChunkText } from './head-writer.ts';
import type { SocketOutput } from './socket-output.ts';

/** How our own body is framed. `none`: bytes are dropped (HEAD, 204, 304). */
export type BodyFraming = 'none' | 'length' | 'chunked' | 'close' | 'tunnel';

/** Sends one body in its framing, and notices when the owner does not keep to the length it announced. */
export class BodyWriter {
  readonly #output: SocketOutput;
  #framing: BodyFraming = 'none';
  #remaining = 0;

  constructor(output: SocketOutput) {
    this.#output = output;
  }

  get framing(): BodyFraming {
    return this.#framing;
  }

  begin(framing: BodyFraming, length: number): void {
    this.#framing = framing;
    this.#remaining = length;
  }

  /** False: more bytes than announced; nothing of them was sent. */
  write(chunk: Buffer): boolean {
    switch (this.#framing) {
      case 'none':
        return true;
      case 'length':
        if (chunk.length > this.#remaining) return false;
        this.#remaining -= chunk.length;
        this.#output.data(chunk);
        return true;
      case 'chunked':
        // An empty chunk would end the body.
        if (chunk.length === 0) return true;
        this.#output.text(`${chunk.length.toString(16)}\r\n`);
        this.#output.data(chunk);
        this.#output.text('\r\n');
        return true;
      default:
        this.#output.data(chunk);
        return true;
    }
  }

  /** False: fewer bytes than announced were sent. */
  end(trailers: Headers | null): boolean {
    if (this.#framing === 'length' && this.#remaining !== 0) return false;
    if (this.#framing === 'chunked') this.#output.text(lastChunkText(trailers));
    return true;
  }
}
