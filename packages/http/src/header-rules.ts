/**
 * What a field name and a field value may contain, and which fields belong to one hop (RFC 9110 §5, §7.6.1).
 *
 * Both codecs read the same tables, so that a message refused by one is never produced by the other. Nothing here
 * allocates on a valid message.
 */
import { truncate } from './headers.ts';
import type { Headers } from './message.ts';

const tokenPunctuation = "!#$%&'*+-.^_`|~";

/** By byte: 0 = not a token character, else the character in lower case (RFC 9110 §5.6.2). */
export const tokenBytes: Uint8Array = buildTokenBytes();

/** By byte: 1 = may occur in a field value: HTAB, space, visible ASCII and obs-text (RFC 9110 §5.5). */
export const valueBytes: Uint8Array = buildValueBytes();

function buildTokenBytes(): Uint8Array {
  const table = new Uint8Array(256);
  for (let byte = 0x30; byte <= 0x39; byte++) table[byte] = byte;
  for (let byte = 0x61; byte <= 0x7a; byte++) table[byte] = byte;
  for (let byte = 0x41; byte <= 0x5a; byte++) table[byte] = byte + 0x20;
  for (const character of tokenPunctuation) table[character.charCodeAt(0)] = character.charCodeAt(0);
  return table;
}

function buildValueBytes(): Uint8Array {
  const table = new Uint8Array(256).fill(1);
  table.fill(0, 0, 0x20);
  table[0x09] = 1;
  table[0x7f] = 0;
  return table;
}

/** True for a non-empty token, in any case. */
export function isToken(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code > 0xff || tokenBytes[code] === 0) return false;
  }
  return text.length > 0;
}

/** True for a name as `Headers` holds it: a non-empty token without upper case. */
export function isLowerCaseName(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code > 0xff || code === 0 || tokenBytes[code] !== code) return false;
  }
  return text.length > 0;
}

/** True for a value as `Headers` holds it: latin1, no control character but HTAB, no white space around it. */
export function isFieldValue(text: string): boolean {
  const length = text.length;
  if (length === 0) return true;
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index);
    if (code > 0xff || valueBytes[code] === 0) return false;
  }
  return !isWhiteSpace(text.charCodeAt(0)) && !isWhiteSpace(text.charCodeAt(length - 1));
}

function isWhiteSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/**
 * True for fields that describe one connection and never cross a proxy (RFC 9110 §7.6.1, RFC 9113 §8.2.2), and for
 * `host`, which codecs translate. `te` is not among them: see `isAllowedTe`.
 */
export function isConnectionSpecific(name: string): boolean {
  switch (name) {
    case 'connection':
    case 'host':
    case 'http2-settings':
    case 'keep-alive':
    case 'proxy-connection':
    case 'transfer-encoding':
    case 'upgrade':
      return true;
    default:
      return false;
  }
}

/** `te: trailers` may cross a proxy that forwards trailers, which we do; gRPC servers ask for it. */
export function isAllowedTe(value: string): boolean {
  return value === 'trailers' || (value.length === 8 && value.toLowerCase() === 'trailers');
}

const forbiddenTrailers: ReadonlySet<string> = new Set([
  'authorization',
  'cache-control',
  'connection',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'expect',
  'expires',
  'host',
  'http2-settings',
  'keep-alive',
  'max-forwards',
  'pragma',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'www-authenticate',
]);

/**
 * True for fields that change framing, routing, authentication or the meaning of the body and therefore may not
 * come after it (RFC 9110 §6.5.1); receivers drop them. Our own `l5d-*` fields are trusted and never taken from a trailer.
 */
export function isForbiddenTrailer(name: string): boolean {
  return forbiddenTrailers.has(name) || isProxyField(name);
}

/** Removes in place every field that belongs to one connection, and `te` unless it says `trailers`. */
export function removeConnectionSpecific(headers: Headers): void {
  let kept = 0;
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] as string;
    const value = headers[index + 1] as string;
    if (isConnectionSpecific(name) || (name === 'te' && !isAllowedTe(value))) continue;
    headers[kept] = name;
    headers[kept + 1] = value;
    kept += 2;
  }
  truncate(headers, kept);
}

/**
 * The number in a `content-length` field (RFC 9110 §8.6), strict: 1 to 15 decimal digits without sign, list or
 * leading zero. −1 for anything else.
 */
export function parseContentLength(value: string): number {
  const length = value.length;
  if (length === 0 || length > 15) return -1;
  if (length > 1 && value.charCodeAt(0) === 0x30) return -1;
  let total = 0;
  for (let index = 0; index < length; index++) {
    const digit = value.charCodeAt(index) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    total = total * 10 + digit;
  }
  return total;
}

/**
 * True for a field (lower case) that proxies speak among themselves, `l5d-*`, and for what an application that reads `_`
 * as `-` would take for one.
 */
export function isProxyField(name: string): boolean {
  // 'l' and '5' first: nearly every field is told apart by them.
  if (name.charCodeAt(0) !== 0x6c || name.charCodeAt(1) !== 0x35 || name.charCodeAt(2) !== 0x64) return false;
  const next = name.charCodeAt(3);
  return next === 0x2d || next === 0x5f;
}
