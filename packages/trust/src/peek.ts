/**
 * Reads a TLS ClientHello (RFC 8446 §4.1.2) without consuming it: is this TLS, for whom, with which protocols.
 */
import { maxClientHelloBytes } from './limits.ts';

export type Peek =
  /** A ClientHello so far; more bytes are needed. */
  | { readonly kind: 'need-more' }
  /** No ClientHello, a malformed one, or one that is longer than `maxClientHelloBytes`. */
  | { readonly kind: 'not-tls' }
  | {
      readonly kind: 'tls';
      /** Lower-case server name (RFC 6066 §3); absent when the client sent none. */
      readonly sni?: string;
      /** Offered protocols (RFC 7301) as latin1 text, best first; empty when the client sent none. */
      readonly alpn: string[];
    };

const needMore: Peek = { kind: 'need-more' };
const notTls: Peek = { kind: 'not-tls' };

const recordHandshake = 22;
const messageClientHello = 1;
const extensionServerName = 0;
const extensionAlpn = 16;
const maxRecordBytes = 16_384;

/**
 * Judges the first bytes of a connection. Pure: call it again with all bytes so far when it asked for more; it does
 * so at most until `maxClientHelloBytes` are there.
 */
export function peekClientHello(bytes: Buffer): Peek {
  const joined = joinRecords(bytes);
  if (!Array.isArray(joined)) return joined;
  const hello = joined.length === 1 && joined[0] !== undefined ? joined[0] : Buffer.concat(joined);
  if (hello.length > 0 && hello[0] !== messageClientHello) return notTls;
  if (hello.length < 4) return needMore;
  const length = hello.readUIntBE(1, 3);
  if (length + 9 > maxClientHelloBytes) return notTls;
  if (hello.length < 4 + length) return bytes.length >= maxClientHelloBytes ? notTls : needMore;
  return parseHello(hello.subarray(4, 4 + length));
}

/** The handshake bytes inside the leading records; a verdict when these cannot begin a handshake. */
function joinRecords(bytes: Buffer): Buffer[] | Peek {
  const fragments: Buffer[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const major = bytes[offset + 1];
    const minor = bytes[offset + 2];
    if (bytes[offset] !== recordHandshake) return fragments.length === 0 ? notTls : complete(fragments);
    if (major !== undefined && major !== 3) return fragments.length === 0 ? notTls : complete(fragments);
    if (minor !== undefined && minor > 4) return fragments.length === 0 ? notTls : complete(fragments);
    if (bytes.length < offset + 5) return fragments.length === 0 ? needMore : fragments;
    const length = bytes.readUInt16BE(offset + 3);
    // RFC 8446 §5.1: zero-length handshake fragments are forbidden.
    if (length === 0 || length > maxRecordBytes) return fragments.length === 0 ? notTls : complete(fragments);
    fragments.push(bytes.subarray(offset + 5, offset + 5 + length));
    offset += 5 + length;
  }
  return offset === 0 ? needMore : fragments;
}

/** What follows is not part of the handshake: the hello must be whole by now. */
function complete(fragments: Buffer[]): Buffer[] | Peek {
  const joined = Buffer.concat(fragments);
  const whole = joined.length >= 4 && joined.length >= 4 + joined.readUIntBE(1, 3);
  return whole ? [joined] : notTls;
}

/** A cursor over length-prefixed vectors that remembers whether it ran over. */
class Cursor {
  readonly #bytes: Buffer;
  #offset = 0;
  ok = true;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get more(): boolean {
    return this.ok && this.#offset < this.#bytes.length;
  }

  number(size: 1 | 2): number {
    const value = this.take(size);
    return this.ok ? value.readUIntBE(0, size) : 0;
  }

  take(length: number): Buffer {
    const end = this.#offset + length;
    if (!this.ok || end > this.#bytes.length) {
      this.ok = false;
      return Buffer.alloc(0);
    }
    const taken = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return taken;
  }

  vector(prefix: 1 | 2): Buffer {
    return this.take(this.number(prefix));
  }
}

function parseHello(body: Buffer): Peek {
  const cursor = new Cursor(body);
  const major = cursor.number(2) >> 8;
  cursor.take(32);
  const session = cursor.vector(1);
  const suites = cursor.vector(2);
  const compression = cursor.vector(1);
  if (!cursor.ok || major !== 3 || session.length > 32) return notTls;
  if (suites.length === 0 || suites.length % 2 !== 0 || compression.length === 0) return notTls;
  if (!cursor.more) return { kind: 'tls', alpn: [] };
  const extensions = new Cursor(cursor.vector(2));
  if (!cursor.ok || cursor.more) return notTls;
  const seen = new Set<number>();
  let sni: string | undefined;
  let alpn: string[] = [];
  while (extensions.more) {
    const type = extensions.number(2);
    const value = extensions.vector(2);
    if (!extensions.ok || seen.has(type)) return notTls;
    seen.add(type);
    if (type === extensionServerName) {
      const name = readServerName(value);
      if (name === undefined) return notTls;
      sni = name;
    } else if (type === extensionAlpn) {
      const protocols = readAlpn(value);
      if (protocols === undefined) return notTls;
      alpn = protocols;
    }
  }
  if (!extensions.ok) return notTls;
  return sni === undefined ? { kind: 'tls', alpn } : { kind: 'tls', sni, alpn };
}

function readServerName(value: Buffer): string | undefined {
  const outer = new Cursor(value);
  const list = new Cursor(outer.vector(2));
  const type = list.number(1);
  const name = list.vector(2).toString('latin1');
  if (!outer.ok || outer.more || !list.ok || list.more || type !== 0) return undefined;
  return /^[A-Za-z0-9_.-]{1,255}$/.test(name) ? name.toLowerCase() : undefined;
}

function readAlpn(value: Buffer): string[] | undefined {
  const outer = new Cursor(value);
  const list = new Cursor(outer.vector(2));
  const protocols: string[] = [];
  if (!outer.ok || outer.more) return undefined;
  while (list.more) {
    const protocol = list.vector(1);
    if (!list.ok || protocol.length === 0) return undefined;
    protocols.push(protocol.toString('latin1'));
  }
  return protocols.length === 0 ? undefined : protocols;
}
