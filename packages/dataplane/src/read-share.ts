import { spareBufferBytes } from '@mesh/sockets/spare-buffers';
import { atTurnEnd, type TurnTask } from '@mesh/sockets/turn';
import { TurnShare } from '@mesh/sockets/turn-share';

export interface Transfer {
  /** It waited, and goes on now. */
  onTurn(): void;
}

/**
 * Bytes that all transfers together read in a turn of the event loop, about; some 4 ms. libuv by itself reads a socket 32 times if there
 * is more each time, and does so for every socket: beside 32 downloads everybody else waited for 150 ms.
 */
export const transferBytesPerTurn = 4 * 1024 * 1024;

/**
 * Shares the turns of the event loop among transfers. When a turn has had its bytes, who moves much waits, and of those that wait one
 * goes on in each turn: much at once from one costs less than little from each, since a sender is woken less often
 * (docs/where-the-time-goes.md).
 */
export class ReadShare implements TurnTask {
  readonly #waiting: TurnShare = new TurnShare(1, 0);
  #bytes = 0;
  #armed = false;
  /** Of those that waited. */
  #whoseTurn: Transfer | undefined;

  /**
   * Counts `bytes` that `transfer` read, which are `inTurn` bytes in this turn with those before. Returns whether it has to wait for its
   * next one.
   */
  isOver(transfer: Transfer, bytes: number, inTurn: number): boolean {
    this.#bytes += bytes;
    this.#arm();
    // What others read does not shorten a turn that was waited for.
    if (transfer === this.#whoseTurn) return inTurn >= transferBytesPerTurn;
    // Who asks for little is not held up by those that move much.
    return this.#bytes >= transferBytesPerTurn && inTurn >= spareBufferBytes;
  }

  /** `transfer` is told when it may go on; it asks once at a time. */
  wait(transfer: Transfer): void {
    this.#waiting.take({
      onTurn: () => {
        this.#whoseTurn = transfer;
        transfer.onTurn();
      },
    });
  }

  onTurnEnd(): void {
    this.#armed = false;
    this.#bytes = 0;
    this.#whoseTurn = undefined;
  }

  #arm(): void {
    if (this.#armed) return;
    this.#armed = true;
    atTurnEnd(this);
  }
}
