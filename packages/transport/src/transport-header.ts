/**
 * The header that comes first on connections with ALPN `transport.l5d.io/v1`: which port or which service the bytes
 * behind it are for.
 *
 * On the wire: the ALPN name in ASCII, CR LF CR LF, the length of the message as 32 bit big-endian, the message:
 * protobuf `transport.l5d.io.Header { int32 port = 1; string name = 2; SessionProtocol session_protocol = 3; }` with
 * `SessionProtocol { oneof kind { Http1 http1 = 1; Http2 http2 = 2; } }`, and two fields of our own that others skip:
 * `string client_id = 10001; uint32 hops = 10002;`.
 */
import { transportLimits } from './limits.ts';
import { bytesField, readFields, type WireField, varintField } from './wire.ts';

export const transportHeaderAlpn = 'transport.l5d.io/v1';

/** A header, from its first byte to its last. */
export const maxTransportHeaderBytes: number = transportLimits.transport_header_bytes.default;

export type SessionProtocol = 'http1' | 'http2';

export interface TransportHeader {
  /** 1 to 65535. */
  port: number;
  /** DNS name in lower case of a service behind a gateway; empty: a port of the host itself. */
  name: string;
  /** What the bytes behind are; undefined for opaque TCP. */
  sessionProtocol: SessionProtocol | undefined;
  /** Who opened the connection on the far side of a gateway; empty for none. Believed only from one's own gateway. */
  clientId: string;
  /** Gateways passed so far. */
  hops: number;
}

export type TransportHeaderFault =
  | 'bad-preface'
  | 'too-long'
  | 'bad-message'
  | 'bad-port'
  | 'bad-name'
  | 'bad-session-protocol'
  | 'bad-client-id'
  | 'bad-hops';

export type TransportHeaderResult =
  | { readonly kind: 'need-more' }
  /** `length`: bytes that the header takes; what follows belongs to the session. */
  | { readonly kind: 'header'; readonly header: TransportHeader; readonly length: number }
  | { readonly kind: 'fault'; readonly fault: TransportHeaderFault };

const preface = Buffer.from(`${transportHeaderAlpn}\r\n\r\n`, 'latin1');
const messageStart = preface.length + 4;
const needMore: TransportHeaderResult = { kind: 'need-more' };
const dnsName = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_](?:[a-z0-9_-]{0,62}))*$/;
const maxHops = 255;

const field = { port: 1, name: 2, sessionProtocol: 3, clientId: 10001, hops: 10002 } as const;
const sessionField = { http1: 1, http2: 2 } as const;

/** The bytes to send before everything else. The caller keeps to the ranges that `TransportHeader` states. */
export function encodeTransportHeader(header: TransportHeader): Buffer {
  const parts = [varintField(field.port, header.port)];
  if (header.name !== '') parts.push(bytesField(field.name, Buffer.from(header.name, 'utf8')));
  if (header.sessionProtocol !== undefined) {
    const kind = bytesField(sessionField[header.sessionProtocol], Buffer.alloc(0));
    parts.push(bytesField(field.sessionProtocol, kind));
  }
  if (header.clientId !== '') parts.push(bytesField(field.clientId, Buffer.from(header.clientId, 'utf8')));
  if (header.hops > 0) parts.push(varintField(field.hops, header.hops));
  const message = Buffer.concat(parts);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(message.length);
  return Buffer.concat([preface, length, message]);
}

/** Reads a header from the first bytes of a connection. Ask again with all bytes when more have come. */
export function decodeTransportHeader(bytes: Buffer): TransportHeaderResult {
  const known = Math.min(bytes.length, preface.length);
  if (bytes.compare(preface, 0, known, 0, known) !== 0) return fault('bad-preface');
  if (bytes.length < messageStart) return needMore;
  const length = messageStart + bytes.readUInt32BE(preface.length);
  if (length > maxTransportHeaderBytes) return fault('too-long');
  if (bytes.length < length) return needMore;
  const fields = readFields(bytes.subarray(messageStart, length));
  if (fields === undefined) return fault('bad-message');
  const header = headerOf(fields);
  return typeof header === 'string' ? fault(header) : { kind: 'header', header, length };
}

function fault(reason: TransportHeaderFault): TransportHeaderResult {
  return { kind: 'fault', fault: reason };
}

function headerOf(fields: readonly WireField[]): TransportHeader | TransportHeaderFault {
  const header: TransportHeader = { port: 0, name: '', sessionProtocol: undefined, clientId: '', hops: 0 };
  // The last of repeated fields counts, as in every protobuf reader.
  for (const { number, value } of fields) {
    switch (number) {
      case field.port:
        if (typeof value !== 'number') return 'bad-message';
        header.port = value;
        break;
      case field.name:
        if (!Buffer.isBuffer(value)) return 'bad-message';
        header.name = value.toString('utf8').toLowerCase();
        break;
      case field.sessionProtocol: {
        if (!Buffer.isBuffer(value)) return 'bad-message';
        const protocol = sessionProtocolOf(value);
        if (protocol === undefined) return 'bad-session-protocol';
        header.sessionProtocol = protocol;
        break;
      }
      case field.clientId:
        if (!Buffer.isBuffer(value)) return 'bad-message';
        header.clientId = value.toString('utf8');
        break;
      case field.hops:
        if (typeof value !== 'number') return 'bad-message';
        header.hops = value;
        break;
      default:
        break;
    }
  }
  if (header.port < 1 || header.port > 65535) return 'bad-port';
  if (header.name !== '' && !dnsName.test(header.name)) return 'bad-name';
  if (header.clientId !== '' && !dnsName.test(header.clientId)) return 'bad-client-id';
  if (header.hops > maxHops) return 'bad-hops';
  return header;
}

function sessionProtocolOf(message: Buffer): SessionProtocol | undefined {
  let found: SessionProtocol | undefined;
  for (const { number } of readFields(message) ?? []) {
    if (number === sessionField.http1) found = 'http1';
    else if (number === sessionField.http2) found = 'http2';
  }
  return found;
}
