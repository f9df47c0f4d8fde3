/** Joins two sockets: bytes both ways with back-pressure, half-close passed on, errors ending both. */
import type { Socket } from 'node:net';
import { sendBytesTo } from '@mesh/sockets/read-in-place';
import { giveBuffer, takeBuffer } from '@mesh/sockets/spare-buffers';
import { atTurnEnd, type TurnTask } from '@mesh/sockets/turn';

export interface Spliced {
  /** Lets what was read leave, then ends both directions; what arrives after this goes nowhere. */
  end(): void;
}

/** Calls `onClose` once, when both sockets are gone. Either socket may hold unshifted bytes, or have ended already. */
export function splice(one: Socket, other: Socket, onClose: () => void): Spliced {
  let open = 2;
  const closed = (): void => {
    if (--open === 0) onClose();
  };
  const there = new Pump(one, other);
  const back = new Pump(other, one);
  there.start(closed);
  back.start(closed);
  return {
    end() {
      there.end();
      back.end();
    },
  };
}

/**
 * One direction. What one turn brings is collected and leaves as one write; while that is under way the next buffer fills, and
 * when it is full the source is paused. So a direction holds two buffers at most (more only when the source has more
 * in hand than it was asked for), and none while nothing moves.
 */
class Pump implements TurnTask {
  readonly #from: Socket;
  readonly #to: Socket;
  /** Buffers that wait, all full but the last. */
  readonly #waiting: Buffer[] = [];
  /** Bytes in the last one that waits. */
  #filled = 0;
  /** Under way to `#to`. */
  #leaving: Buffer | undefined;
  #scheduled = false;
  #paused = false;
  #ended = false;
  readonly #onWritten = (error?: Error | null): void => {
    const buffer = this.#leaving;
    this.#leaving = undefined;
    // After an error the system may still hold on to it.
    if (buffer !== undefined && !error) giveBuffer(buffer);
    if (error || this.#to.destroyed) return;
    this.#send();
    if (!this.#paused || this.#waiting.length > 1) return;
    this.#paused = false;
    this.#from.resume();
  };

  constructor(from: Socket, to: Socket) {
    this.#from = from;
    this.#to = to;
  }

  start(closed: () => void): void {
    const from = this.#from;
    const to = this.#to;
    from.on('error', () => to.destroy());
    from.on('close', () => {
      // After a clean end what is collected still goes out; `end` was passed on.
      if (!from.readableEnded || from.errored !== null) to.destroy();
      closed();
    });
    to.on('close', () => {
      this.#waiting.length = 0;
    });
    if (from.destroyed) {
      to.destroy();
      closed();
      return;
    }
    if (from.readableEnded) {
      to.end();
      return;
    }
    from.on('end', () => {
      this.#ended = true;
      this.#send();
    });
    sendBytesTo({ onBytes: (bytes) => this.#collect(bytes) }, from);
    from.resume();
  }

  /** As if the source had ended. */
  end(): void {
    this.#ended = true;
    this.#send();
  }

  onTurnEnd(): void {
    this.#scheduled = false;
    this.#send();
  }

  #collect(bytes: Buffer): void {
    if (this.#to.destroyed || this.#ended) return;
    let at = 0;
    while (at < bytes.length) {
      let buffer = this.#waiting.at(-1);
      if (buffer === undefined || this.#filled === buffer.length) {
        buffer = takeBuffer();
        this.#waiting.push(buffer);
        this.#filled = 0;
      }
      const copied = bytes.copy(buffer, this.#filled, at);
      this.#filled += copied;
      at += copied;
    }
    if (this.#waiting.length > 1 || this.#filled === this.#waiting[0]?.length) {
      if (this.#leaving === undefined) this.#send();
      else this.#pause();
    }
    if (this.#leaving !== undefined || this.#scheduled) return;
    this.#scheduled = true;
    atTurnEnd(this);
  }

  #pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#from.pause();
  }

  #send(): void {
    const to = this.#to;
    if (this.#leaving !== undefined || to.destroyed) return;
    const buffer = this.#waiting.shift();
    if (buffer === undefined) {
      if (this.#ended) to.end();
      return;
    }
    this.#leaving = buffer;
    const last = this.#waiting.length === 0;
    to.write(
      last && this.#filled < buffer.length ? buffer.subarray(0, this.#filled) : buffer,
      this.#onWritten,
    );
  }
}
