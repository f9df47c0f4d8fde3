/** `metadata.managedFields`: which manager last set which field. */
import {
  formatFields,
  leavesOf,
  parseFields,
  sameFields,
  segmentsOf,
  without,
  type PathKey,
} from './field-set.ts';
import { deepEqual, isObject, listAt, textAt, type Json, type JsonObject } from './json.ts';
import { builtinTopology, schemaTopology, type Topology } from './list-topology.ts';
import type { KubeObject } from './object.ts';
import type { ResourceInfo } from './resources.ts';

export interface ManagerEntry {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly subresource: string;
  readonly time: string;
  readonly fields: ReadonlySet<PathKey>;
}

export interface TrackOptions {
  info: ResourceInfo;
  manager: string;
  apiVersion: string;
  subresource: string;
  time: string;
}

export function topologyOf(info: ResourceInfo): Topology {
  return info.custom === undefined ? builtinTopology(info.kind) : schemaTopology(info.custom.schema);
}

export function readManagers(object: KubeObject | undefined): ManagerEntry[] {
  return listAt(object, 'metadata', 'managedFields').map((entry) => ({
    manager: textAt(entry, 'manager') ?? '',
    operation: textAt(entry, 'operation') === 'Apply' ? 'Apply' : 'Update',
    apiVersion: textAt(entry, 'apiVersion') ?? '',
    subresource: textAt(entry, 'subresource') ?? '',
    time: textAt(entry, 'time') ?? '',
    fields: parseFields(isObject(entry) ? entry['fieldsV1'] : undefined),
  }));
}

export function writeManagers(object: KubeObject, managers: readonly ManagerEntry[]): void {
  const entries = managers
    .filter(({ fields }) => fields.size > 0)
    .map(
      ({ manager, operation, apiVersion, subresource, time, fields }): JsonObject => ({
        manager,
        operation,
        apiVersion,
        time,
        fieldsType: 'FieldsV1',
        fieldsV1: formatFields(fields),
        ...(subresource === '' ? {} : { subresource }),
      }),
    );
  if (entries.length === 0) delete object.metadata['managedFields'];
  else object.metadata['managedFields'] = entries;
}

/** The entries with that of `own` replaced by `fields`; its time changes only when its fields do. */
export function withOwn(
  managers: readonly ManagerEntry[],
  own: Omit<ManagerEntry, 'fields'>,
  fields: ReadonlySet<PathKey>,
): ManagerEntry[] {
  const isOwn = (entry: ManagerEntry): boolean =>
    entry.manager === own.manager &&
    entry.operation === own.operation &&
    entry.subresource === own.subresource;
  const before = managers.find(isOwn);
  const time = before !== undefined && sameFields(before.fields, fields) ? before.time : own.time;
  return [...managers.filter((entry) => !isOwn(entry)), { ...own, time, fields }];
}

/**
 * Records an ordinary write: the manager gets the fields that changed, everybody else loses them.
 * A client that sends an empty list clears all owners.
 */
export function trackUpdate(
  next: KubeObject,
  current: KubeObject | undefined,
  { info, manager, apiVersion, subresource, time }: TrackOptions,
): void {
  const sent = next.metadata['managedFields'];
  if (current !== undefined && Array.isArray(sent) && sent.length === 0) {
    delete next.metadata['managedFields'];
    return;
  }
  const topology = topologyOf(info);
  const before: ReadonlyMap<PathKey, Json> = current === undefined ? new Map() : leavesOf(current, topology);
  const after = leavesOf(next, topology);
  // The status that a new object begins with is the server's.
  if (current === undefined && info.status) {
    for (const path of [...after.keys()]) if (segmentsOf(path)[0] === 'f:status') after.delete(path);
  }
  const changed = new Set<PathKey>();
  for (const [path, value] of after) {
    if (!before.has(path) || !deepEqual(before.get(path), value)) changed.add(path);
  }
  const gone = new Set([...before.keys()].filter((path) => !after.has(path)));
  const own = { manager, operation: 'Update' as const, apiVersion, subresource, time };
  const managers = readManagers(current);
  const mine = managers.find(
    (entry) => entry.manager === manager && entry.operation === 'Update' && entry.subresource === subresource,
  );
  const others = managers.map((entry) =>
    entry === mine ? entry : { ...entry, fields: without(entry.fields, changed, gone) },
  );
  const fields = without(new Set([...(mine?.fields ?? []), ...changed]), gone);
  writeManagers(next, mine === undefined && fields.size === 0 ? others : withOwn(others, own, fields));
}
