import { isForbiddenTrailer, tokenBytes, valueBytes } from '@mesh/http/header-rules';
import { truncate } from '@mesh/http/headers';
import type { Headers } from '@mesh/http/message';
import type { Http1Fault } from './faults.ts';
import type { Section } from './section.ts';

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

/** Usual names; the first stands for none. Keys are the engine's one copy of a text: comparing two of them is comparing addresses. */
const knownNames: readonly string[] = [
  '',
  ...Object.keys(
    Object.fromEntries(
      common
        .trim()
        .split(/\s+/)
        .map((name) => [name, true]),
    ),
  ),
];

/**
 * Places of usual names by a hash of their letters in lower case. A fixed table, so that no peer can grow it; it saves cutting out
 * and lower-casing a name, and later comparisons are of the same string.
 */
const knownPlaces: Uint8Array = buildKnownPlaces();

function nextHash(hash: number, lowerCase: number): number {
  return (Math.imul(hash, 31) + lowerCase) | 0;
}

function buildKnownPlaces(): Uint8Array {
  const places = new Uint8Array(hashMask + 1);
  for (const [place, name] of knownNames.entries()) {
    let hash = 0;
    for (let index = 0; index < name.length; index++) hash = nextHash(hash, name.charCodeAt(index));
    if (places[hash & hashMask] !== 0) throw new Error(`the table of field names is too small for ${name}`);
    places[hash & hashMask] = place;
  }
  return places;
}

/** The known name that stands from `start` to `end`, in any case; undefined for others, whatever their hash. */
function knownName(bytes: Buffer, start: number, end: number, hash: number): string | undefined {
  const name = knownNames[knownPlaces[hash & hashMask] as number] as string;
  if (name.length !== end - start) return undefined;
  for (let index = 0; index < name.length; index++) {
    if (tokenBytes[bytes[start + index] as number] !== name.charCodeAt(index)) return undefined;
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
 * Reads field lines (RFC 9112 §5) of `section` from character `start` on. Every line, the last too, must end with CR LF; the
 * empty line is behind the section.
 */
export function readFields(section: Section, start: number, maxCount: number): Headers | Http1Fault {
  const { bytes, base, text } = section;
  const end = base + section.end;
  const fields: Headers = [];
  let at = base + start;
  while (at < end) {
    if (fields.length === 2 * maxCount) return 'too-many-fields';
    const nameStart = at;
    let hash = 0;
    for (let lower = tokenBytes[bytes[at] as number] as number; lower !== 0; ) {
      hash = nextHash(hash, lower);
      lower = tokenBytes[bytes[++at] as number] as number;
    }
    if (bytes[at] !== colon || at === nameStart) return nameFault(bytes[at] as number, at === nameStart);
    const name =
      knownName(bytes, nameStart, at, hash) ?? text.slice(nameStart - base, at - base).toLowerCase();
    let valueStart = at + 1;
    while (isWhiteSpace(bytes[valueStart] as number)) valueStart++;
    at = valueStart;
    while (valueBytes[bytes[at] as number] === 1) at++;
    if (bytes[at] !== carriageReturn || bytes[at + 1] !== lineFeed) {
      return bytes[at] === lineFeed ? 'bare-line-feed' : 'bad-field-value';
    }
    let valueEnd = at;
    while (valueEnd > valueStart && isWhiteSpace(bytes[valueEnd - 1] as number)) valueEnd--;
    fields.push(name, text.slice(valueStart - base, valueEnd - base));
    at += 2;
  }
  return fields;
}

function nameFault(code: number, atLineStart: boolean): Http1Fault {
  if (isWhiteSpace(code)) return atLineStart ? 'obs-fold' : 'space-before-colon';
  return code === lineFeed ? 'bare-line-feed' : 'bad-field-name';
}

/** Trailer fields: as `readFields`, and what may not follow a body is dropped. Null when nothing is left. */
export function readTrailers(section: Section, maxCount: number): Headers | null | Http1Fault {
  const fields = readFields(section, 0, maxCount);
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
