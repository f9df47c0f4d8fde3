/**
 * The canonical request: checked and brought to one form once, right after parsing, by both codecs. Policy and
 * forwarding then read the same method, authority and path, and none of them has to doubt it.
 *
 * Nothing is repaired that two readers could understand differently: paths are not decoded or normalised, and an
 * authority has exactly one accepted spelling after lower-casing and dropping one trailing dot of the host.
 */
import { isIPv6 } from 'node:net';
import { isToken } from './header-rules.ts';
import type { RequestHead } from './message.ts';

export type RequestFault = 'bad-method' | 'bad-scheme' | 'bad-authority' | 'bad-path';

/** Text for the 400 that answers the fault. */
export const requestFaultText: Readonly<Record<RequestFault, string>> = {
  'bad-method': 'the method is not a token',
  'bad-scheme': 'the scheme is neither http nor https',
  'bad-authority': 'the host is not host[:port] in one plain form',
  'bad-path': 'the path does not start with / or holds a space, # or a character outside visible ASCII',
};

const plain = 1;
const upper = 2;

/** By character of a host name: 0 refused, 1 taken as it is, 2 to be lower-cased. */
const hostCharacters: Uint8Array = buildHostCharacters();
/** By character of a path with query: 1 = visible ASCII except `#`. */
const pathCharacters: Uint8Array = buildPathCharacters();

function buildHostCharacters(): Uint8Array {
  const table = new Uint8Array(128);
  table.fill(plain, 0x30, 0x3a);
  table.fill(plain, 0x61, 0x7b);
  table.fill(upper, 0x41, 0x5b);
  for (const character of '-._') table[character.charCodeAt(0)] = plain;
  return table;
}

function buildPathCharacters(): Uint8Array {
  const table = new Uint8Array(128).fill(1, 0x21, 0x7f);
  table[0x23] = 0;
  return table;
}

/**
 * Checks `head` and brings its authority to canonical form in place. Returns what is wrong, or undefined.
 * Header fields are the codec's part: they were checked while they were read.
 */
export function canonicalize(head: RequestHead): RequestFault | undefined {
  if (!isKnownMethod(head.method) && !isToken(head.method)) return 'bad-method';
  if (head.scheme !== '' && head.scheme !== 'http' && head.scheme !== 'https') return 'bad-scheme';
  const authority = canonicalAuthority(head.authority);
  if (authority === undefined) return 'bad-authority';
  head.authority = authority;
  // A tunnel request names a host and a port and nothing else (RFC 9110 §9.3.6); an extended CONNECT has a path.
  if (head.method === 'CONNECT' && head.upgrade === '') {
    if (head.path !== '') return 'bad-path';
    return authority === '' || portOf(authority) === undefined ? 'bad-authority' : undefined;
  }
  return isPath(head.path) || (head.path === '*' && head.method === 'OPTIONS') ? undefined : 'bad-path';
}

function isKnownMethod(method: string): boolean {
  switch (method) {
    case 'GET':
    case 'POST':
    case 'PUT':
    case 'HEAD':
    case 'DELETE':
    case 'PATCH':
    case 'OPTIONS':
    case 'CONNECT':
      return true;
    default:
      return false;
  }
}

/** An upgrade or CONNECT: once accepted it is bytes both ways, whose halves end apart. */
export function asksTunnel(head: RequestHead): boolean {
  return head.upgrade !== '' || head.method === 'CONNECT';
}

/** True for an origin-form path with query (RFC 9112 §3.2.1), by visible ASCII and without fragment. */
export function isPath(path: string): boolean {
  if (path.charCodeAt(0) !== 0x2f) return false;
  for (let index = 1; index < path.length; index++) {
    const code = path.charCodeAt(index);
    if (code > 0x7f || pathCharacters[code] === 0) return false;
  }
  return true;
}

/**
 * The one form of `host`, `host:port`, `[v6]` or `[v6]:port`; undefined when `text` is none of them. The empty text is
 * its own form: there is no authority. User info, zone ids, percent-encoding, an empty port and ports outside
 * 1–65535 or with leading zeros are refused.
 */
export function canonicalAuthority(text: string): string | undefined {
  const length = text.length;
  if (length === 0) return '';
  if (text.charCodeAt(0) === 0x5b) return canonicalV6(text);
  let lowered = false;
  let end = length;
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index);
    if (code === 0x3a) {
      end = index;
      break;
    }
    const kind = code > 0x7f ? 0 : hostCharacters[code];
    if (kind === 0) return undefined;
    if (kind === upper) lowered = true;
  }
  if (end === 0 || end > 254 || !isPort(text, end)) return undefined;
  const dotted = text.charCodeAt(end - 1) === 0x2e;
  if (!dotted) {
    if (hasEmptyLabel(text, end)) return undefined;
    return lowered ? text.toLowerCase() : text;
  }
  if (end === 1 || hasEmptyLabel(text, end - 1)) return undefined;
  return (text.slice(0, end - 1) + text.slice(end)).toLowerCase();
}

function canonicalV6(text: string): string | undefined {
  const close = text.indexOf(']');
  if (close === -1 || !isPort(text, close + 1)) return undefined;
  const address = text.slice(1, close);
  // node:net accepts a zone id, which means something only on one machine.
  if (address.includes('%') || !isIPv6(address)) return undefined;
  return text.toLowerCase();
}

function hasEmptyLabel(text: string, end: number): boolean {
  let previousDot = -1;
  for (let index = 0; index < end; index++) {
    if (text.charCodeAt(index) !== 0x2e) continue;
    if (index === previousDot + 1) return true;
    previousDot = index;
  }
  return previousDot === end - 1;
}

/** True when `text` ends at `colon`, or goes on with `:` and a port number. */
function isPort(text: string, colon: number): boolean {
  if (colon === text.length) return true;
  if (text.charCodeAt(colon) !== 0x3a) return false;
  const digits = text.length - colon - 1;
  if (digits < 1 || digits > 5 || text.charCodeAt(colon + 1) === 0x30) return false;
  let port = 0;
  for (let index = colon + 1; index < text.length; index++) {
    const digit = text.charCodeAt(index) - 0x30;
    if (digit < 0 || digit > 9) return false;
    port = port * 10 + digit;
  }
  return port <= 65535;
}

/** Port of a canonical authority, or undefined when it names none. */
export function portOf(authority: string): number | undefined {
  const colon = authority.lastIndexOf(':');
  if (colon === -1 || authority.indexOf(']', colon) !== -1) return undefined;
  return Number(authority.slice(colon + 1));
}

/** Host of a canonical authority, without port; an IPv6 address keeps its brackets. */
export function hostOf(authority: string): string {
  const colon = authority.lastIndexOf(':');
  if (colon === -1 || authority.indexOf(']', colon) !== -1) return authority;
  return authority.slice(0, colon);
}
