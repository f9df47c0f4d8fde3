import { valueBytes } from '@mesh/http/header-rules';
import { removeHeader } from '@mesh/http/headers';
import type { ResponseHead } from '@mesh/http/message';
import type { Http1Fault } from './faults.ts';
import type { FieldFacts } from './field-facts.ts';
import { readFields } from './fields.ts';
import type { Http1LimitValues } from './limits.ts';
import type { Section } from './section.ts';

/** How the body of a response ends (RFC 9112 §6.3). */
export type ResponseBody = 'none' | 'length' | 'chunked' | 'close' | 'tunnel';

export interface ParsedResponse {
  readonly head: ResponseHead;
  readonly version: 10 | 11;
}

/** Reads a response head (RFC 9112 §4): all its lines with their CR LF, without the empty line. */
export function parseResponseHead(
  section: Section,
  facts: FieldFacts,
  limits: Http1LimitValues,
): ParsedResponse | Http1Fault {
  const { bytes, base, text } = section;
  const lineEnd = text.indexOf('\r\n');
  if (lineEnd < 12 || !text.startsWith('HTTP/1.')) return 'bad-status-line';
  const minor = text.charCodeAt(7);
  if (minor !== 0x30 && minor !== 0x31) return 'bad-version';
  const version = minor === 0x31 ? 11 : 10;
  const status = statusAt(text, 9);
  if (text.charCodeAt(8) !== 0x20 || status === 0) return 'bad-status-line';
  // Servers that send no reason often leave out the space before it, too.
  if (lineEnd > 12 && text.charCodeAt(12) !== 0x20) return 'bad-status-line';
  for (let index = 13; index < lineEnd; index++) {
    if (valueBytes[bytes[base + index] as number] === 0) return 'bad-status-line';
  }
  const headers = readFields(section, lineEnd + 2, limits.http1_header_count);
  if (typeof headers === 'string') return headers;
  const fault = facts.read(headers, version);
  if (fault !== undefined) return fault;
  return { head: { status, headers }, version };
}

/** 100 to 599 in three digits; 0 for anything else. */
function statusAt(text: string, at: number): number {
  const hundreds = text.charCodeAt(at) - 0x30;
  const tens = text.charCodeAt(at + 1) - 0x30;
  const ones = text.charCodeAt(at + 2) - 0x30;
  if (hundreds < 1 || hundreds > 5 || tens < 0 || tens > 9 || ones < 0 || ones > 9) return 0;
  return hundreds * 100 + tens * 10 + ones;
}

/** Decides how the body ends and removes a content-length that does not describe it. */
export function responseBody(
  head: ResponseHead,
  facts: FieldFacts,
  method: string,
): ResponseBody | Http1Fault {
  const { status } = head;
  if (status < 200 || status === 204) {
    if (facts.chunked || facts.contentLength > 0) return 'body-not-allowed';
    removeHeader(head.headers, 'content-length');
    return status === 101 ? 'tunnel' : 'none';
  }
  if (method === 'CONNECT' && status < 300) {
    removeHeader(head.headers, 'content-length');
    return 'tunnel';
  }
  if (method === 'HEAD' || status === 304) return 'none';
  if (facts.chunked) return 'chunked';
  if (facts.contentLength === -1) return 'close';
  return facts.contentLength === 0 ? 'none' : 'length';
}
