/**
 * Reads without a buffer each. Node allocates 64 KiB for every read, shrinks it, wraps it and leaves it to the garbage
 * collector; a codec turns nearly all of that into strings at once. Here all sockets read into one buffer that stays in the
 * cache (docs/decisions/0008-reads-in-place.md has the gain), unless their user has one that the bytes can stay in.
 *
 * Node has this for sockets it connects (`onread` of `net.connect`), not for those it accepts, nor once TLS is on. So the same
 * switch is set on the socket itself. Where a version of Node has no such switch, `data` events serve as ever.
 */
import { readSync } from 'node:fs';
import { Socket } from 'node:net';

export interface ByteSink {
  /** Takes what arrived. `lent`: the bytes are valid until it returns, and whoever keeps some copies them. */
  onBytes(bytes: Buffer, lent: boolean): void;
  /**
   * Asked behind each read in place: what the next one fills, undefined for the buffer that all share. Bytes in a buffer from here are
   * not lent: they are the sink's, as the buffer is, but not before that read.
   */
  nextBuffer?(): Buffer | undefined;
}

const sinkOf: unique symbol = Symbol('sink');

type SinkSocket = Socket & { [sinkOf]: ByteSink };

interface Switch {
  readonly buffer: symbol;
  readonly callback: symbol;
  /** Of a function that gives the next buffer. */
  readonly next: symbol;
}

interface ReadingHandle {
  useUserBuffer(buffer: Uint8Array): void;
}

const shared = Buffer.allocUnsafeSlow(65_536);

/** The members behind `onread`; undefined where this Node names them differently. */
const onread: Switch | undefined = findSwitch();

function findSwitch(): Switch | undefined {
  const members = Object.getOwnPropertySymbols(new Socket());
  const named = (name: string): symbol | undefined => members.find(({ description }) => description === name);
  const [buffer, callback, next] = [named('kBuffer'), named('kBufferCb'), named('kBufferGen')];
  return buffer === undefined || callback === undefined || next === undefined
    ? undefined
    : { buffer, callback, next };
}

function isReadingHandle(handle: unknown): handle is ReadingHandle {
  return (
    typeof handle === 'object' &&
    handle !== null &&
    'useUserBuffer' in handle &&
    typeof handle.useUserBuffer === 'function'
  );
}

/**
 * From now on `sink` gets the bytes of `socket`, in order, also those that were read or put back before; nothing flows before
 * `resume`. Returns whether reads are in place.
 */
export function sendBytesTo(sink: ByteSink, socket: Socket): boolean {
  Object.assign(socket, { [sinkOf]: sink });
  // What is in the stream's queue already comes by this way, before the next read.
  socket.on('data', onData);
  const handle: unknown = Reflect.get(socket, '_handle');
  if (onread === undefined || socket.connecting || !isReadingHandle(handle)) return false;
  handle.useUserBuffer(shared);
  Reflect.set(socket, onread.buffer, shared);
  Reflect.set(socket, onread.callback, onRead);
  if (sink.nextBuffer !== undefined) Reflect.set(socket, onread.next, () => sink.nextBuffer?.() ?? shared);
  return true;
}

/**
 * After `sendBytesTo`: when a write fails, the sink first gets what the other end had sent. A server that has answered may close
 * without reading the rest of a request, which resets the connection; its answer waits in the kernel, and Node, whose write met the
 * reset before its read did, would close the socket with the answer unread. Nothing changes where the socket is TLS.
 */
export function readBeforeClose(socket: Socket): void {
  if (!('encrypted' in socket)) Object.assign(socket, { _destroy: destroyRead });
}

function destroyRead(this: SinkSocket, error: Error | null, done: (error?: Error | null) => void): void {
  if (error !== null && 'syscall' in error && error.syscall === 'write') readRest(this);
  Socket.prototype._destroy.call(this, error, done);
}

/** Until there is no more, or the sink pauses the socket. */
function readRest(socket: SinkSocket): void {
  const handle: unknown = Reflect.get(socket, '_handle');
  if (typeof handle !== 'object' || handle === null || !('fd' in handle)) return;
  const { fd } = handle;
  if (typeof fd !== 'number' || fd < 0) return;
  while (!socket.isPaused()) {
    let size = 0;
    try {
      size = readSync(fd, shared, 0, shared.length, null);
    } catch {
      // EAGAIN, or the reset itself.
    }
    if (size === 0) return;
    socket[sinkOf].onBytes(shared.subarray(0, size), true);
  }
}

// Node calls these as methods of the socket, so that one function serves all of them.

function onData(this: SinkSocket, bytes: Buffer): void {
  this[sinkOf].onBytes(bytes, false);
}

function onRead(this: SinkSocket, size: number, buffer: Buffer): boolean {
  this[sinkOf].onBytes(buffer.subarray(0, size), buffer === shared);
  return true;
}
