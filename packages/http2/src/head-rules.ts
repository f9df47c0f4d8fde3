import { canonicalAuthority, canonicalize, type RequestFault } from '@mesh/http/canonical';
import { isForbiddenTrailer, isToken, parseContentLength } from '@mesh/http/header-rules';
import { truncate } from '@mesh/http/headers';
import type { Headers, RequestHead, ResponseHead } from '@mesh/http/message';

/** Why a header list is malformed (RFC 9113 §8.1.1); for tests and debug data, the peer gets PROTOCOL_ERROR. */
export type HeadFault =
  | RequestFault
  | 'pseudo-header-unknown'
  | 'pseudo-header-duplicate'
  | 'pseudo-header-missing'
  | 'pseudo-header-misplaced'
  | 'connection-specific-field'
  | 'te-not-trailers'
  | 'host-differs'
  | 'content-length-invalid'
  | 'status-invalid'
  | 'trailers-with-pseudo-header';

export interface ParsedRequest {
  head: RequestHead;
  /** -1 when the request does not state one. */
  contentLength: number;
}

export interface ParsedResponse {
  head: ResponseHead;
  contentLength: number;
}

const digits = /^[0-9]{3}$/;

// Result of the last `checkRegular`, kept apart so that a head needs no second object.
let contentLength = -1;
let hostAt = -1;
let cookies = 0;

/** Checks the fields from `from` on. Sets `contentLength`, `hostAt` and `cookies`. */
function checkRegular(fields: readonly string[], from: number): HeadFault | undefined {
  contentLength = -1;
  hostAt = -1;
  cookies = 0;
  for (let index = from; index < fields.length; index += 2) {
    const name = fields[index] as string;
    if (name.charCodeAt(0) === 0x3a) return 'pseudo-header-misplaced';
    switch (name.length) {
      case 2:
        if (name === 'te' && fields[index + 1] !== 'trailers') return 'te-not-trailers';
        break;
      case 4:
        if (name === 'host') {
          if (hostAt >= 0 && fields[hostAt + 1] !== fields[index + 1]) return 'host-differs';
          hostAt = index;
        }
        break;
      case 6:
        if (name === 'cookie') cookies += 1;
        break;
      case 7:
        if (name === 'upgrade') return 'connection-specific-field';
        break;
      case 10:
        if (name === 'connection' || name === 'keep-alive') return 'connection-specific-field';
        break;
      case 14:
        if (name === 'content-length') {
          if (contentLength >= 0) return 'content-length-invalid';
          contentLength = parseContentLength(fields[index + 1] as string);
          if (contentLength < 0) return 'content-length-invalid';
        }
        break;
      case 16:
        if (name === 'proxy-connection') return 'connection-specific-field';
        break;
      case 17:
        if (name === 'transfer-encoding') return 'connection-specific-field';
        break;
      default:
    }
  }
  return undefined;
}

/** The regular fields from `from` on, without `host` and with cookie crumbs joined (RFC 9113 §8.2.3). */
function regularFields(fields: string[], from: number): Headers {
  if (hostAt < 0 && cookies < 2) return fields.slice(from);
  const headers: Headers = [];
  let cookieAt = -1;
  for (let index = from; index < fields.length; index += 2) {
    const name = fields[index] as string;
    const value = fields[index + 1] as string;
    if (name === 'host') continue;
    if (name === 'cookie' && cookieAt >= 0) {
      headers[cookieAt] = `${headers[cookieAt]}; ${value}`;
      continue;
    }
    if (name === 'cookie') cookieAt = headers.length + 1;
    headers.push(name, value);
  }
  return headers;
}

