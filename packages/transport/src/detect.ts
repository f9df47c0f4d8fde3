/** Which protocol a client speaks, by the first bytes it sends. */
import type { Socket } from 'node:net';
import type { Clock } from '@mesh/clock/clock';

export type DetectedProtocol = 'http1' | 'http2' | 'tls' | 'opaque';

/** Bytes looked at; what is undecided then is opaque, or HTTP/1 with a very long target. */
export const detectBytes = 1024;

/** So much of the HTTP/2 preface decides: nothing else starts like this. */
const preface = 'PRI * HTTP/2.0';
const requestLine = /^[A-Z][A-Z_-]{0,31} [/*0-9A-Za-z[][!-~\x80-\xff]* HTTP\/1\.[01]\r\n/;
/** A request line so far: method in capitals, a target, part of the version. */
const startOfRequestLine =
  /^[A-Z][A-Z_-]{0,31}(?: (?:[/*0-9A-Za-z[][!-~\x80-\xff]*(?: [HTP/1.0]{0,8}\r?)?)?)?$/;
const longTarget = /^[A-Z][A-Z_-]{0,31} [/hH][!-~\x80-\xff]+$/;

/**
 * Judges `bytes`, all that came so far. HTTP/2 by its preface (RFC 9113 §3.4), HTTP/1 by a request line (RFC 9112 §3),
 * TLS by a handshake record (RFC 8446 §5.1). Undefined while it can still become more than one of them.
 */
export function judgeProtocol(bytes: Buffer): DetectedProtocol | undefined {
  if (bytes.length === 0) return undefined;
  if (bytes[0] === 0x16) {
    if (bytes.length < 3) return undefined;
    return bytes[1] === 0x03 && (bytes[2] as number) <= 0x04 ? 'tls' : 'opaque';
  }
  const text = bytes.toString('latin1', 0, Math.min(bytes.length, detectBytes));
  if (text.startsWith(preface)) return 'http2';
  if (preface.startsWith(text)) return undefined;
  if (requestLine.test(text)) return 'http1';
  if (bytes.length >= detectBytes) return longTarget.test(text) ? 'http1' : 'opaque';
  return startOfRequestLine.test(text) ? undefined : 'opaque';
}

export interface DetectOptions {
  clock: Clock;
  /** How long to wait for decisive bytes; afterwards the connection is opaque. Usually 10 s. */
  timeoutMs: number;
}

/**
 * Reads what `socket` sends first, judges it and puts it back, so that whoever takes over reads from the first byte.
 * The socket must be paused and without `data` listeners, and is left so. `closed`: the client went away, or ended its
 * half before anything was decided; what it sent is then in `rest`, as an ended socket takes nothing back.
 */
export function detectProtocol(
  socket: Socket,
  { clock, timeoutMs }: DetectOptions,
  done: (protocol: DetectedProtocol | 'closed', rest: Buffer) => void,
): void {
  let bytes: Buffer = Buffer.alloc(0);
  const finish = (protocol: DetectedProtocol | 'closed'): void => {
    timer.cancel();
    socket.off('readable', onReadable);
    socket.off('end', onEnd);
    socket.off('close', onEnd);
    const gone = protocol === 'closed';
    if (!gone && bytes.length > 0) socket.unshift(bytes);
    done(protocol, gone ? bytes : Buffer.alloc(0));
  };
  const onReadable = (): void => {
    for (;;) {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
      const protocol = judgeProtocol(bytes);
      if (protocol !== undefined) {
        finish(protocol);
        return;
      }
    }
  };
  const onEnd = (): void => finish('closed');
  const timer = clock.after(timeoutMs, () => finish('opaque'));
  socket.on('readable', onReadable);
  socket.on('end', onEnd);
  socket.on('close', onEnd);
  if (socket.destroyed || socket.readableEnded) finish('closed');
}
