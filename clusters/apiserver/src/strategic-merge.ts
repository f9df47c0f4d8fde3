/**
 * Strategic merge patch for built-in kinds: a merge patch in which lists with a merge key are merged item by item.
 * Directives: `$patch: replace|delete|merge`, `$deleteFromPrimitiveList/NAME`, `$setElementOrder/NAME`, `$retainKeys`.
 */
import { clone, deepEqual, isObject, type Json, type JsonObject } from './json.ts';
import type { Topology } from './list-topology.ts';
import { ApiError } from './status.ts';

const directive = /^\$(setElementOrder|deleteFromPrimitiveList)\/(.+)$/;

export function applyStrategicMerge(document: Json | undefined, patch: Json, topology: Topology): Json {
  return isObject(patch)
    ? mergeObject(isObject(document) ? document : {}, patch, [], topology)
    : clone(patch);
}

function mergeObject(
  base: JsonObject,
  patch: JsonObject,
  path: readonly string[],
  topology: Topology,
): JsonObject {
  if (patch['$patch'] === 'replace') {
    const { $patch: _, ...rest } = patch;
    return clone(rest);
  }
  if (patch['$patch'] === 'delete') return {};
  const merged = new Map<string, Json>(Object.entries(base));
  const retain = patch['$retainKeys'];
  if (Array.isArray(retain)) {
    for (const name of merged.keys()) if (!retain.includes(name)) merged.delete(name);
  }
  for (const [name, value] of Object.entries(patch)) {
    if (name === '$patch' || name === '$retainKeys' || directive.test(name)) continue;
    const current = merged.get(name);
    const here = [...path, name];
    if (value === null) merged.delete(name);
    else if (Array.isArray(value)) merged.set(name, mergeList(current, value, here, topology));
    else if (isObject(value)) {
      merged.set(name, mergeObject(isObject(current) ? current : {}, value, here, topology));
    } else merged.set(name, value);
  }
  for (const [name, value] of Object.entries(patch)) {
    const [, action, target = ''] = directive.exec(name) ?? [];
    const list = merged.get(target);
    if (action === undefined || !Array.isArray(value) || !Array.isArray(list)) continue;
    if (action === 'deleteFromPrimitiveList') {
      merged.set(
        target,
        list.filter((item) => !value.some((gone) => deepEqual(gone, item))),
      );
    } else merged.set(target, inOrder(list, value, [...path, target], topology));
  }
  return Object.fromEntries(merged);
}

function mergeList(
  base: Json | undefined,
  patch: readonly Json[],
  path: readonly string[],
  topology: Topology,
): Json[] {
  const rule = topology.list(path);
  const items = Array.isArray(base) ? base : [];
  if (rule.kind === 'atomic' || patch.some((item) => isObject(item) && item['$patch'] === 'replace')) {
    return clone(patch.filter((item) => !(isObject(item) && item['$patch'] === 'replace')));
  }
  if (rule.kind === 'set') {
    return [...items, ...clone(patch.filter((item) => !items.some((known) => deepEqual(known, item))))];
  }
  return mergeByKey(clone(items) as Json[], patch, { path, topology, key: rule.patchKey });
}

function mergeByKey(
  items: readonly Json[],
  patch: readonly Json[],
  { path, topology, key }: { path: readonly string[]; topology: Topology; key: string },
): Json[] {
  const keyOf = (item: Json | undefined): Json | undefined => (isObject(item) ? item[key] : undefined);
  const placeOf = (item: Json): number => items.findIndex((known) => deepEqual(keyOf(known), keyOf(item)));
  const changed: { item: Json; place: number }[] = [];
  const touched = new Set<number>();
  for (const item of patch) {
    if (isObject(item) && item[key] === undefined) throw missingKey(item, key);
    const place = placeOf(item);
    const known = items[place];
    touched.add(place);
    if (isObject(item) && item['$patch'] === 'delete') continue;
    const merged = isObject(item) ? mergeObject(isObject(known) ? known : {}, item, path, topology) : item;
    changed.push({ item: clone(merged), place });
  }
  // What the patch names keeps the patch's order, the rest keeps its own; what is new comes before what was there.
  let rest = [...items.entries()].filter(([place]) => !touched.has(place));
  const result: Json[] = [];
  for (const { item, place } of changed) {
    const earlier = rest.filter(([other]) => other < place);
    rest = rest.slice(earlier.length);
    result.push(...earlier.map(([, known]) => known), item);
  }
  return [...result, ...rest.map(([, item]) => item)];
}

function missingKey(item: JsonObject, key: string): ApiError {
  const shown = Object.entries(item).map(([name, value]) => `${name}:${String(value)}`);
  return new ApiError({
    code: 500,
    reason: '',
    message: `map: map[${shown.join(' ')}] does not contain declared merge key: ${key}`,
  });
}

/** Items named in `order` take that order; the others stay behind the item they followed. */
function inOrder(
  list: readonly Json[],
  order: readonly Json[],
  path: readonly string[],
  topology: Topology,
): Json[] {
  const rule = topology.list(path);
  const key = (item: Json): Json | undefined =>
    rule.kind === 'map' && isObject(item) ? item[rule.patchKey] : item;
  const ranks = list.map((item) => order.findIndex((wanted) => deepEqual(key(wanted), key(item))));
  let last = -1;
  return list
    .map((item, index) => {
      const rank = ranks[index] ?? -1;
      last = rank === -1 ? last : rank;
      return { item, rank: rank === -1 ? last + 0.5 : rank };
    })
    .sort((left, right) => left.rank - right.rank)
    .map(({ item }) => item);
}
