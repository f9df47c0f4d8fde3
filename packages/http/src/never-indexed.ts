/**
 * Names of fields that came never-indexed (RFC 7541 §6.2.3): at every further hop over HTTP/2 they stay so, whoever compresses them.
 *
 * Hardly any sender marks a field, so that what is marked lies beside the lists and not in each of them.
 */
import type { Headers } from './message.ts';

const marked: WeakMap<Headers, readonly string[]> = new WeakMap();
let anyMarked = false;

/** @param names pseudo-headers of the same head among them */
export function markNeverIndexed(headers: Headers, names: readonly string[]): void {
  anyMarked = true;
  marked.set(headers, names);
}

/** Undefined for none. */
export function neverIndexedIn(headers: Headers): readonly string[] | undefined {
  return anyMarked ? marked.get(headers) : undefined;
}
