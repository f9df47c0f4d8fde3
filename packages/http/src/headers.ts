import type { Headers } from './message.ts';

/** Shortens a list in place. Assigning `length` would cost a call into the runtime even where nothing changes. */
export function truncate(headers: Headers, length: number): void {
  while (headers.length > length) headers.pop();
}

/** First value of `name` (lower case), or undefined. */
export function getHeader(headers: Headers, name: string): string | undefined {
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] === name) return headers[index + 1];
  }
  return undefined;
}

/** Removes every `name` in place; returns how many there were. */
export function removeHeader(headers: Headers, name: string): number {
  let kept = 0;
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] === name) continue;
    headers[kept] = headers[index] as string;
    headers[kept + 1] = headers[index + 1] as string;
    kept += 2;
  }
  const removed = (headers.length - kept) / 2;
  truncate(headers, kept);
  return removed;
}
