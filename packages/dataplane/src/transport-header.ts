/**
 * The header that opens a connection with ALPN `transport.l5d.io/v1`: which port, whose name, which protocol.
 *
 * Framing: the ALPN name as text, CR LF CR LF, a big-endian 32-bit length, and a protobuf message
 * `transport.l5d.io.Header { port = 1 : int32; name = 2 : string; session_protocol = 3 : SessionProtocol }` with
 * `SessionProtocol { oneof kind { http1 = 1 : Http1; http2 = 2 : Http2 } }`, both empty.
 * Field 10001 is ours and skipped by others: identity of the caller a gateway vouches for.
 */
export const transportAlpn = 'transport.l5d.io/v1';

export interface TransportHeader {
  /** 1–65535. */
  readonly port: number;
  /** DNS name to ask a gateway for; empty for none. */
  readonly name: string;
  readonly protocol: 'http1' | 'http2' | 'opaque';
  /** Caller that a gateway vouches for; empty for none. */
  readonly client: string;
}

export type TransportHeaderResult =
  | { readonly kind: 'need-more' }
  | { readonly kind: 'fault'; readonly fault: string }
  /** `length`: bytes of the header; what follows is the client's. */
  | { readonly kind: 'header'; readonly header: TransportHeader; readonly length: number };

/** Bytes of the protobuf message; longer ones are refused. */
export const maxTransportHeaderBytes = 65_536;

const prefix = Buffer.from(`${transportAlpn}\r\n\r\n`, 'latin1');
const clientField = 10_001;

export function encodeTransportHeader(header: TransportHeader): Buffer {
  const parts: Buffer[] = [tag(1, 0), varint(header.port)];
  if (header.name !== '') parts.push(text(2, header.name));
  if (header.protocol !== 'opaque') {
    const kind = tag(header.protocol === 'http1' ? 1 : 2, 2);
    parts.push(tag(3, 2), varint(kind.length + 1), kind, varint(0));
  }
  if (header.client !== '') parts.push(text(clientField, header.client));
  const message = Buffer.concat(parts);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(message.length);
  return Buffer.concat([prefix, length, message]);
}

/** Judges all bytes so far. */
export function parseTransportHeader(bytes: Buffer): TransportHeaderResult {
  const compared = Math.min(bytes.length, prefix.length);
  if (bytes.compare(prefix, 0, compared, 0, compared) !== 0) return fault('no transport header');
  const start = prefix.length + 4;
  if (bytes.length < start) return { kind: 'need-more' };
  const length = bytes.readUInt32BE(prefix.length);
  if (length > maxTransportHeaderBytes) return fault('transport header too long');
  if (bytes.length < start + length) return { kind: 'need-more' };
  const header = parseMessage(bytes.subarray(start, start + length));
  return typeof header === 'string' ? fault(header) : { kind: 'header', header, length: start + length };
}

function fault(text: string): TransportHeaderResult {
  return { kind: 'fault', fault: text };
}

function parseMessage(bytes: Buffer): TransportHeader | string {
  const reader = new Reader(bytes);
  let port = 0;
  let name = '';
  let client = '';
  let protocol: TransportHeader['protocol'] = 'opaque';
  while (reader.more) {
    const key = reader.varint();
    const field = Math.floor(key / 8);
    const wire = key % 8;
    if (field === 1 && wire === 0) port = reader.varint();
    else if (field === 2 && wire === 2) name = reader.bytes().toString('utf8');
    else if (field === clientField && wire === 2) client = reader.bytes().toString('utf8');
    else if (field === 3 && wire === 2) {
      const kind = new Reader(reader.bytes()).varint();
      if (kind === 0x0a) protocol = 'http1';
      else if (kind === 0x12) protocol = 'http2';
      else return 'transport header with an unknown session protocol';
    } else if (!reader.skip(wire)) return 'malformed transport header';
  }
  if (!reader.ok) return 'malformed transport header';
  if (port < 1 || port > 65_535) return 'transport header without a valid port';
  if (name !== '' && !/^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(name)) {
    return 'transport header with a malformed name';
  }
  return { port, name: name.toLowerCase(), protocol, client };
}

class Reader {
  readonly #bytes: Buffer;
  #offset = 0;
  ok = true;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get more(): boolean {
    return this.ok && this.#offset < this.#bytes.length;
  }

  /** Up to 2^53; longer ones are a fault. */
  varint(): number {
    let value = 0;
    for (let index = 0; index < 7; index++) {
      const byte = this.#bytes[this.#offset++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * 2 ** (7 * index);
      if (byte < 0x80) return value;
    }
    this.ok = false;
    return 0;
  }

  bytes(): Buffer {
    const length = this.varint();
    const start = this.#offset;
    if (!this.ok || length > this.#bytes.length - start) {
      this.ok = false;
      return Buffer.alloc(0);
    }
    this.#offset += length;
    return this.#bytes.subarray(start, start + length);
  }

  skip(wire: number): boolean {
    if (wire === 0) this.varint();
    else if (wire === 1) this.#offset += 8;
    else if (wire === 2) this.bytes();
    else if (wire === 5) this.#offset += 4;
    else return false;
    if (this.#offset > this.#bytes.length) this.ok = false;
    return this.ok;
  }
}

function tag(field: number, wire: number): Buffer {
  return varint(field * 8 + wire);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push((rest % 128) + (rest >= 128 ? 128 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.from(bytes);
}

function text(field: number, value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([tag(field, 2), varint(bytes.length), bytes]);
}
