/** Between the values of the control API and what the rest of the code uses. */
import { create } from '@bufbuild/protobuf';
import { type Duration, DurationSchema } from '@bufbuild/protobuf/wkt';
import { isIPv4, isIPv6 } from 'node:net';
import { type IPAddress, IPAddressSchema, type TcpAddress, TcpAddressSchema } from './gen/linkerd/net_pb.ts';

/** Undefined when `text` is no IP address. */
export function ipFromText(text: string): IPAddress | undefined {
  if (isIPv4(text)) {
    let value = 0;
    for (const part of text.split('.')) value = value * 256 + Number(part);
    return create(IPAddressSchema, { ip: { case: 'ipv4', value } });
  }
  if (!isIPv6(text) || text.includes('%')) return undefined;
  const hextets = expandIpv6(text);
  return create(IPAddressSchema, {
    ip: { case: 'ipv6', value: { first: join64(hextets.slice(0, 4)), last: join64(hextets.slice(4)) } },
  });
}

/** Canonical text; undefined when no address is set. */
export function ipToText(address: IPAddress | undefined): string | undefined {
  if (address?.ip.case === 'ipv4') {
    const value = address.ip.value;
    return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
  }
  if (address?.ip.case === 'ipv6') {
    const { first, last } = address.ip.value;
    return compressIpv6([...split64(first), ...split64(last)]);
  }
  return undefined;
}

/** Undefined when `ip` is no IP address or `port` not within 0 to 65535. */
export function tcpAddress(ip: string, port: number): TcpAddress | undefined {
  const address = ipFromText(ip);
  if (address === undefined || !isPort(port)) return undefined;
  return create(TcpAddressSchema, { ip: address, port });
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Undefined when the message is no valid address. */
export function tcpAddressToHostPort(address: TcpAddress | undefined): HostPort | undefined {
  const host = ipToText(address?.ip);
  if (address === undefined || host === undefined || !isPort(address.port)) return undefined;
  return { host, port: address.port };
}

/** `host:port`, `[v6]:port`, or without a port when `defaultPort` is given. Undefined for anything else. */
export function parseHostPort(text: string, defaultPort?: number): HostPort | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (host === undefined || port === undefined || !isPort(port) || port === 0) return undefined;
  return { host, port };
}

export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

export function durationFromMs(ms: number): Duration {
  const seconds = Math.trunc(ms / 1000);
  return create(DurationSchema, {
    seconds: BigInt(seconds),
    nanos: Math.round((ms - seconds * 1000) * 1e6),
  });
}

export function durationToMs(duration: Duration | undefined): number | undefined {
  return duration === undefined ? undefined : Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 0 && port <= 65_535;
}

function expandIpv6(text: string): number[] {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  let plain = text;
  if (dotted !== null) {
    const [a, b, c, d] = dotted.slice(2).map(Number) as [number, number, number, number];
    plain = `${dotted[1]}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  }
  const [left = '', right] = plain.split('::');
  const parse = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((hextet) => Number.parseInt(hextet, 16));
  const head = parse(left);
  if (right === undefined) return head;
  const tail = parse(right);
  return [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => 0), ...tail];
}

/** RFC 5952: the longest run of two or more zero hextets, the first of equals, becomes `::`. */
function compressIpv6(hextets: readonly number[]): string {
  let best = { start: 0, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && hextets[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  const hex = hextets.map((hextet) => hextet.toString(16));
  if (best.length < 2) return hex.join(':');
  return `${hex.slice(0, best.start).join(':')}::${hex.slice(best.start + best.length).join(':')}`;
}

function join64(hextets: readonly number[]): bigint {
  let value = 0n;
  for (const hextet of hextets) value = (value << 16n) | BigInt(hextet);
  return value;
}

function split64(value: bigint): number[] {
  return [48n, 32n, 16n, 0n].map((shift) => Number((value >> shift) & 0xffffn));
}
