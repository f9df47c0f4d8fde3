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

/**
 * Usual spellings of usual names → the one lower-case string. A fixed table, so that no peer can grow it; it saves
 * lower-casing, and later comparisons are of the same string.
 */
const knownNames: ReadonlyMap<string, string> = new Map(
  common
    .trim()
    .split(/\s+/)
    .flatMap((name) => [
      [name, name],
      [name.replaceAll(/(?:^|-)[a-z]/g, (start) => start.toUpperCase()), name],
    ]),
);

const colon = 0x3a;
const carriageReturn = 0x0d;
const lineFeed = 0x0a;

function isWhiteSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/**
 * Reads field lines (RFC 9112 §5) from `start` to the end of `text`. Every line, the last too, must end with CR LF and
 * the empty line must be cut off before. `text` is latin1: no character above 0xff.
 */
export function readFields(text: string, start: number, maxCount: number): Headers | Http1Fault {
  const fields: Headers = [];
  const length = text.length;
  let at = start;
  while (at < length) {
    if (fields.length === 2 * maxCount) return 'too-many-fields';
    const nameStart = at;
    let lowerCase = true;
    let code = text.charCodeAt(at);
    for (let lower = tokenBytes[code]; lower !== undefined && lower !== 0; lower = tokenBytes[code]) {
      if (lower !== code) lowerCase = false;
      code = text.charCodeAt(++at);
    }
    if (code !== colon || at === nameStart) return nameFault(code, at === nameStart);
    const spelled = text.slice(nameStart, at);
    let valueStart = at + 1;
    while (isWhiteSpace(text.charCodeAt(valueStart))) valueStart++;
    at = valueStart;
    while (valueBytes[text.charCodeAt(at)] === 1) at++;
    if (text.charCodeAt(at) !== carriageReturn || text.charCodeAt(at + 1) !== lineFeed) {
      return text.charCodeAt(at) === lineFeed ? 'bare-line-feed' : 'bad-field-value';
    }
    let valueEnd = at;
    while (valueEnd > valueStart && isWhiteSpace(text.charCodeAt(valueEnd - 1))) valueEnd--;
    fields.push(
      knownNames.get(spelled) ?? (lowerCase ? spelled : spelled.toLowerCase()),
      text.slice(valueStart, valueEnd),
    );
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
  const fields = readFields(text, 0, maxCount);
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
