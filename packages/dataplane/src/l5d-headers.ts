/** Fields that proxies speak among themselves. Nobody else may set them, so each proxy removes what it did not expect. */
import { truncate } from '@mesh/http/headers';
import { isProxyField } from '@mesh/http/header-rules';
import type { Headers, HttpVersion, RequestHead } from '@mesh/http/message';

/** HTTP/1 inside HTTP/2: the version to restore, with `; absolute-form` for proxy-style targets. */
export const origProtoHeader = 'l5d-orig-proto';
/** Verified identity of the calling workload. */
export const clientIdHeader = 'l5d-client-id';
const absoluteForm = '; absolute-form';
/**
 * In a response: the upgrade was accepted. HTTP/2 says 200 for that (RFC 8441 §4), which is also what an application
 * answers that ignored the upgrade.
 */
export const upgraded = 'HTTP/1.1; upgraded';

/** Removes every `l5d-*` field in place. */
export function stripL5d(headers: Headers): void {
  let kept = 0;
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] as string;
    if (isProxyField(name)) continue;
    if (kept !== index) {
      headers[kept] = name;
      headers[kept + 1] = headers[index + 1] as string;
    }
    kept += 2;
  }
  truncate(headers, kept);
}

/** Value of `l5d-orig-proto` for an HTTP/1 request that is sent as HTTP/2. */
export function origProtoOf(head: RequestHead): string {
  const version = head.version === 10 ? 'HTTP/1.0' : 'HTTP/1.1';
  return head.scheme === '' ? version : version + absoluteForm;
}

export interface OrigProto {
  readonly version: HttpVersion;
  readonly absolute: boolean;
  /** What the response says back. */
  readonly text: string;
}

const known: ReadonlyMap<string, OrigProto> = new Map(
  Object.entries({
    'HTTP/1.1': { version: 11, absolute: false, text: 'HTTP/1.1' },
    'HTTP/1.0': { version: 10, absolute: false, text: 'HTTP/1.0' },
    [`HTTP/1.1${absoluteForm}`]: { version: 11, absolute: true, text: 'HTTP/1.1' },
    [`HTTP/1.0${absoluteForm}`]: { version: 10, absolute: true, text: 'HTTP/1.0' },
  } satisfies Record<string, OrigProto>),
);

/** Makes `head`, which came as HTTP/2, the HTTP/1 request that it carries. */
export function restoreOriginal(head: RequestHead, { version, absolute }: OrigProto): void {
  head.version = version;
  if (!absolute) head.scheme = '';
  // HTTP/2 asks for an upgrade by CONNECT (RFC 8441 §4); only a GET is ever carried so.
  if (head.upgrade !== '') head.method = 'GET';
}

/** Undefined for a value that no proxy sends. */
export function parseOrigProto(value: string): OrigProto | undefined {
  return known.get(value);
}
