/**
 * How lists of built-in kinds merge: by keys, as sets, or as one value. Strategic merge patch and server-side apply
 * use different keys for ports, as in Kubernetes (`patchMergeKey` against `x-kubernetes-list-map-keys`).
 */
import { isObject, textsAt, type Json, type JsonObject } from './json.ts';

export type ListRule =
  | { readonly kind: 'map'; readonly keys: readonly string[]; readonly patchKey: string }
  | { readonly kind: 'set' }
  | { readonly kind: 'atomic' };

/** The rule of the list at `path` (member names only, no list positions). */
export type ListTopology = (path: readonly string[]) => ListRule;

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

/** The topology of a built-in kind. */
export function builtinTopology(kind: string): ListTopology {
  return (path) => {
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
  };
}

/** The topology of a custom kind, from `x-kubernetes-list-type` in its schema. */
export function schemaTopology(schema: JsonObject | undefined): ListTopology {
  return (path) => {
    if (path[0] === 'metadata') return everywhere[path.at(-1) ?? ''] ?? atomic;
    let current: Json | undefined = schema;
    for (const step of path) {
      while (isObject(current) && current['items'] !== undefined) current = current['items'];
      if (!isObject(current)) return atomic;
      const properties: Json | undefined = current['properties'];
      current =
        isObject(properties) && Object.hasOwn(properties, step)
          ? properties[step]
          : current['additionalProperties'];
    }
    if (!isObject(current)) return atomic;
    if (current['x-kubernetes-list-type'] === 'set') return set;
    if (current['x-kubernetes-list-type'] !== 'map') return atomic;
    const keys = textsAt(current, 'x-kubernetes-list-map-keys');
    return { kind: 'map', keys, patchKey: keys[0] ?? '' };
  };
}
