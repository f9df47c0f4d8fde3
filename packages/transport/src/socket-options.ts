/** Options of a TCP socket that Node does not offer. */
import type { Socket } from 'node:net';
import { libcFunction } from './libc.ts';

/** From <asm-generic/socket.h>. */
const solSocket = 1;
const soLinger = 13;

/** From <netinet/in.h> and <linux/tcp.h>. */
const ipProtoTcp = 6;
const tcpInfo = 11;
const tcpUserTimeout = 18;

/** Offsets in `struct tcp_info`; those up to `tcpi_bytes_acked` are there since Linux 4.1. */
const infoAt = { state: 0, probes: 3, unacked: 24, lastAckReceived: 56, rtt: 68, bytesAcked: 120 } as const;
const tcpInfoBytes = 128;

/** What the kernel knows of the way to the other end. */
export interface TcpPath {
  /** Window probes that were not answered. */
  readonly probes: number;
  /** Segments sent and not acknowledged. */
  readonly unacked: number;
  /** Since the last acknowledgement, ms. */
  readonly lastAckMs: number;
  /** Smoothed round trip, ms. */
  readonly rttMs: number;
  /** Bytes acknowledged since the connection began. */
  readonly acknowledgedBytes: number;
}

interface Libc {
  getsockopt: (fd: number, level: number, name: number, value: Buffer, length: Buffer) => number;
  setsockopt: (fd: number, level: number, name: number, value: Buffer, length: number) => number;
}

let loaded: Libc | undefined;

function libc(): Libc {
  loaded ??= {
    getsockopt: libcFunction(
      'int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint8_t *length)',
    ),
    setsockopt: libcFunction('int setsockopt(int fd, int level, int name, uint8_t *value, uint32_t length)'),
  };
  return loaded;
}

/** The first `bytes` of an option's value; undefined on a closed socket and where the kernel refuses. */
export function socketOption(socket: Socket, level: number, name: number, bytes: number): Buffer | undefined {
  const fd = fileDescriptorOf(socket);
  if (fd === undefined) return undefined;
  const value = Buffer.alloc(bytes);
  const length = Buffer.alloc(4);
  writeNative32(length, bytes);
  return libc().getsockopt(fd, level, name, value, length) === 0 ? value : undefined;
}

/**
 * The kernel ends the connection with ETIMEDOUT once sent data, or a keep-alive probe, has been unacknowledged for `ms`
 * (RFC 5482); 0 for its default of about 15 minutes. False where it cannot be set.
 *
 * The kernel counts a closed window as unacknowledged: only for connections whose other end always reads.
 */
export function setUserTimeout(socket: Socket, ms: number): boolean {
  const fd = fileDescriptorOf(socket);
  if (fd === undefined) return false;
  const value = Buffer.alloc(4);
  writeNative32(value, ms);
  return libc().setsockopt(fd, ipProtoTcp, tcpUserTimeout, value, 4) === 0;
}

/** The effective user timeout, ms. */
export function userTimeout(socket: Socket): number | undefined {
  const value = socketOption(socket, ipProtoTcp, tcpUserTimeout, 4);
  return value === undefined ? undefined : new Uint32Array(value.buffer, value.byteOffset, 1)[0];
}

/**
 * Whatever closes `socket` from now on resets it (SO_LINGER without time): the other end does not take what came for all of it, and
 * what was not sent yet is dropped. Also of a socket below a TLS socket. False where it cannot be set.
 */
export function resetAtClose(socket: Socket): boolean {
  const fd = fileDescriptorOf(socket);
  if (fd === undefined) return false;
  const linger = Buffer.alloc(8);
  writeNative32(linger, 1);
  return libc().setsockopt(fd, solSocket, soLinger, linger, linger.length) === 0;
}

/** `TCP_CLOSE` of <netinet/tcp.h>. */
const tcpClose = 7;

/**
 * The other end reset the connection, or the kernel gave it up. For sockets that are paused: they do not hear of it. False where
 * the kernel cannot be asked.
 */
export function isReset(socket: Socket): boolean {
  return socketOption(socket, ipProtoTcp, tcpInfo, tcpInfoBytes)?.[infoAt.state] === tcpClose;
}

/**
 * Whether the other end reset this TLS socket and reads may not say so. A write that meets the reset, as that of our goodbye
 * (close_notify), takes the error, and the next read finds nothing more, as behind a FIN. So it is asked before a goodbye, and when an
 * end was read.
 */
export function resetUnseen(socket: Socket): boolean {
  return 'encrypted' in socket && !socket.writableFinished && isReset(socket);
}

/** `TCP_INFO`; undefined on a closed socket. */
export function tcpPath(socket: Socket): TcpPath | undefined {
  const info = socketOption(socket, ipProtoTcp, tcpInfo, tcpInfoBytes);
  if (info === undefined) return undefined;
  const words = new Uint32Array(info.buffer, info.byteOffset, tcpInfoBytes / 4);
  return {
    probes: info[infoAt.probes] as number,
    unacked: words[infoAt.unacked / 4] as number,
    lastAckMs: words[infoAt.lastAckReceived / 4] as number,
    rttMs: (words[infoAt.rtt / 4] as number) / 1000,
    acknowledgedBytes: Number(new BigUint64Array(info.buffer, info.byteOffset + infoAt.bytesAcked, 1)[0]),
  };
}

function writeNative32(target: Buffer, value: number): void {
  new Uint32Array(target.buffer, target.byteOffset, 1)[0] = value;
}

function fileDescriptorOf(socket: Socket): number | undefined {
  // Node keeps it on the handle and has no public way to it; a TLS socket answers with that of the socket below.
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: number } | null };
  const fd = handle?.fd;
  return fd === undefined || fd < 0 ? undefined : fd;
}
