import { isPath } from '@mesh/http/canonical';
import {
  isConnectionSpecific,
  isFieldValue,
  isForbiddenTrailer,
  isLowerCaseName,
  isToken,
  parseContentLength,
} from '@mesh/http/header-rules';
import type { Headers, RequestHead } from '@mesh/http/message';
import { phraseOf } from './phrases.ts';

const statusLines: Map<number, string> = new Map();

function statusLine(status: number): string {
  let line = statusLines.get(status);
  if (line === undefined) {
    line = `HTTP/1.1 ${status} ${phraseOf(status)}\r\n`;
    if (status >= 100 && status <= 599) statusLines.set(status, line);
  }
  return line;
}

/**
 * Field lines for `headers`, or undefined when one of them could not be sent as it is. Every name and value is checked
 * again here, independent of where the message came from, so that no byte of a value can become a line.
 * Connection-specific fields are left out: framing is decided by the writer.
 */
function fieldLines(headers: Headers, withLength: boolean): string | undefined {
  let lines = '';
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] as string;
    const value = headers[index + 1] as string;
    if (isConnectionSpecific(name) || (name === 'content-length' && !withLength)) continue;
    if (!isLowerCaseName(name) || !isFieldValue(value)) return undefined;
    lines += `${name}: ${value}\r\n`;
    // RFC 9110 §10.1.4: who sends TE says that it is for this connection.
    if (name === 'te') lines += 'connection: te\r\n';
  }
  return lines;
}

export interface ResponseHeadOptions {
  /** Field lines about framing and the connection, each with CR LF. */
  readonly framing: string;
  /** Whether a content-length of the head describes this response. */
  readonly withLength: boolean;
}

/** The bytes of a response head, or undefined when a field is not fit to be sent. */
export function responseHeadText(
  status: number,
  headers: Headers,
  { framing, withLength }: ResponseHeadOptions,
): string | undefined {
  const lines = fieldLines(headers, withLength);
  return lines === undefined ? undefined : `${statusLine(status)}${lines}${framing}\r\n`;
}

/** The bytes of a request head; undefined when method, target or a field is not fit to be sent. */
export function requestHeadText(head: RequestHead, framing: string, asHttp10: boolean): string | undefined {
  const target = targetOf(head);
  if (target === undefined || !isToken(head.method) || !isAuthorityText(head.authority)) return undefined;
  const lines = fieldLines(head.headers, true);
  if (lines === undefined) return undefined;
  if (asHttp10) return `${head.method} ${target} HTTP/1.0\r\n${lines}${framing}\r\n`;
  return `${head.method} ${target} HTTP/1.1\r\nhost: ${head.authority}\r\n${lines}${framing}\r\n`;
}

/** Absolute-form is kept where an HTTP/1 client used it; `:scheme` of HTTP/2 says nothing about the form. */
function targetOf(head: RequestHead): string | undefined {
  if (head.method === 'CONNECT')
    return head.authority === '' || head.path !== '' ? undefined : head.authority;
  const star = head.path === '*' && head.method === 'OPTIONS';
  if (!star && !isPath(head.path)) return undefined;
  if (head.scheme === '' || head.version === 20) return head.path;
  if (head.scheme !== 'http' && head.scheme !== 'https') return undefined;
  return `${head.scheme}://${head.authority}${star ? '' : head.path}`;
}

function isAuthorityText(authority: string): boolean {
  for (let index = 0; index < authority.length; index++) {
    const code = authority.charCodeAt(index);
    if (code <= 0x20 || code >= 0x7f || code === 0x2f || code === 0x40) return false;
  }
  return true;
}

/** Value of the content-length field: −1 when there is none, undefined when it is malformed or there are several. */
export function contentLengthOf(headers: Headers): number | undefined {
  let length = -1;
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] !== 'content-length') continue;
    if (length !== -1) return undefined;
    length = parseContentLength(headers[index + 1] as string);
    if (length === -1) return undefined;
  }
  return length;
}

/** Last chunk and trailers. Trailers that may not follow a body or are unfit are left out. */
export function lastChunkText(trailers: Headers | null): string {
  if (trailers === null) return '0\r\n\r\n';
  let text = '0\r\n';
  for (let index = 0; index < trailers.length; index += 2) {
    const name = trailers[index] as string;
    const value = trailers[index + 1] as string;
    if (!isLowerCaseName(name) || !isFieldValue(value) || isForbiddenTrailer(name)) continue;
    text += `${name}: ${value}\r\n`;
  }
  return `${text}\r\n`;
}
