/**
 * Differences between JSON values as merge patches (RFC 7386): a key with null is removed, an object is merged, and
 * anything else, arrays included, is replaced whole.
 */
type Plain = Readonly<Record<string, unknown>>;

/** Deep equality of JSON values. A key that holds undefined counts as absent, as JSON.stringify drops it. */
export function jsonEqual(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (Array.isArray(left)) {
    if (!Array.isArray(right) || left.length !== right.length) return false;
    return left.every((item, index) => jsonEqual(item, right[index]));
  }
  if (!isPlain(left) || !isPlain(right)) return false;
  for (const key of Object.keys(left)) if (!jsonEqual(left[key], right[key])) return false;
  for (const key of Object.keys(right)) if (right[key] !== undefined && !(key in left)) return false;
  return true;
}

/** The merge patch that turns `current` into `desired`; undefined when they are equal. */
export function mergeDiff(current: object, desired: object): object | undefined {
  const patch: Record<string, unknown> = {};
  const from = current as Plain;
  const to = desired as Plain;
  for (const key of Object.keys(to)) {
    const value = to[key];
    if (value === undefined || jsonEqual(from[key], value)) continue;
    const known = from[key];
    patch[key] = isPlain(known) && isPlain(value) ? mergeDiff(known, value) : value;
  }
  for (const key of Object.keys(from)) {
    if (from[key] !== undefined && to[key] === undefined) patch[key] = null;
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}

/**
 * The merge patch that makes `current` contain `desired`, leaving what `desired` does not mention; undefined when it
 * does already. Null in `desired` removes a key. In arrays of equal length each item need only contain the wanted
 * one, because servers fill in defaults; an array that lacks something is written whole.
 */
export function subsetDiff(current: object, desired: object): object | undefined {
  const patch: Record<string, unknown> = {};
  const from = current as Plain;
  const to = desired as Plain;
  for (const key of Object.keys(to)) {
    const value = to[key];
    const known = from[key];
    if (value === undefined || contains(known, value)) continue;
    patch[key] = isPlain(known) && isPlain(value) ? subsetDiff(known, value) : value;
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}

function contains(current: unknown, desired: unknown): boolean {
  if (desired === null) return current === undefined || current === null;
  if (current === desired) return true;
  if (Array.isArray(desired)) {
    // servers drop empty lists and maps
    if (current === undefined) return desired.length === 0;
    if (!Array.isArray(current) || current.length !== desired.length) return false;
    return desired.every((item, index) => contains(current[index], item));
  }
  if (!isPlain(desired)) return false;
  if (current === undefined) return Object.keys(desired).length === 0;
  if (!isPlain(current)) return false;
  return Object.keys(desired).every(
    (key) => desired[key] === undefined || contains(current[key], desired[key]),
  );
}

function isPlain(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
