/** Joins two sockets: bytes both ways with back-pressure, half-close passed on; what was cut is cut on the other side, too. */
import type { Socket } from 'node:net';
import { type ByteSink, readBeforeClose, sendBytesTo } from '@mesh/sockets/read-in-place';
import {
  giveBuffer,
  largeBufferBytes,
  loseBuffer,
  spareBufferBytes,
  takeBuffer,
  takeLargeBuffer,
} from '@mesh/sockets/spare-buffers';
import { resetSocket } from '@mesh/sockets/reset-socket';
import { atTurnEnd, type TurnTask } from '@mesh/sockets/turn';
import { resetUnseen } from '@mesh/transport/socket-options';
import { ReadShare, type Transfer } from './read-share.ts';

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

/** Bytes at the beginning of a spare buffer. */
interface Piece {
  readonly buffer: Buffer;
  filled: number;
}

/** All that this process splices. */
const share = new ReadShare();

/**
 * One direction. What one turn brings is collected and leaves as one write; while that is under way the next buffer fills, and
 * when it is full the source is paused. So a direction holds three buffers at most, one that leaves, one filled in part and one that was
 * read behind it (more only when the source has more in hand than it was asked for), and none while nothing moves (one, if the last read
 * just filled its buffer).
 *
 * A read that fills its buffer has more behind it: the next one goes straight into the buffer that will leave, and into a large one
 * when much was read in this turn already, and the other side took it at once. Other reads are of the shared buffer, and are copied.
 */
class Pump implements TurnTask, Transfer, ByteSink {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #waiting: Piece[] = [];
  /** What the next read fills; undefined: the shared buffer. */
  #reading: Buffer | undefined;
  /** The last read filled its buffer. */
  #moreToRead = false;
  /** Under way to `#to`. */
  #leaving: Buffer | undefined;
  #scheduled = false;
  /** In this turn of the event loop. */
  #bytesRead = 0;
  #waitsForTurn = false;
  /** The other side takes less than comes. */
  #blocked = false;
  #paused = false;
  #ended = false;
  readonly #onWritten = (error?: Error | null): void => {
    const buffer = this.#leaving;
    this.#leaving = undefined;
    if (buffer !== undefined) {
      if (error) loseBuffer(buffer);
      else giveBuffer(buffer);
    }
    if (error || this.#to.destroyed) return;
    this.#send();
    if (this.#waiting.length <= 1) this.#blocked = false;
    this.#pauseOrResume();
  };

  constructor(from: Socket, to: Socket) {
    this.#from = from;
    this.#to = to;
  }

  start(closed: () => void): void {
    const from = this.#from;
    const to = this.#to;
    // An end would say that all is there: opaque bytes have no other sign of it.
    from.on('error', () => {
      this.#send();
      resetSocket(to);
    });
    from.on('close', () => {
      // After a clean end what is collected still goes out; `end` was passed on.
      if (!from.readableEnded || from.errored !== null) resetSocket(to);
      if (this.#reading !== undefined) giveBuffer(this.#reading);
      this.#reading = undefined;
      closed();
    });
    to.on('close', () => {
      // Whoever took these bytes is gone, with an error or without: its own end may have come long before.
      if (!to.writableFinished) resetSocket(from);
      for (const { buffer } of this.#waiting.splice(0)) giveBuffer(buffer);
    });
    if (from.destroyed) {
      resetSocket(to);
      closed();
      return;
    }
    if (from.readableEnded) {
      to.end();
      return;
    }
    from.on('end', () => {
      if (resetUnseen(from)) {
        this.#send();
        resetSocket(to);
        return;
      }
      this.#ended = true;
      this.#send();
    });
    sendBytesTo(this, from);
    readBeforeClose(from);
    from.resume();
  }

  /** As if the source had ended. */
  end(): void {
    this.#ended = true;
    this.#send();
  }

  onTurnEnd(): void {
    this.#scheduled = false;
    this.#bytesRead = 0;
    this.#send();
  }

  onTurn(): void {
    this.#waitsForTurn = false;
    this.#pauseOrResume();
  }

  onBytes(bytes: Buffer, lent: boolean): void {
    const own = lent ? undefined : this.#ownBuffer(bytes);
    this.#moreToRead = bytes.length === (own?.length ?? spareBufferBytes);
    this.#bytesRead += bytes.length;
    if (!this.#isDraining) this.#collect(bytes, own);
    else if (own !== undefined) giveBuffer(own);
    if (share.isOver(this, bytes.length, this.#bytesRead) && !this.#waitsForTurn) {
      this.#waitsForTurn = true;
      share.wait(this);
    }
    this.#pauseOrResume();
    if (this.#scheduled) return;
    this.#scheduled = true;
    atTurnEnd(this);
  }

  /** What arrives goes nowhere. */
  get #isDraining(): boolean {
    return this.#ended || this.#to.destroyed;
  }

  #collect(bytes: Buffer, own: Buffer | undefined): void {
    if (own === undefined) this.#copy(bytes);
    else this.#waiting.push({ buffer: own, filled: bytes.length });
    const [first] = this.#waiting;
    if (this.#waiting.length === 1 && first?.filled !== first?.buffer.length) return;
    if (this.#leaving === undefined) this.#send();
    else this.#blocked = true;
  }

  nextBuffer(): Buffer | undefined {
    this.#reading = this.#moreToCome();
    return this.#reading;
  }

  #moreToCome(): Buffer | undefined {
    // While paused it would be held for nothing.
    if (!this.#moreToRead || this.#paused || this.#isDraining) return undefined;
    const large = this.#bytesRead >= largeBufferBytes && this.#to.writableLength === 0;
    return (large ? takeLargeBuffer() : undefined) ?? takeBuffer();
  }

  /** What the socket had in hand before reads were in place lies in buffers of Node. */
  #ownBuffer(bytes: Buffer): Buffer | undefined {
    const own = this.#reading;
    if (own === undefined || bytes.buffer !== own.buffer) return undefined;
    this.#reading = undefined;
    return own;
  }

  #copy(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      let tail = this.#waiting.at(-1);
      if (tail === undefined || tail.filled === tail.buffer.length) {
        tail = { buffer: takeBuffer(), filled: 0 };
        this.#waiting.push(tail);
      }
      const copied = bytes.copy(tail.buffer, tail.filled, at);
      tail.filled += copied;
      at += copied;
    }
  }

  #pauseOrResume(): void {
    const paused = this.#blocked || this.#waitsForTurn;
    if (paused === this.#paused) return;
    this.#paused = paused;
    if (paused) this.#from.pause();
    else this.#from.resume();
  }

  #send(): void {
    const to = this.#to;
    if (this.#leaving !== undefined || to.destroyed) return;
    const piece = this.#waiting.shift();
    if (piece === undefined) {
      if (this.#ended) this.#sayEnd();
      return;
    }
    const { buffer, filled } = piece;
    this.#leaving = buffer;
    to.write(filled < buffer.length ? buffer.subarray(0, filled) : buffer, this.#onWritten);
  }

  #sayEnd(): void {
    const to = this.#to;
    // Then `close` cuts the other side.
    if (!to.writableEnded && resetUnseen(to)) to.destroy();
    else to.end();
  }
}
