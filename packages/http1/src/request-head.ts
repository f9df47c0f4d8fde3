import { canonicalAuthority, canonicalize } from '@mesh/http/canonical';
import { tokenBytes } from '@mesh/http/header-rules';
import type { RequestHead } from '@mesh/http/message';
import type { Http1Fault } from './faults.ts';
import type { FieldFacts } from './field-facts.ts';
import { readFields } from './fields.ts';
import type { Http1LimitValues } from './limits.ts';
import type { Section } from './section.ts';

/**
 * Reads a request head (RFC 9112 §3): all its lines with their CR LF, without the empty line. `facts` is filled with
 * what concerns framing and the connection; the head returned is canonical.
 */
export function parseRequestHead(
  section: Section,
  facts: FieldFacts,
  limits: Http1LimitValues,
): RequestHead | Http1Fault {
  const { bytes, base, text } = section;
  // One empty line before a request is left over from old clients' bodies (RFC 9112 §2.2).
  const start = bytes[base] === 0x0d && bytes[base + 1] === 0x0a ? 2 : 0;
  let at = start;
  while (tokenBytes[bytes[base + at] as number] !== 0) at++;
  if (at - start > limits.http1_method_bytes) return 'method-too-long';
  if (at === start || bytes[base + at] !== 0x20) return lineFault(text, start);
  const method = text.slice(start, at);
  const targetEnd = text.indexOf(' ', at + 1);
  const lineEnd = text.indexOf('\r\n', at + 1);
  if (targetEnd === -1 || lineEnd === -1 || targetEnd > lineEnd) return lineFault(text, start);
  if (targetEnd - at - 1 > limits.http1_target_bytes) return 'target-too-long';
  const version = versionOf(text, targetEnd + 1, lineEnd);
  if (typeof version === 'string') return version === 'bad-request-line' ? lineFault(text, start) : version;

  const headers = readFields(section, lineEnd + 2, limits.http1_header_count);
  if (typeof headers === 'string') return headers;
  const fault = facts.read(headers, version);
  if (fault !== undefined) return fault;
  if (facts.host === undefined && version === 11) return 'no-host';

  const head: RequestHead = {
    method,
    scheme: '',
    authority: facts.host ?? '',
    path: text.slice(at + 1, targetEnd),
    headers,
    upgrade: '',
    version,
  };
  return (
    placeTarget(head, facts.host) ?? expectationFault(facts) ?? canonicalize(head) ?? noteUpgrade(head, facts)
  );
}

/** A line feed inside the request line is the likelier reason than its shape. */
function lineFault(text: string, start: number): Http1Fault {
  const lineFeed = text.indexOf('\n', start);
  return lineFeed !== -1 && text.charCodeAt(lineFeed - 1) !== 0x0d ? 'bare-line-feed' : 'bad-request-line';
}

function versionOf(text: string, start: number, end: number): 10 | 11 | 'bad-version' | 'bad-request-line' {
  if (end - start !== 8 || !text.startsWith('HTTP/', start)) return 'bad-request-line';
  if (text.charCodeAt(start + 5) === 0x31 && text.charCodeAt(start + 6) === 0x2e) {
    const minor = text.charCodeAt(start + 7);
    if (minor === 0x31) return 11;
    if (minor === 0x30) return 10;
  }
  return /^[0-9]\.[0-9]$/.test(text.slice(start + 5, end)) ? 'bad-version' : 'bad-request-line';
}

/** Brings authority-form and absolute-form (RFC 9112 §3.2) to the fields of the head. */
function placeTarget(head: RequestHead, host: string | undefined): Http1Fault | undefined {
  const target = head.path;
  if (head.method === 'CONNECT') {
    head.authority = target;
    head.path = '';
    return hostFault(host, target);
  }
  if (target.charCodeAt(0) === 0x2f || target === '*') return undefined;
  const scheme = /^(https?):\/\//i.exec(target)?.[1];
  if (scheme === undefined) return 'bad-path';
  head.scheme = scheme.toLowerCase();
  const start = scheme.length + 3;
  let end = start;
  while (end < target.length && !'/?#'.includes(target.charAt(end))) end++;
  const authority = target.slice(start, end);
  if (authority === '') return 'bad-authority';
  head.authority = authority;
  const rest = target.slice(end);
  if (rest === '') head.path = head.method === 'OPTIONS' ? '*' : '/';
  else head.path = rest.charCodeAt(0) === 0x3f ? `/${rest}` : rest;
  return hostFault(host, authority);
}

/** RFC 9112 §3.2.2 lets the target win; two names for one request are refused here instead. */
function hostFault(host: string | undefined, authority: string): Http1Fault | undefined {
  if (host === undefined || host === authority) return undefined;
  const canonical = canonicalAuthority(host);
  return canonical !== undefined && canonical === canonicalAuthority(authority) ? undefined : 'host-mismatch';
}

function expectationFault({ expect }: FieldFacts): Http1Fault | undefined {
  return expect === '' || expect === '100-continue' ? undefined : 'bad-expectation';
}

/**
 * An upgrade counts in HTTP/1.1, on a GET without body; h2c never does, as nobody on the way could see what follows.
 * Otherwise the field is ignored, which RFC 9110 §7.8 always allows.
 */
function noteUpgrade(head: RequestHead, facts: FieldFacts): RequestHead {
  if (
    facts.upgrade !== '' &&
    facts.upgrade !== 'h2c' &&
    facts.connectionUpgrade &&
    head.version === 11 &&
    head.method === 'GET' &&
    !facts.chunked &&
    facts.contentLength <= 0
  ) {
    head.upgrade = facts.upgrade;
  }
  return head;
}
