import { transportLimits } from './limits.ts';

/** Which protocol a client speaks, by the first bytes it sends. */
export type DetectedProtocol = 'http1' | 'http2' | 'tls' | 'opaque';

/** Bytes looked at; what is undecided then is opaque, or HTTP/1 with a very long target. */
export const detectBytes: number = transportLimits.detect_bytes.default;

/** So much of the HTTP/2 preface decides: nothing else starts like this. */
const preface = 'PRI * HTTP/2.0';
const requestLine = /^[A-Z][A-Z_-]{0,31} [/*0-9A-Za-z[][!-~\x80-\xff]* HTTP\/1\.[01]\r\n/;
/** A request line so far: method in capitals, a target, part of the version. */
const startOfRequestLine =
  /^[A-Z][A-Z_-]{0,31}(?: (?:[/*0-9A-Za-z[][!-~\x80-\xff]*(?: [HTP/1.0]{0,8}\r?)?)?)?$/;
/** A target that goes on, or the version behind it that does. */
const longTarget = /^[A-Z][A-Z_-]{0,31} [/hH][!-~\x80-\xff]+(?: [HTP/1.0]{0,8}\r?)?$/;

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
