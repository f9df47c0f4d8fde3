import { atTurnEnd, type TurnTask } from '@mesh/sockets/turn';
import { type SharedTask, TurnShare } from '@mesh/sockets/turn-share';

/**
 * Bytes that all transfers together read in a turn of the event loop, about; some 4 ms. libuv by itself reads a socket 32 times if there
 * is more each time, and does so for every socket: beside 32 downloads everybody else waited for 150 ms.
 */
export const transferBytesPerTurn = 4 * 1024 * 1024;

/**
 * Shares the turns of the event loop among transfers. When a turn has had its bytes, who moves much waits, and of those that wait one
 * goes on in each turn, alone if it can use it all: much at once from one costs less than little from each, since a sender is
 * woken less often (docs/where-the-time-goes.md).
 */
export class ReadShare implements TurnTask {
  readonly #waiting: TurnShare = new TurnShare(1, 0);
  #bytes = 0;
  #armed = false;

  /** Counts what was read. Returns whether this turn has had enough. */
  isSpent(bytes: number): boolean {
    this.#bytes += bytes;
    if (!this.#armed) {
      this.#armed = true;
      atTurnEnd(this);
    }
    return this.#bytes >= transferBytesPerTurn;
  }

  /** `transfer` is told when it may go on; it asks once at a time. */
  wait(transfer: SharedTask): void {
    this.#waiting.take(transfer);
  }

  onTurnEnd(): void {
    this.#armed = false;
    this.#bytes = 0;
  }
}
