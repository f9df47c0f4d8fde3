import type { Socket } from 'node:net';
import { sendBytesTo } from '@mesh/sockets/read-in-place';
import { atTurnEnd, type TurnTask } from '@mesh/sockets/turn';

/** Where a connection's bytes go. A test may stand in for the socket. */
export interface Transport {
  /** Sends `parts` as one write; false: nothing more until `Connection.onWritable`. */
  write(parts: Buffer[]): boolean;
  /** Half-closes after what was written; `onFlushed` once all of it is with the kernel. */
  end(onFlushed: () => void): void;
  destroy(): void;
  pause(): void;
  resume(): void;
  /** Calls `goOn` behind this turn of the event loop. Without it a connection is not interrupted. */
  yield?(goOn: TurnTask): void;
}

/** What a socket drives. */
export interface TransportUser {
  /** `lent`: the bytes are valid until it returns. */
  receive(chunk: Buffer, lent: boolean): void;
  onWritable(): void;
  /** The peer sent its last byte. */
  onLost(): void;
  /** The socket is gone. */
  onClosed(): void;
}

/** A TCP or TLS socket as a transport. Attaches every listener; the socket belongs to it from here on. */
export class SocketTransport implements Transport {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
  }

  attach(user: TransportUser): void {
    const socket = this.#socket;
    sendBytesTo({ onBytes: (bytes, lent) => user.receive(bytes, lent) }, socket);
    socket.on('drain', () => user.onWritable());
    socket.on('end', () => user.onLost());
    socket.on('close', () => user.onClosed());
    // The 'close' that follows does the work; without a listener the error would end the process.
    socket.on('error', () => {});
    // Whoever looked at the first bytes may have paused it.
    socket.resume();
    if (socket.destroyed) setImmediate(() => user.onClosed());
  }

  write(parts: Buffer[]): boolean {
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) return true;
    if (parts.length === 1) return socket.write(parts[0] as Buffer);
    socket.cork();
    let room = true;
    for (const part of parts) room = socket.write(part);
    socket.uncork();
    return room;
  }

  end(onFlushed: () => void): void {
    if (!this.#socket.destroyed) this.#socket.end(onFlushed);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  yield(goOn: TurnTask): void {
    atTurnEnd(goOn);
  }
}
