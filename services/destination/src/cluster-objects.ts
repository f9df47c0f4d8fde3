/** The cluster as destination reads it: objects by name and by what they are looked up for. */
import { namespaceOf, serviceNameLabel } from '@mesh/kube/objects';
import type { IndexFunction } from '@mesh/kube/store';
import type { EndpointSlice, KubeObject, Namespace, Node, Pod, Service, Stored } from '@mesh/kube/types';
import type { Link } from '@mesh/multicluster/link';

/** A local copy of one collection; an Informer is one. Objects in it are shared and never changed. */
export interface Collection<T extends KubeObject> {
  /** `namespace` is undefined for cluster-wide objects. */
  get(namespace: string | undefined, name: string): Stored<T> | undefined;
  byIndex(index: string, value: string): Stored<T>[];
  list(namespace?: string): Stored<T>[];
}

export interface ClusterObjects {
  readonly services: Collection<Service>;
  readonly endpointSlices: Collection<EndpointSlice>;
  readonly pods: Collection<Pod>;
  readonly namespaces: Collection<Namespace>;
  readonly nodes: Collection<Node>;
  readonly links: Collection<Link>;
}

/** Name of the index of slices by `namespace/service`. */
const byService = 'service';
/** Name of the index of services and pods by address. */
export const byAddress = 'address';

export const sliceIndexers: Readonly<Record<string, IndexFunction<EndpointSlice>>> = {
  [byService]: (slice) => {
    const service = slice.metadata.labels?.[serviceNameLabel];
    return service === undefined ? [] : [`${namespaceOf(slice)}/${service}`];
  },
};

export const serviceIndexers: Readonly<Record<string, IndexFunction<Service>>> = {
  [byAddress]: clusterIpsOf,
};

export const podIndexers: Readonly<Record<string, IndexFunction<Pod>>> = { [byAddress]: podIpsOf };

/** Addresses that the Service is called by within the cluster; none for headless ones. */
export function clusterIpsOf(service: Service): string[] {
  const { clusterIP, clusterIPs = [] } = service.spec ?? {};
  const all = new Set([...(clusterIP === undefined ? [] : [clusterIP]), ...clusterIPs]);
  return [...all].filter((address) => address !== '' && address !== 'None');
}

/** Addresses that belong to this pod alone: none on the host network and none once it has ended. */
export function podIpsOf(pod: Pod): string[] {
  const { phase, podIP, podIPs = [] } = pod.status ?? {};
  if (pod.spec?.hostNetwork === true || phase === 'Succeeded' || phase === 'Failed') return [];
  const all = new Set([...(podIP === undefined ? [] : [podIP]), ...podIPs.map(({ ip }) => ip)]);
  return [...all].filter((address) => address !== '');
}

export function slicesOf(objects: ClusterObjects, namespace: string, service: string): EndpointSlice[] {
  return objects.endpointSlices.byIndex(byService, `${namespace}/${service}`);
}
