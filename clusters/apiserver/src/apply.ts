/**
 * Server-side apply: merge a manager's whole intent into the object, remove what it no longer intends, and refuse to
 * change what another manager has set to a different value.
 */
import {
  describePath,
  itemSegment,
  leavesOf,
  segmentsOf,
  without,
  type PathKey,
  type Segment,
} from './field-set.ts';
import { clone, deepEqual, isObject, type Json, type JsonObject } from './json.ts';
import type { Topology } from './list-topology.ts';
import {
  readManagers,
  topologyOf,
  withOwn,
  writeManagers,
  type ManagerEntry,
  type TrackOptions,
} from './managed-fields.ts';
import type { KubeObject } from './object.ts';
import { ApiError } from './status.ts';

interface ApplyOptions extends TrackOptions {
  force: boolean;
}

interface FieldConflict {
  readonly manager: string;
  /** Whose way of writing does not say which version it meant. */
  readonly using: string;
  readonly path: PathKey;
}

/**
 * The object after `config` is applied to `current` (undefined: it is created).
 * @throws ApiError 409 with one FieldManagerConflict cause per field
 */
export function applyConfiguration(
  current: KubeObject | undefined,
  config: KubeObject,
  { info, manager, apiVersion, subresource, time, force }: ApplyOptions,
): KubeObject {
  const topology = topologyOf(info);
  const wanted = new Map(
    [...leavesOf(config, topology)].filter(([path]) => {
      const inStatus = path === 'f:status' || path.startsWith('f:status\0');
      return !info.status || (subresource === 'status') === inStatus;
    }),
  );
  const managers = readManagers(current);
  const isOwn = (entry: (typeof managers)[number]): boolean =>
    entry.manager === manager && entry.operation === 'Apply' && entry.subresource === subresource;
  const live: ReadonlyMap<PathKey, Json> = current === undefined ? new Map() : leavesOf(current, topology);
  const conflicts: FieldConflict[] = [];
  for (const entry of managers) {
    if (isOwn(entry)) continue;
    for (const [path, value] of wanted) {
      if (entry.fields.has(path) && live.has(path) && !deepEqual(live.get(path), value)) {
        const using = entry.operation === 'Apply' ? '' : describeUpdate(entry);
        conflicts.push({ manager: entry.manager, using, path });
      }
    }
  }
  if (conflicts.length > 0 && !force) throw conflictError(conflicts);

  const merged = merge(current ?? {}, config, [], topology) as KubeObject;
  const others = managers.filter((entry) => !isOwn(entry));
  const owned = new Set(others.flatMap((entry) => [...entry.fields]));
  const dropped = [...(managers.find(isOwn)?.fields ?? [])].filter((path) => !wanted.has(path));
  // Members of an item before the item itself, so that an item that others still own keeps their members.
  for (const path of dropped.sort((left, right) => right.length - left.length)) {
    if (owned.has(path)) continue;
    const segments = segmentsOf(path);
    if (segments.at(-1) === '.') {
      const prefix = `${segments.slice(0, -1).join('\0')}\0`;
      if ([...owned].some((other) => other.startsWith(prefix))) continue;
      removeAt(merged, segments.slice(0, -1));
    } else removeAt(merged, segments);
  }
  const taken = new Set(conflicts.map(({ path }) => path));
  writeManagers(
    merged,
    withOwn(
      managers.map((entry) => (isOwn(entry) ? entry : { ...entry, fields: without(entry.fields, taken) })),
      { manager, operation: 'Apply', apiVersion, subresource, time },
      new Set(wanted.keys()),
    ),
  );
  return merged;
}

function describeUpdate({ subresource, apiVersion }: ManagerEntry): string {
  return `${subresource === '' ? '' : ` with subresource ${JSON.stringify(subresource)}`} using ${apiVersion}`;
}

function conflictError(conflicts: readonly FieldConflict[]): ApiError {
  const causes = conflicts.map(({ manager, using, path }) => ({
    reason: 'FieldManagerConflict',
    message: `conflict with ${JSON.stringify(manager)}${using}`,
    field: describePath(path),
  }));
  const count = conflicts.length === 1 ? '1 conflict' : `${conflicts.length} conflicts`;
  return new ApiError({
    code: 409,
    reason: 'Conflict',
    message: `Apply failed with ${count}: ${causes.map(({ message, field }) => `${message}: ${field}`).join(', ')}`,
    details: { causes },
  });
}

function merge(base: Json | undefined, config: Json, path: readonly string[], topology: Topology): Json {
  if (isObject(config)) {
    if (topology.isWhole(path)) return clone(config);
    const merged: JsonObject = isObject(base) ? clone(base) : {};
    for (const [name, value] of Object.entries(config)) {
      merged[name] = merge(merged[name], value, [...path, name], topology);
    }
    return merged;
  }
  if (!Array.isArray(config)) return config;
  const rule = topology.list(path);
  const items = Array.isArray(base) ? (clone(base) as Json[]) : [];
  if (rule.kind === 'atomic') return clone(config);
  for (const item of config) {
    const same =
      rule.kind === 'set'
        ? (other: Json) => deepEqual(other, item)
        : (other: Json) => itemSegment(other, rule.keys) === itemSegment(item, rule.keys);
    const index = items.findIndex(same);
    if (index === -1) items.push(clone(item));
    else items[index] = merge(items[index], item, path, topology);
  }
  return items;
}

/** Removes what `segments` leads to, and the objects and lists that this leaves empty. */
function removeAt(value: Json | undefined, [segment, ...rest]: readonly Segment[]): boolean {
  if (segment === undefined) return true;
  if (segment.startsWith('f:') && isObject(value)) {
    const name = segment.slice(2);
    if (!Object.hasOwn(value, name) || !removeAt(value[name], rest)) return false;
    delete value[name];
    return Object.keys(value).length === 0;
  }
  if (!Array.isArray(value)) return false;
  const index = value.findIndex((item) =>
    segment.startsWith('v:')
      ? JSON.stringify(item) === segment.slice(2)
      : itemSegment(item, Object.keys(JSON.parse(segment.slice(2)) as JsonObject)) === segment,
  );
  if (index === -1 || !removeAt(value[index], rest)) return false;
  value.splice(index, 1);
  return value.length === 0;
}
