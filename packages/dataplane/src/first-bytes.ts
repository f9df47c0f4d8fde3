/**
 * Looks at what a client sends first without taking it: bytes are read, judged, and put back.
 *
 * `judge` is asked with all bytes so far after each read and answers undefined to see more. What was read is back in
 * the socket when `done` is called, so that whoever takes over starts from the first byte. A client that ended its half
 * before anything was decided is the exception: nothing can be put back then, and `rest` carries its bytes.
 */
import type { Socket } from 'node:net';
import type { Clock } from '@mesh/clock/clock';
import type { TurnShare } from '@mesh/sockets/turn-share';

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
  { clock, timeoutMs, judge, done, turns }: FirstBytesOptions<Verdict>,
): void {
  let bytes: Buffer = Buffer.alloc(0);
  const startedAt = clock.now();
  let finished = false;
  let waiting = false;
  const finish = (verdict: Verdict | Undecided): void => {
    finished = true;
    timer.cancel();
    socket.off('readable', onReadable);
    socket.off('end', onEnd);
    socket.off('close', onClose);
    const ended = socket.readableEnded || socket.destroyed;
    if (bytes.length > 0 && !ended) socket.unshift(bytes);
    done(verdict, { rest: bytes.length > 0 && ended ? bytes : undefined, ms: clock.now() - startedAt });
  };
  const look = (): void => {
    waiting = false;
    if (finished) return;
    for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    }
    if (bytes.length === 0) return;
    const verdict = judge(bytes);
    if (verdict !== undefined) finish(verdict);
  };
  const onReadable = (): void => {
    if (waiting) return;
    waiting = true;
    if (turns === undefined) look();
    else if (!turns.share.take(look)) turns.onWait();
  };
  const onEnd = (): void => finish(bytes.length === 0 ? 'closed' : 'ended');
  const onClose = (): void => finish('closed');
  const timer = clock.after(timeoutMs, () => finish('timeout'));
  socket.on('readable', onReadable);
  socket.on('end', onEnd);
  socket.on('close', onClose);
  if (socket.destroyed) finish('closed');
}
