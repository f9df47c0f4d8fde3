/**
 * Tells one object what happens on its socket, by functions that all sockets share. A closure for each event of each connection
 * was a quarter of what an idle connection kept (docs/where-the-memory-goes.md).
 */
import type { Socket } from 'node:net';
import { type ByteSink, sendBytesTo } from './read-in-place.ts';

export interface SocketUser extends ByteSink {
  onSocketDrain(): void;
  /** The other side sent its FIN. */
  onSocketEnd(): void;
  /** All that was written is with the kernel, and our FIN. */
  onSocketFinish(): void;
  /** The last call, also after an error. */
  onSocketClose(): void;
}

const userOf: unique symbol = Symbol('user');

type UsedSocket = Socket & { [userOf]: SocketUser };

/** From now on `user` gets all events of `socket`, which has no other user; nothing flows before `resume`. */
export function useSocket(socket: Socket, user: SocketUser): void {
  Object.assign(socket, { [userOf]: user });
  sendBytesTo(user, socket);
  socket.on('drain', onDrain);
  socket.on('end', onEnd);
  socket.on('finish', onFinish);
  socket.on('error', ignoreError);
  socket.on('close', onClose);
}

/** Listener for errors of a socket whose 'close', which follows, is what counts. Without one they would end the process. */
export function ignoreError(): void {}

function onDrain(this: UsedSocket): void {
  this[userOf].onSocketDrain();
}

function onEnd(this: UsedSocket): void {
  this[userOf].onSocketEnd();
}

function onFinish(this: UsedSocket): void {
  this[userOf].onSocketFinish();
}

function onClose(this: UsedSocket): void {
  this[userOf].onSocketClose();
}
