import type { Socket } from 'node:net';
import { atTurnEnd, type TurnTask } from '@mesh/sockets/turn';

/** Up to this size, body bytes are joined with the text before them into one string: one write, nothing allocated natively. */
const joinBytes = 4096;
/** Text waiting above this leaves at once. */
const textBytes = 16 * 1024;
/** Chunks waiting from this on leave at once: the pieces in which HTTP/2 brings a body are worth one system call together. */
const chunkBytes = 48 * 1024;

/**
 * What a connection sends, joined per turn of the event loop: heads and small bodies become one latin1 string and one
 * system call; large chunks, and the text around them, one vectored write.
 */
export class SocketOutput implements TurnTask {
  readonly #socket: Socket;
  /** How often anything was handed to the socket. */
  handovers = 0;
  /** Before `#text`, when it has to go out with chunks. */
  #parts: (string | Buffer)[] = [];
  #partBytes = 0;
  #text = '';
  #scheduled = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** True: the socket's queue is full; a `drain` event follows. */
  get blocked(): boolean {
    return this.#socket.writableNeedDrain;
  }

  /** Appends latin1 text. */
  text(text: string): void {
    this.#text += text;
    this.#later();
  }

  /** Appends body bytes. */
  data(chunk: Buffer): void {
    if (!this.#socket.writable) return;
    if (chunk.length <= joinBytes) {
      this.#text += chunk.toString('latin1');
      if (this.#text.length > textBytes) this.flush();
      else this.#later();
      return;
    }
    if (this.#text !== '') this.#parts.push(this.#text);
    this.#text = '';
    this.#parts.push(chunk);
    this.#partBytes += chunk.length;
    if (this.#partBytes >= chunkBytes) this.flush();
    else this.#later();
  }

  /** Hands everything to the socket now. */
  flush(): void {
    const text = this.#text;
    if (this.#partBytes > 0) this.#flushParts(text);
    else if (text !== '') {
      this.#text = '';
      if (!this.#socket.writable) return;
      this.handovers++;
      this.#socket.write(text, 'latin1');
    }
  }

  #flushParts(text: string): void {
    const parts = this.#parts;
    if (text !== '') parts.push(text);
    this.discard();
    const socket = this.#socket;
    if (!socket.writable) return;
    this.handovers++;
    if (parts.length > 1) socket.cork();
    for (const part of parts) {
      if (typeof part === 'string') socket.write(part, 'latin1');
      else socket.write(part);
    }
    if (parts.length > 1) socket.uncork();
  }

  onTurnEnd(): void {
    this.#scheduled = false;
    this.flush();
  }

  /** Forgets what was not handed over. */
  discard(): void {
    this.#text = '';
    if (this.#partBytes === 0) return;
    this.#parts = [];
    this.#partBytes = 0;
  }

  #later(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    atTurnEnd(this);
  }
}
