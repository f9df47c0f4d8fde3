/**
 * How lists of built-in kinds merge: by keys, as sets, or as one value. Strategic merge patch and server-side apply
 * use different keys for ports, as in Kubernetes (`patchMergeKey` against `x-kubernetes-list-map-keys`).
 */
import { isObject, textsAt, type Json, type JsonObject } from './json.ts';

export type ListRule =
  | { readonly kind: 'map'; readonly keys: readonly string[]; readonly patchKey: string }
  | { readonly kind: 'set' }
  | { readonly kind: 'atomic' };

/** How the parts of one kind merge. Paths are member names only, without list positions. */
export interface Topology {
  /** The rule of the list at `path`. */
  list(path: readonly string[]): ListRule;
  /** Whether the object at `path` is one value, owned and replaced as a whole. */
  isWhole(path: readonly string[]): boolean;
}

const byName: ListRule = { kind: 'map', keys: ['name'], patchKey: 'name' };
const byType: ListRule = { kind: 'map', keys: ['type'], patchKey: 'type' };
const atomic: ListRule = { kind: 'atomic' };
const set: ListRule = { kind: 'set' };

/** Rules of member names that mean the same in each kind that has them. */
const everywhere: Readonly<Record<string, ListRule>> = {
  containers: byName,
  initContainers: byName,
  ephemeralContainers: byName,
  env: byName,
  volumes: byName,
  volumeMounts: { kind: 'map', keys: ['mountPath'], patchKey: 'mountPath' },
  imagePullSecrets: byName,
  hostAliases: { kind: 'map', keys: ['ip'], patchKey: 'ip' },
  conditions: byType,
  finalizers: set,
  ownerReferences: { kind: 'map', keys: ['uid'], patchKey: 'uid' },
  webhooks: byName,
  podIPs: { kind: 'map', keys: ['ip'], patchKey: 'ip' },
  topologySpreadConstraints: {
    kind: 'map',
    keys: ['topologyKey', 'whenUnsatisfiable'],
    patchKey: 'topologyKey',
  },
};

const containerLists: ReadonlySet<string | undefined> = new Set([
  'containers',
  'initContainers',
  'ephemeralContainers',
]);

/** Objects that are one value (`structType` or `mapType` atomic), by the name of the member that holds them. */
const wholeObjects: ReadonlySet<string> = new Set([
  ...['configMapKeyRef', 'fieldRef', 'involvedObject', 'labelSelector', 'namespaceSelector', 'nodeSelector'],
  ...['objectSelector', 'resourceFieldRef', 'roleRef', 'secretKeyRef', 'selector', 'targetRef'],
]);

/** The topology of a built-in kind. */
export function builtinTopology(kind: string): Topology {
  return {
    isWhole: (path) => wholeObjects.has(path.at(-1) ?? ''),
    list: (path) => builtinList(kind, path),
  };
}

function builtinList(kind: string, path: readonly string[]): ListRule {
  const last = path.at(-1) ?? '';
  if (last === 'ports' && containerLists.has(path.at(-2))) {
    return { kind: 'map', keys: ['containerPort', 'protocol'], patchKey: 'containerPort' };
  }
  if (kind === 'Service' && path.join('.') === 'spec.ports') {
    return { kind: 'map', keys: ['port', 'protocol'], patchKey: 'port' };
  }
  if (kind === 'Node' && path.join('.') === 'status.addresses') return byType;
  if (kind === 'ServiceAccount' && path.join('.') === 'secrets') return byName;
  return everywhere[last] ?? atomic;
}

/** The topology of a custom kind, from `x-kubernetes-list-type` and `x-kubernetes-map-type` in its schema. */
export function schemaTopology(schema: JsonObject | undefined): Topology {
  return {
    list(path) {
      if (path[0] === 'metadata') return everywhere[path.at(-1) ?? ''] ?? atomic;
      const found = schemaAt(schema, path);
      if (found?.['x-kubernetes-list-type'] === 'set') return set;
      if (found?.['x-kubernetes-list-type'] !== 'map') return atomic;
      const keys = textsAt(found, 'x-kubernetes-list-map-keys');
      return { kind: 'map', keys, patchKey: keys[0] ?? '' };
    },
    isWhole: (path) => schemaAt(schema, path)?.['x-kubernetes-map-type'] === 'atomic',
  };
}

function schemaAt(schema: JsonObject | undefined, path: readonly string[]): JsonObject | undefined {
  let current: Json | undefined = schema;
  for (const step of path) {
    while (isObject(current) && current['items'] !== undefined) current = current['items'];
    if (!isObject(current)) return undefined;
    const properties: Json | undefined = current['properties'];
    current =
      isObject(properties) && Object.hasOwn(properties, step)
        ? properties[step]
        : current['additionalProperties'];
  }
  return isObject(current) ? current : undefined;
}
