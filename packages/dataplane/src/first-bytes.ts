/**
 * Looks at what a client sends first without taking it: bytes are read, judged, and put back.
 *
 * `judge` is asked with all bytes so far after each read and answers undefined to see more. What was read is back in
 * the socket when `done` is called, so that whoever takes over starts from the first byte. A client that ended its half
 * before anything was decided is the exception: nothing can be put back then, and `rest` carries its bytes.
 */
import type { Socket } from 'node:net';
import type { Clock, Timer } from '@mesh/clock/clock';
import type { SharedTask, TurnShare } from '@mesh/sockets/turn-share';

/**
 * Why there is no verdict. `timeout`: nothing decisive came in time. `ended`: the client ended its half before anything
 * was decided. `closed`: it went away, or ended without a byte.
 */
export type Undecided = 'timeout' | 'ended' | 'closed';

export interface FirstBytes {
  /** What was read and could not be put back. */
  readonly rest: Buffer | undefined;
  /** How long it took. */
  readonly ms: number;
}

export interface FirstBytesOptions<Verdict> {
  clock: Clock;
  timeoutMs: number;
  judge: (bytes: Buffer) => Verdict | undefined;
  /** Shares the looks of many connections out to turns; `onWait` is told of each look that was put off. */
  turns?: { readonly share: TurnShare; readonly onWait: () => void };
  done: (verdict: Verdict | Undecided, read: FirstBytes) => void;
}

/** `socket` must be paused and without `data` listeners; it is left so. */
export function readFirstBytes<Verdict extends object | string>(
  socket: Socket,
  options: FirstBytesOptions<Verdict>,
): void {
  new FirstLook(socket, options).start();
}

const nothing = Buffer.alloc(0);
const lookOf: unique symbol = Symbol('look');

/** What the listeners below call: they are the same functions for all sockets. */
interface Look {
  onReadable(): void;
  onEnd(): void;
  onClose(): void;
}

type WatchedSocket = Socket & { [lookOf]: Look | undefined };

class FirstLook<Verdict extends object | string> implements Look, SharedTask {
  readonly #socket: Socket;
  readonly #options: FirstBytesOptions<Verdict>;
  readonly #startedAt: number;
  readonly #timer: Timer;
  #bytes: Buffer = nothing;
  #waiting = false;

  constructor(socket: Socket, options: FirstBytesOptions<Verdict>) {
    this.#socket = socket;
    this.#options = options;
    this.#startedAt = options.clock.now();
    this.#timer = options.clock.after(options.timeoutMs, () => this.#finish('timeout'));
  }

  start(): void {
    const socket = this.#socket;
    Object.assign(socket, { [lookOf]: this });
    socket.on('readable', onReadable);
    socket.on('end', onEnd);
    socket.on('close', onClose);
    if (socket.destroyed) this.onClose();
  }

  onReadable(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    const { turns } = this.#options;
    if (turns === undefined) this.onTurn();
    else turns.share.take(this);
  }

  onTurn(): void {
    this.#waiting = false;
    const socket = this.#socket;
    for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
      this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    }
    if (this.#bytes.length === 0) return;
    const verdict = this.#options.judge(this.#bytes);
    if (verdict !== undefined) this.#finish(verdict);
  }

  onPutOff(): void {
    this.#options.turns?.onWait();
  }

  onEnd(): void {
    this.#finish(this.#bytes.length === 0 ? 'closed' : 'ended');
  }

  onClose(): void {
    this.#finish('closed');
  }

  #finish(verdict: Verdict | Undecided): void {
    this.#options.turns?.share.withdraw(this);
    this.#timer.cancel();
    const socket = this.#socket;
    socket.off('readable', onReadable);
    socket.off('end', onEnd);
    socket.off('close', onClose);
    Object.assign(socket, { [lookOf]: undefined });
    const bytes = this.#bytes;
    const ended = socket.readableEnded || socket.destroyed;
    if (bytes.length > 0 && !ended) socket.unshift(bytes);
    const { clock, done } = this.#options;
    done(verdict, {
      rest: bytes.length > 0 && ended ? bytes : undefined,
      ms: clock.now() - this.#startedAt,
    });
  }
}

function onReadable(this: WatchedSocket): void {
  this[lookOf]?.onReadable();
}

function onEnd(this: WatchedSocket): void {
  this[lookOf]?.onEnd();
}

function onClose(this: WatchedSocket): void {
  this[lookOf]?.onClose();
}
