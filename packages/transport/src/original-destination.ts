/**
 * Where a connection that iptables redirected to us was going: `getsockopt(SO_ORIGINAL_DST)`, which Node does not offer.
 * IPv4. Needs no privilege.
 */
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';

/** From <linux/in.h> and <linux/netfilter_ipv4.h>. */
const SOL_IP = 0;
const SO_ORIGINAL_DST = 80;
const sockaddrInBytes = 16;

export interface OriginalDestination {
  /** Dotted IPv4 address. */
  readonly host: string;
  readonly port: number;
}

type GetSockOpt = (fd: number, level: number, name: number, value: Buffer, length: Buffer) => number;

interface NativeLoader {
  load(path: string | null): { func(definition: string): GetSockOpt };
}

let getSockOpt: GetSockOpt | undefined;

/** Loaded on first use: programs that never ask do not pay for it. */
function loadGetSockOpt(): GetSockOpt {
  if (getSockOpt === undefined) {
    const koffi: NativeLoader = createRequire(import.meta.url)('koffi');
    // libc is part of every Node process, so the process itself is searched.
    getSockOpt = koffi
      .load(null)
      .func('int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint8_t *length)');
  }
  return getSockOpt;
}

/** Undefined when the connection was not redirected, is closed already or is not TCP over IPv4. */
export function originalDestination(socket: Socket): OriginalDestination | undefined {
  const fd = fileDescriptorOf(socket);
  if (fd === undefined) return undefined;
  const address = Buffer.alloc(sockaddrInBytes);
  const length = Buffer.alloc(4);
  writeNative32(length, sockaddrInBytes);
  if (loadGetSockOpt()(fd, SOL_IP, SO_ORIGINAL_DST, address, length) !== 0) return undefined;
  const host = `${address[4]}.${address[5]}.${address[6]}.${address[7]}`;
  const port = address.readUInt16BE(2);
  // Connection tracking answers for connections that it left alone, too: with where they are.
  const local = socket.localAddress?.replace(/^::ffff:/, '');
  if (port === 0 || (host === local && port === socket.localPort)) return undefined;
  return { host, port };
}

function writeNative32(target: Buffer, value: number): void {
  new Uint32Array(target.buffer, target.byteOffset, 1)[0] = value;
}

function fileDescriptorOf(socket: Socket): number | undefined {
  // Node keeps it on the handle and has no public way to it.
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: number } | null };
  const fd = handle?.fd;
  return fd === undefined || fd < 0 ? undefined : fd;
}
