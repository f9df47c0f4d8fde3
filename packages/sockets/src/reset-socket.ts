import { Socket } from 'node:net';

/**
 * Ends a connection so that the other end sees that it was cut (RST), as `destroy` does not: what came so far would pass for all of it.
 * Of a TLS socket, which Node refuses to reset, the socket below is reset; one that has none, as it connected itself, is destroyed.
 */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return;
  const handle: unknown = Reflect.get(socket, '_handle');
  if (typeof handle === 'object' && handle !== null && !isEnding(socket)) {
    // Node has no public way from a TLS socket to the one below.
    const tcp = '_parentWrap' in handle ? handle._parentWrap : socket;
    if (tcp instanceof Socket && !tcp.destroyed) tcp.resetAndDestroy();
  }
  socket.destroy();
}

/**
 * All was written, and the system is about to send the FIN: libuv resets no such socket, and Node would neither close it nor say so.
 */
function isEnding({ writableEnded, writableFinished, writableLength }: Socket): boolean {
  return writableEnded && !writableFinished && writableLength === 0;
}
