/**
 * What the control plane said last, in a file of the pod: two lines of JSON, of which the first says whose they are and proves
 * the second. There is no secret in it: names, addresses and policies, no key and no token.
 */
import { createHash } from 'node:crypto';
import {
  close,
  closeSync,
  fstatSync,
  fsync,
  type NoParamCallback,
  open,
  openSync,
  readFileSync,
  rename,
  writeFile,
} from 'node:fs';
import { dirname } from 'node:path';

/** What a file is replaced with. */
export const fileCalls = { open, writeFile, fsync, close, rename };
export type FileCalls = typeof fileCalls;

/** Another number is another format, which is not read. */
const format = 1;
const headBytes = 4096;

/** One stream. */
export interface LastGood {
  /** Until when it was known to be true, wall-clock milliseconds. */
  readonly at: number;
  /** What a new stream would have said, encoded. */
  readonly messages: readonly Uint8Array[];
}

export type LastGoodFault = 'absent' | 'damaged' | 'foreign' | 'too-large';

export type LastGoodRead =
  | { readonly streams: ReadonlyMap<string, LastGood> }
  | { readonly fault: LastGoodFault; readonly detail: string };

/** Bytes that a stream takes in the file. */
export function sizeOf(key: string, { messages }: LastGood): number {
  return messages.reduce((sum, { length }) => sum + Math.ceil(length / 3) * 4 + 3, key.length + 32);
}

/**
 * As many of `streams` as fit into `maxBytes`, in their order; those that are `first` have precedence. `leftOut` counts the others.
 */
export function fitting(
  streams: ReadonlyMap<string, LastGood>,
  { maxBytes, first }: { maxBytes: number; first: (key: string) => boolean },
): { streams: ReadonlyMap<string, LastGood>; leftOut: number } {
  const chosen = new Set<string>();
  let left = maxBytes;
  // The sort is stable: each kind keeps its order.
  const byPrecedence = [...streams].toSorted(([one], [other]) => Number(first(other)) - Number(first(one)));
  for (const [key, entry] of byPrecedence) {
    const size = sizeOf(key, entry);
    if (size > left) continue;
    left -= size;
    chosen.add(key);
  }
  const fits = new Map([...streams].filter(([key]) => chosen.has(key)));
  return { streams: fits, leftOut: streams.size - fits.size };
}

/** `owner` is who may read it again: one that was another pod is not ours. */
export function encodeLastGood(streams: ReadonlyMap<string, LastGood>, owner: string): string {
  const body = JSON.stringify(
    Array.from(streams, ([key, { at, messages }]) => [
      key,
      at,
      messages.map((message) => Buffer.from(message).toString('base64')),
    ]),
  );
  return `${JSON.stringify({ format, owner, sha256: sha256(body) })}\n${body}`;
}

export function decodeLastGood(text: string, owner: string): LastGoodRead {
  const end = text.indexOf('\n');
  const body = text.slice(end + 1);
  const head = end === -1 || end > headBytes ? undefined : parse(text.slice(0, end));
  if (!isHead(head)) return { fault: 'damaged', detail: 'it has no head' };
  if (head.format !== format || head.owner !== owner) {
    return { fault: 'foreign', detail: `it is format ${head.format} of ${head.owner}` };
  }
  if (head.sha256 !== sha256(body))
    return { fault: 'damaged', detail: 'its bytes are not those that were written' };
  const entries = parse(body);
  const streams = new Map<string, LastGood>();
  for (const entry of Array.isArray(entries) ? entries : []) {
    const [key, at, messages] = entry as [string, number, string[]];
    streams.set(key, { at, messages: messages.map((message) => Buffer.from(message, 'base64')) });
  }
  return { streams };
}

/**
 * Never throws: a file that cannot be used is as good as none. It is read before the program does anything else; node:fs/promises, with
 * the module of terminals that it loads, would stay for it.
 */
export function readLastGood(
  path: string,
  { owner, maxBytes }: { owner: string; maxBytes: number },
): LastGoodRead {
  try {
    const file = openSync(path, 'r');
    try {
      const { size } = fstatSync(file);
      if (size > maxBytes + headBytes) return { fault: 'too-large', detail: `it has ${size} bytes` };
      return decodeLastGood(readFileSync(file, 'utf8'), owner);
    } finally {
      closeSync(file);
    }
  } catch (thrown) {
    const detail = thrown instanceof Error ? thrown.message : String(thrown);
    return { fault: isMissing(thrown) ? 'absent' : 'damaged', detail };
  }
}

/**
 * Whoever reads meanwhile, or after a crash of the program, finds the old text or the new one. With `flush` it resolves once only the
 * new one is found after a loss of power, too; without, that may leave a damaged one, but none older than the last that was
 * flushed. Rejects with the system's error.
 */
export async function writeLastGood(
  path: string,
  text: string,
  { flush, files = fileCalls }: { flush: boolean; files?: FileCalls },
): Promise<void> {
  const draft = `${path}.new`;
  await withFile(files, { path: draft, flags: 'w' }, async (file) => {
    await done((settle) => files.writeFile(file, text, settle));
    if (flush) await done((settle) => files.fsync(file, settle));
  });
  await done((settle) => files.rename(draft, path, settle));
  if (!flush) return;
  // The new name is an entry of the directory, which the system writes back when it likes.
  await withFile(files, { path: dirname(path), flags: 'r' }, (directory) =>
    done((settle) => files.fsync(directory, settle)),
  );
}

async function withFile(
  files: FileCalls,
  { path, flags }: { path: string; flags: 'r' | 'w' },
  use: (file: number) => Promise<void>,
): Promise<void> {
  const file = await new Promise<number>((resolve, reject) => {
    files.open(path, flags, 0o600, (fault, opened) => (fault === null ? resolve(opened) : reject(fault)));
  });
  try {
    await use(file);
  } finally {
    await done((settle) => files.close(file, settle));
  }
}

function done(call: (settle: NoParamCallback) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    call((fault) => (fault === null ? resolve() : reject(fault)));
  });
}

interface Head {
  readonly format: number;
  readonly owner: string;
  readonly sha256: string;
}

function isHead(value: unknown): value is Head {
  return (
    typeof value === 'object' &&
    value !== null &&
    'format' in value &&
    typeof value.format === 'number' &&
    'owner' in value &&
    typeof value.owner === 'string' &&
    'sha256' in value &&
    typeof value.sha256 === 'string'
  );
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function isMissing(thrown: unknown): boolean {
  return typeof thrown === 'object' && thrown !== null && 'code' in thrown && thrown.code === 'ENOENT';
}
