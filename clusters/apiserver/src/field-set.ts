/**
 * Sets of fields in the `FieldsV1` form of managedFields: members as `f:NAME`, list items by key as `k:{...}`, set
 * items as `v:VALUE`, and `.` for an item itself. Only leaves are kept: a field is a leaf when its value is a scalar,
 * an empty object or a list that is replaced as a whole.
 */
import { isObject, type Json, type JsonObject } from './json.ts';
import type { ListRule, Topology } from './list-topology.ts';

export type Segment = string;
/** A path as text, for sets and maps. Segments never contain a NUL. */
export type PathKey = string;

const pathKey = (path: readonly Segment[]): PathKey => path.join('\0');
export const segmentsOf = (key: PathKey): Segment[] => key.split('\0');

/** Metadata that the server owns. */
const systemFields: ReadonlySet<string> = new Set([
  'f:creationTimestamp',
  'f:deletionGracePeriodSeconds',
  'f:deletionTimestamp',
  'f:generateName',
  'f:generation',
  'f:managedFields',
  'f:name',
  'f:namespace',
  'f:resourceVersion',
  'f:selfLink',
  'f:uid',
]);

/** `protocol` is a key that authors leave out. */
const keyDefaults: Readonly<Record<string, Json>> = { protocol: 'TCP' };

/** The `k:` segment of an item, or undefined when it lacks a key. */
export function itemSegment(item: Json, keys: readonly string[]): Segment | undefined {
  if (!isObject(item)) return undefined;
  const values: JsonObject = {};
  for (const key of [...keys].sort()) {
    const value = item[key] ?? keyDefaults[key];
    if (value === undefined) return undefined;
    values[key] = value;
  }
  return `k:${JSON.stringify(values)}`;
}

/** The leaves of `object` with their values. */
export function leavesOf(object: JsonObject, topology: Topology): Map<PathKey, Json> {
  const leaves = new Map<PathKey, Json>();
  const walk = (value: Json, path: readonly Segment[], names: readonly string[]): void => {
    if (path[0] === 'f:metadata' && path.length === 2 && systemFields.has(path[1] ?? '')) return;
    if (isObject(value)) {
      const members = Object.entries(value);
      if (path.length > 0 && (members.length === 0 || topology.isWhole(names))) {
        leaves.set(pathKey(path), value);
        return;
      }
      for (const [name, member] of members) {
        if (path.length === 0 && (name === 'apiVersion' || name === 'kind')) continue;
        walk(member, [...path, `f:${name}`], [...names, name]);
      }
      return;
    }
    if (!Array.isArray(value)) {
      leaves.set(pathKey(path), value);
      return;
    }
    walkList(value, path, names, topology.list(names));
  };
  const walkList = (
    list: readonly Json[],
    path: readonly Segment[],
    names: readonly string[],
    rule: ListRule,
  ): void => {
    const segments = list.map((item) => (rule.kind === 'map' ? itemSegment(item, rule.keys) : undefined));
    if (rule.kind === 'atomic' || (rule.kind === 'map' && segments.includes(undefined))) {
      leaves.set(pathKey(path), list as Json[]);
      return;
    }
    for (const [index, item] of list.entries()) {
      const segment = segments[index] ?? `v:${JSON.stringify(item)}`;
      leaves.set(pathKey([...path, segment, '.']), null);
      if (rule.kind === 'map') walk(item, [...path, segment], names);
    }
  };
  walk(object, [], []);
  return leaves;
}

/** FieldsV1 to paths. */
export function parseFields(fields: Json | undefined): Set<PathKey> {
  const paths = new Set<PathKey>();
  const walk = (value: Json | undefined, path: readonly Segment[]): void => {
    const members = isObject(value) ? Object.entries(value) : [];
    if (members.length === 0 && path.length > 0) paths.add(pathKey(path));
    for (const [segment, member] of members) walk(member, [...path, segment]);
  };
  walk(fields, []);
  return paths;
}

/** Paths to FieldsV1. */
export function formatFields(paths: ReadonlySet<PathKey>): JsonObject {
  const fields: JsonObject = {};
  for (const key of [...paths].sort()) {
    let current = fields;
    for (const segment of segmentsOf(key)) {
      const next = current[segment];
      const child: JsonObject = isObject(next) ? next : {};
      current[segment] = child;
      current = child;
    }
  }
  return fields;
}

/** `.spec.ports[port=80,protocol="TCP"].name`: how conflicts name a field. */
export function describePath(key: PathKey): string {
  return segmentsOf(key)
    .map((segment) => {
      if (segment === '.') return '';
      if (segment.startsWith('f:')) return `.${segment.slice(2)}`;
      if (segment.startsWith('v:')) return `[=${segment.slice(2)}]`;
      const values = JSON.parse(segment.slice(2)) as JsonObject;
      return `[${Object.entries(values)
        .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
        .join(',')}]`;
    })
    .join('');
}

export function without(paths: ReadonlySet<PathKey>, ...gone: ReadonlySet<PathKey>[]): Set<PathKey> {
  return new Set([...paths].filter((path) => !gone.some((set) => set.has(path))));
}

export function sameFields(left: ReadonlySet<PathKey>, right: ReadonlySet<PathKey>): boolean {
  return left.size === right.size && [...left].every((path) => right.has(path));
}
