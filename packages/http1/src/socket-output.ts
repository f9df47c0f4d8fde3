import type { Socket } from 'node:net';
import { atTurnEnd, type TurnTask } from '@mesh/sockets/turn';

/** Up to this size, body bytes are joined with the text before them into one string: one write, nothing allocated natively. */
const joinBytes = 4096;
/** Text waiting above this leaves at once. */
const textBytes = 16 * 1024;

/**
 * What a connection sends, joined per turn of the event loop: heads and small bodies become one latin1 string and one
 * system call; large chunks go out with the text before them as one vectored write.
 */
export class SocketOutput implements TurnTask {
  readonly #socket: Socket;
  /** How often anything was handed to the socket. */
  handovers = 0;
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
    this.handovers++;
    const text = this.#text;
    if (text === '') {
      this.#socket.write(chunk);
      return;
    }
    this.#text = '';
    this.#socket.cork();
    this.#socket.write(text, 'latin1');
    this.#socket.write(chunk);
    this.#socket.uncork();
  }

  /** Hands everything to the socket now. */
  flush(): void {
    if (this.#text === '') return;
    const text = this.#text;
    this.#text = '';
    if (!this.#socket.writable) return;
    this.handovers++;
    this.#socket.write(text, 'latin1');
  }

  onTurnEnd(): void {
    this.#scheduled = false;
    this.flush();
  }

  /** Forgets what was not handed over. */
  discard(): void {
    this.#text = '';
  }

  #later(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    atTurnEnd(this);
  }
}
