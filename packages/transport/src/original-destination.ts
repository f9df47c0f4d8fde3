/**
 * Where a connection that iptables redirected to us was going: `getsockopt(SO_ORIGINAL_DST)`.
 * IPv4. Needs no privilege.
 */
import type { Socket } from 'node:net';
import { socketOption } from './socket-options.ts';

/** From <linux/in.h> and <linux/netfilter_ipv4.h>. */
const SOL_IP = 0;
const SO_ORIGINAL_DST = 80;
const sockaddrInBytes = 16;

export interface OriginalDestination {
  /** Dotted IPv4 address. */
  readonly host: string;
  readonly port: number;
}

/** Undefined when the connection was not redirected, is closed already or is not TCP over IPv4. */
export function originalDestination(socket: Socket): OriginalDestination | undefined {
  const address = socketOption(socket, SOL_IP, SO_ORIGINAL_DST, sockaddrInBytes);
  if (address === undefined) return undefined;
  const host = `${address[4]}.${address[5]}.${address[6]}.${address[7]}`;
  const port = address.readUInt16BE(2);
  // Connection tracking answers for connections that it left alone, too: with where they are.
  const local = socket.localAddress?.replace(/^::ffff:/, '');
  if (port === 0 || (host === local && port === socket.localPort)) return undefined;
  return { host, port };
}
