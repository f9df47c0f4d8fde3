import { clone, isObject, type Json } from './json.ts';

/** JSON Merge Patch, RFC 7396: null removes, objects merge, anything else replaces. The input is never changed. */
export function applyMergePatch(document: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return clone(patch);
  const merged = new Map<string, Json>(isObject(document) ? Object.entries(document) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, applyMergePatch(merged.get(name), value));
  }
  return Object.fromEntries(merged);
}
