/**
 * Looks at what a client sends first without taking it: bytes are read, judged, and put back.
 *
 * `judge` is asked with all bytes so far after each read and answers undefined to see more. What was read is back in
 * the socket when `done` is called, so that whoever takes over starts from the first byte. A client that ended its half
 * before anything was decided is the exception: nothing can be put back then, and `rest` carries its bytes.
 */
import type { Socket } from 'node:net';
import type { Clock } from '@mesh/clock/clock';

export interface FirstBytesOptions<Verdict> {
  clock: Clock;
  timeoutMs: number;
  judge: (bytes: Buffer) => Verdict | undefined;
  /** `undecided`: nothing decisive came in time, or at all. `closed`: the client went away. */
  done: (verdict: Verdict | 'undecided' | 'closed', rest: Buffer | undefined) => void;
}

/** `socket` must be paused and without `data` listeners; it is left so. */
export function readFirstBytes<Verdict extends object | string>(
  socket: Socket,
  { clock, timeoutMs, judge, done }: FirstBytesOptions<Verdict>,
): void {
  let bytes: Buffer = Buffer.alloc(0);
  const finish = (verdict: Verdict | 'undecided' | 'closed'): void => {
    timer.cancel();
    socket.off('readable', onReadable);
    socket.off('end', onEnd);
    socket.off('close', onClose);
    const ended = socket.readableEnded || socket.destroyed;
    if (bytes.length > 0 && !ended) socket.unshift(bytes);
    done(verdict, bytes.length > 0 && ended ? bytes : undefined);
  };
  const onReadable = (): void => {
    for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    }
    if (bytes.length === 0) return;
    const verdict = judge(bytes);
    if (verdict !== undefined) finish(verdict);
  };
  const onEnd = (): void => finish(bytes.length === 0 ? 'closed' : 'undecided');
  const onClose = (): void => finish('closed');
  const timer = clock.after(timeoutMs, () => finish('undecided'));
  socket.on('readable', onReadable);
  socket.on('end', onEnd);
  socket.on('close', onClose);
  if (socket.destroyed) finish('closed');
}
