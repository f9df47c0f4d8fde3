import type { Container, KubeObject, ObjectMeta, OwnerReference, Pod, Service, Stored } from './types.ts';

/** Names one object of a known type; `namespace` is absent for cluster-wide ones. */
export interface ObjectRef {
  namespace?: string | undefined;
  name: string;
}

/** `namespace/name`, or `name` for cluster-wide objects: the key of stores and work queues. */
export function keyOf(object: { metadata?: ObjectMeta }): string {
  return refKey({ namespace: object.metadata?.namespace, name: object.metadata?.name ?? '' });
}

/** The key of a reference. */
export function refKey({ namespace, name }: ObjectRef): string {
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}

/** Inverse of `keyOf`. */
export function parseKey(key: string): ObjectRef {
  const slash = key.indexOf('/');
  return slash === -1 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** The namespace, or empty text for cluster-wide objects. */
export function namespaceOf(object: { metadata?: ObjectMeta }): string {
  return object.metadata?.namespace ?? '';
}

/** On an EndpointSlice: the Service it belongs to, and who writes it. */
export const serviceNameLabel = 'kubernetes.io/service-name';
export const managedByLabel = 'endpointslice.kubernetes.io/managed-by';

export function labelOf(object: { metadata?: ObjectMeta }, label: string): string | undefined {
  return object.metadata?.labels?.[label];
}

export function annotationOf(object: { metadata?: ObjectMeta }, annotation: string): string | undefined {
  return object.metadata?.annotations?.[annotation];
}

type ServicePort = NonNullable<NonNullable<Service['spec']>['ports']>[number];

/** The TCP port of a Service with this number, which one of UDP may have as well. */
export function tcpPortOf({ spec }: Service, port: number): ServicePort | undefined {
  return spec?.ports?.find((candidate) => candidate.port === port && (candidate.protocol ?? 'TCP') === 'TCP');
}

/** Containers of a pod that run and serve side by side, native sidecars among them (KEP-753). */
export function servingContainers(spec: Pod['spec']): Container[] {
  const sidecars = spec?.initContainers?.filter(({ restartPolicy }) => restartPolicy === 'Always') ?? [];
  return [...(spec?.containers ?? []), ...sidecars];
}

/** True once somebody asked to delete it; finalizers may still hold it. */
export function isDeleting(object: { metadata?: ObjectMeta }): boolean {
  return object.metadata?.deletionTimestamp !== undefined;
}

/** The owner that controls this object, if there is one. At most one owner has `controller: true`. */
export function controllerOf(object: { metadata?: ObjectMeta }): OwnerReference | undefined {
  return object.metadata?.ownerReferences?.find((owner) => owner.controller === true);
}

interface OwnerKind {
  kind: string;
  apiVersion: string;
}

/** An owner reference that makes `owner` the controller, and holds its foreground deletion until this one is gone. */
export function controllerRef(owner: Stored<KubeObject>, { kind, apiVersion }: OwnerKind): OwnerReference {
  return {
    apiVersion,
    kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}
