import { isObject, textAt, type Json, type JsonObject } from './json.ts';

/** The part of ObjectMeta this server reads and writes; other members travel as they are. */
export type ObjectMeta = JsonObject & {
  name: string;
  namespace?: string;
  uid: string;
  resourceVersion: string;
  creationTimestamp: string;
};

/** A whole object. Only stored ones are sure to have every member of ObjectMeta. */
export type KubeObject = JsonObject & { apiVersion: string; kind: string; metadata: ObjectMeta };

/** Text form of a time in Kubernetes objects: RFC 3339 in whole seconds. */
export function timestamp(wallMs: number): string {
  return `${new Date(wallMs).toISOString().slice(0, 19)}Z`;
}

/** Undefined when `value` lacks apiVersion, kind or a metadata object. A missing metadata becomes an empty one. */
export function asObject(value: Json | undefined): KubeObject | undefined {
  if (!isObject(value)) return undefined;
  if (textAt(value, 'apiVersion') === undefined || textAt(value, 'kind') === undefined) return undefined;
  if (value['metadata'] === undefined || value['metadata'] === null) value['metadata'] = {};
  return isObject(value['metadata']) ? (value as KubeObject) : undefined;
}

export function namespaceOf(object: KubeObject): string {
  return object.metadata.namespace ?? '';
}

/** Key of an object among its kind: `namespace/name`, or `name` alone for cluster-scoped kinds. */
export function objectKey(namespace: string, name: string): string {
  return namespace === '' ? name : `${namespace}/${name}`;
}

export function finalizersOf(object: KubeObject): string[] {
  const finalizers = object.metadata['finalizers'];
  return Array.isArray(finalizers) ? finalizers.filter((item) => typeof item === 'string') : [];
}

export function isTerminating(object: KubeObject): boolean {
  return typeof object.metadata['deletionTimestamp'] === 'string';
}