/** RFC 9113 §8.3.1, RFC 8441 §4. `fields` as the HPACK decoder gave them, text already checked. */
export function parseRequest(fields: string[]): ParsedRequest | HeadFault {
  let method: string | undefined;
  let scheme: string | undefined;
  let authority: string | undefined;
  let path: string | undefined;
  let protocol: string | undefined;
  let at = 0;
  for (; at < fields.length; at += 2) {
    const name = fields[at] as string;
    if (name.charCodeAt(0) !== 0x3a) break;
    const value = fields[at + 1] as string;
    switch (name) {
      case ':method':
        if (method !== undefined) return 'pseudo-header-duplicate';
        method = value;
        break;
      case ':scheme':
        if (scheme !== undefined) return 'pseudo-header-duplicate';
        scheme = value;
        break;
      case ':authority':
        if (authority !== undefined) return 'pseudo-header-duplicate';
        authority = value;
        break;
      case ':path':
        if (path !== undefined) return 'pseudo-header-duplicate';
        path = value;
        break;
      case ':protocol':
        if (protocol !== undefined) return 'pseudo-header-duplicate';
        protocol = value;
        break;
      default:
        return 'pseudo-header-unknown';
    }
  }
  const fault = checkRegular(fields, at);
  if (fault !== undefined) return fault;
  if (method === undefined) return 'pseudo-header-missing';
  const host = hostAt < 0 ? undefined : (fields[hostAt + 1] as string);
  if (method === 'CONNECT' && protocol === undefined) {
    if (scheme !== undefined || path !== undefined) return 'pseudo-header-misplaced';
    contentLength = -1;
    scheme = '';
    path = '';
  } else {
    if (scheme === undefined || scheme === '' || path === undefined) return 'pseudo-header-missing';
    if (protocol !== undefined) {
      if (method !== 'CONNECT' || !isToken(protocol)) return 'pseudo-header-misplaced';
      contentLength = -1;
    }
  }
  const head: RequestHead = {
    method,
    scheme,
    authority: authority ?? host ?? '',
    path,
    headers: regularFields(fields, at),
    upgrade: protocol === undefined ? '' : protocol.toLowerCase(),
    version: 20,
  };
  const unfit = canonicalize(head);
  if (unfit !== undefined) return unfit;
  // Two names for one request are refused, however they are spelled (RFC 9113 §8.3.1).
  if (host !== undefined && authority !== undefined && canonicalAuthority(host) !== head.authority) {
    return 'host-differs';
  }
  return { head, contentLength };
}

/** RFC 9113 §8.3.2. */
export function parseResponse(fields: string[]): ParsedResponse | HeadFault {
  let status: string | undefined;
  let at = 0;
  for (; at < fields.length; at += 2) {
    const name = fields[at] as string;
    if (name.charCodeAt(0) !== 0x3a) break;
    if (name !== ':status') return 'pseudo-header-unknown';
    if (status !== undefined) return 'pseudo-header-duplicate';
    status = fields[at + 1] as string;
  }
  const fault = checkRegular(fields, at);
  if (fault !== undefined) return fault;
  if (status === undefined) return 'pseudo-header-missing';
  const code = digits.test(status) ? Number(status) : 0;
  // Switching protocols does not exist in HTTP/2 (§8.6).
  if (code < 100 || code > 599 || code === 101) return 'status-invalid';
  hostAt = -1;
  cookies = 0;
  return { head: { status: code, headers: regularFields(fields, at) }, contentLength };
}

/** Trailers have no pseudo-headers and no connection-specific fields; fields that do not belong there are dropped. */
export function parseTrailers(fields: string[]): Headers | HeadFault {
  if (fields.length > 0 && (fields[0] as string).charCodeAt(0) === 0x3a) return 'trailers-with-pseudo-header';
  const fault = checkRegular(fields, 0);
  if (fault !== undefined) return fault;
  let kept = 0;
  for (let index = 0; index < fields.length; index += 2) {
    if (isForbiddenTrailer(fields[index] as string)) continue;
    fields[kept] = fields[index] as string;
    fields[kept + 1] = fields[index + 1] as string;
    kept += 2;
  }
  truncate(fields, kept);
  return fields;
}
