/** Joins two sockets: bytes both ways with back-pressure, half-close passed on, errors ending both. */
import type { Socket } from 'node:net';

/** Calls `onClose` once, when both sockets are gone. Either socket may hold unshifted bytes, or have ended already. */
export function splice(one: Socket, other: Socket, onClose: () => void): void {
  let open = 2;
  const closed = (): void => {
    if (--open === 0) onClose();
  };
  pump(one, other, closed);
  pump(other, one, closed);
}

function pump(from: Socket, to: Socket, closed: () => void): void {
  from.on('error', () => to.destroy());
  from.on('close', () => {
    // After a clean end what is queued still goes out; `end` was passed on.
    if (!from.readableEnded || from.errored !== null) to.destroy();
    closed();
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
  from.on('data', (chunk: Buffer) => {
    if (!to.write(chunk)) from.pause();
  });
  to.on('drain', () => from.resume());
  from.on('end', () => to.end());
  from.resume();
}
