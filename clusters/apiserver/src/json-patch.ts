/** JSON Patch, RFC 6902, with JSON Pointer, RFC 6901. Faults are values; the input is never changed. */
import { clone, deepEqual, isObject, textAt, type Json } from './json.ts';

export type PatchResult =
  | { readonly kind: 'ok'; readonly value: Json }
  /** Not a patch at all. */
  | { readonly kind: 'malformed'; readonly fault: string }
  /** It does not apply to this document. */
  | { readonly kind: 'failed'; readonly fault: string };

class Fault extends Error {}

function parsePointer(pointer: string): string[] {
  if (pointer === '') return [];
  if (!pointer.startsWith('/')) throw new Fault(`invalid JSON pointer ${JSON.stringify(pointer)}`);
  return pointer
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function listIndex(list: readonly Json[], step: string, most: number): number {
  const index = /^(0|[1-9]\d*)$/.test(step) ? Number(step) : Number.NaN;
  if (!(index <= most)) throw new Fault(`index ${step} is outside a list of ${list.length}`);
  return index;
}

function child(parent: Json | undefined, step: string): Json {
  if (Array.isArray(parent)) {
    const item = parent[listIndex(parent, step, parent.length - 1)];
    if (item !== undefined) return item;
  } else if (isObject(parent) && Object.hasOwn(parent, step)) {
    const member = parent[step];
    if (member !== undefined) return member;
  }
  throw new Fault(`there is no ${JSON.stringify(step)} at this path`);
}

function read(document: Json, path: readonly string[]): Json {
  return path.reduce<Json>((value, step) => child(value, step), document);
}

function setMember(target: Record<string, Json>, name: string, value: Json): void {
  // Plain assignment to __proto__ would change the prototype instead of adding a member.
  Object.defineProperty(target, name, { value, writable: true, enumerable: true, configurable: true });
}

function add(document: Json, path: readonly string[], value: Json): Json {
  const last = path.at(-1);
  if (last === undefined) return value;
  const parent = read(document, path.slice(0, -1));
  if (Array.isArray(parent)) {
    parent.splice(last === '-' ? parent.length : listIndex(parent, last, parent.length), 0, value);
  } else if (isObject(parent)) setMember(parent, last, value);
  else throw new Fault(`cannot add ${JSON.stringify(last)} to a ${typeof parent}`);
  return document;
}

function remove(document: Json, path: readonly string[]): Json {
  const last = path.at(-1);
  if (last === undefined) return null;
  const parent = read(document, path.slice(0, -1));
  child(parent, last);
  if (Array.isArray(parent)) parent.splice(Number(last), 1);
  else if (isObject(parent)) delete parent[last];
  return document;
}

function apply(document: Json, operation: Json): Json {
  const path = parsePointer(textAt(operation, 'path') ?? '');
  const from = parsePointer(textAt(operation, 'from') ?? '');
  const value = isObject(operation) ? clone(operation['value'] ?? null) : null;
  switch (textAt(operation, 'op')) {
    case 'add':
      return add(document, path, value);
    case 'remove':
      return remove(document, path);
    case 'replace':
      return path.length === 0 ? value : add(remove(document, path), path, value);
    case 'move': {
      if (from.length < path.length && from.every((step, index) => step === path[index])) {
        throw new Fault('a value cannot be moved into itself');
      }
      const moved = clone(read(document, from));
      return add(remove(document, from), path, moved);
    }
    case 'copy':
      return add(document, path, clone(read(document, from)));
    case 'test':
      if (!deepEqual(read(document, path), value)) throw new Fault('the tested value is different');
      return document;
    default:
      throw new Fault('unknown operation');
  }
}

const known: ReadonlySet<string | undefined> = new Set(['add', 'remove', 'replace', 'move', 'copy', 'test']);

export function applyJsonPatch(document: Json, patch: Json | undefined): PatchResult {
  if (!Array.isArray(patch)) return { kind: 'malformed', fault: 'a JSON patch is a list of operations' };
  for (const [index, operation] of patch.entries()) {
    const op = textAt(operation, 'op');
    const needsFrom = op === 'move' || op === 'copy';
    if (
      !known.has(op) ||
      textAt(operation, 'path') === undefined ||
      (needsFrom && textAt(operation, 'from') === undefined)
    ) {
      return { kind: 'failed', fault: `operation ${index} is not one of RFC 6902` };
    }
  }
  let value = clone(document);
  for (const [index, operation] of patch.entries()) {
    try {
      value = apply(value, operation);
    } catch (thrown) {
      if (!(thrown instanceof Fault)) throw thrown;
      const where = `${textAt(operation, 'op')} operation ${index} at ${JSON.stringify(textAt(operation, 'path'))}`;
      return { kind: 'failed', fault: `${where} does not apply: ${thrown.message}` };
    }
  }
  return { kind: 'ok', value };
}
