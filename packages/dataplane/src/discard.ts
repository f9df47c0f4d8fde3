import type { ServerStream, StreamHandler } from '@mesh/http/message';

/** Takes the rest of a request that was answered already; its bytes go nowhere, its credit goes back. */
export class Discard implements StreamHandler {
  readonly #stream: ServerStream;

  constructor(stream: ServerStream) {
    this.#stream = stream;
  }

  onData(chunk: Buffer): void {
    this.#stream.consume(chunk.length);
  }
  onEnd(): void {}
  onReset(): void {}
  onDrain(): void {}
}
