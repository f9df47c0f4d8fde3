import { isForbiddenTrailer, tokenBytes, valueBytes } from '@mesh/http/header-rules';
import { truncate } from '@mesh/http/headers';
import type { Headers } from '@mesh/http/message';
import type { Http1Fault } from './faults.ts';

const common = `
  accept accept-encoding accept-language accept-ranges access-control-allow-origin age allow
  authorization cache-control connection content-disposition content-encoding content-language
  content-length content-range content-security-policy content-type cookie date etag expect
  expires forwarded grpc-encoding grpc-message grpc-status host if-match if-modified-since
  if-none-match keep-alive last-modified link location origin pragma range referer retry-after
  server set-cookie strict-transport-security te trailer traceparent tracestate transfer-encoding
  upgrade user-agent vary via www-authenticate x-content-type-options x-forwarded-for
  x-forwarded-host x-forwarded-proto x-frame-options x-powered-by x-real-ip x-request-id
  x-response-time
`;

const hashMask = 0x3fff;

/**
 * Usual names by a hash of their letters in lower case. A fixed table, so that no peer can grow it; it saves cutting out
 * and lower-casing a name, and later comparisons are of the same string.
 */
const knownNames: readonly (string | undefined)[] = buildKnownNames();

function nextHash(hash: number, lowerCase: number): number {
  return (Math.imul(hash, 31) + lowerCase) | 0;
}

function buildKnownNames(): readonly (string | undefined)[] {
  const table: (string | undefined)[] = Array.from({ length: hashMask + 1 });
  // Keys are the engine's one copy of a text: comparing two of them is comparing addresses.
  const names = Object.keys(
    Object.fromEntries(
      common
        .trim()
        .split(/\s+/)
        .map((name) => [name, true]),
    ),
  );
  for (const name of names) {
    let hash = 0;
    for (let index = 0; index < name.length; index++) hash = nextHash(hash, name.charCodeAt(index));
    if (table[hash & hashMask] !== undefined)
      throw new Error(`the table of field names is too small for ${name}`);
    table[hash & hashMask] = name;
  }
  return table;
}

/** The known name that stands at `start`, in any case; undefined for others, whatever their hash. */
function knownName(text: string, start: number, end: number, hash: number): string | undefined {
  const name = knownNames[hash & hashMask];
  if (name === undefined || name.length !== end - start) return undefined;
  for (let index = 0; index < name.length; index++) {
    if (tokenBytes[text.charCodeAt(start + index)] !== name.charCodeAt(index)) return undefined;
  }
  return name;
}

const colon = 0x3a;
const carriageReturn = 0x0d;
const lineFeed = 0x0a;

function isWhiteSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/**
 * Reads field lines (RFC 9112 §5) of `text` from `start` to `end`. Every line, the last too, must end with CR LF and
 * the empty line is behind `end`. `text` is latin1: no character above 0xff.
 */
export function readFields(text: string, start: number, end: number, maxCount: number): Headers | Http1Fault {
  const fields: Headers = [];
  let at = start;
  while (at < end) {
    if (fields.length === 2 * maxCount) return 'too-many-fields';
    const nameStart = at;
    let hash = 0;
    let code = text.charCodeAt(at);
    for (let lower = tokenBytes[code]; lower !== undefined && lower !== 0; lower = tokenBytes[code]) {
      hash = nextHash(hash, lower);
      code = text.charCodeAt(++at);
    }
    if (code !== colon || at === nameStart) return nameFault(code, at === nameStart);
    const name = knownName(text, nameStart, at, hash) ?? text.slice(nameStart, at).toLowerCase();
    let valueStart = at + 1;
    while (isWhiteSpace(text.charCodeAt(valueStart))) valueStart++;
    at = valueStart;
    while (valueBytes[text.charCodeAt(at)] === 1) at++;
    if (text.charCodeAt(at) !== carriageReturn || text.charCodeAt(at + 1) !== lineFeed) {
      return text.charCodeAt(at) === lineFeed ? 'bare-line-feed' : 'bad-field-value';
    }
    let valueEnd = at;
    while (valueEnd > valueStart && isWhiteSpace(text.charCodeAt(valueEnd - 1))) valueEnd--;
    fields.push(name, text.slice(valueStart, valueEnd));
    at += 2;
  }
  return fields;
}

function nameFault(code: number, atLineStart: boolean): Http1Fault {
  if (isWhiteSpace(code)) return atLineStart ? 'obs-fold' : 'space-before-colon';
  return code === lineFeed ? 'bare-line-feed' : 'bad-field-name';
}

/** Trailer fields: as `readFields`, and what may not follow a body is dropped. Null when nothing is left. */
export function readTrailers(text: string, maxCount: number): Headers | null | Http1Fault {
  const fields = readFields(text, 0, text.length, maxCount);
  if (typeof fields === 'string') return fields;
  let kept = 0;
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index] as string;
    if (isForbiddenTrailer(name)) continue;
    fields[kept] = name;
    fields[kept + 1] = fields[index + 1] as string;
    kept += 2;
  }
  truncate(fields, kept);
  return kept === 0 ? null : fields;
}
