/** A cluster in memory for tests: the collections of informers, changed by hand. */
import { keyOf, refKey, serviceNameLabel } from '@mesh/kube/objects';
import { type IndexFunction, Store } from '@mesh/kube/store';
import type {
  EndpointSlice,
  KubeObject,
  Namespace,
  Node,
  Pod,
  Service,
  Stored,
  StoredMeta,
} from '@mesh/kube/types';
import type { Link } from '@mesh/multicluster/link';
import { gatewayIdentity } from '@mesh/trust/names';
import { namespaceTopics, nodeTopics, podTopics, serviceTopics, sliceTopics, topics } from '../changes.ts';
import {
  type ClusterObjects,
  type Collection,
  podIndexers,
  serviceIndexers,
  sliceIndexers,
} from '../cluster-objects.ts';
import type { Settings } from '../settings.ts';

export const modelSettings: Settings = {
  cluster: 'east',
  trustSuffix: 'mesh.local',
  clusterDomain: 'cluster.local',
  opaquePorts: '3306,6000-6010',
  inboundPolicy: 'all-unauthenticated',
  mirrorAddress: 'mesh-mirror.mesh-multicluster.svc.cluster.local:8087',
};

class ModelCollection<T extends KubeObject> implements Collection<T> {
  readonly #store: Store<T>;
  readonly #onChange: (change: { object: T | undefined; previous: T | undefined }) => void;

  constructor(
    indexers: Readonly<Record<string, IndexFunction<T>>>,
    onChange: (change: { object: T | undefined; previous: T | undefined }) => void,
  ) {
    this.#store = new Store(indexers);
    this.#onChange = onChange;
  }

  get(namespace: string | undefined, name: string): Stored<T> | undefined {
    return this.#store.get(refKey({ namespace, name }));
  }

  byIndex(index: string, value: string): Stored<T>[] {
    return this.#store.byIndex(index, value);
  }

  list(namespace?: string): Stored<T>[] {
    return [...this.#store.values()].filter(
      (object) => namespace === undefined || object.metadata.namespace === namespace,
    );
  }

  put(object: T): void {
    const metadata: StoredMeta = {
      uid: 'uid',
      resourceVersion: '1',
      creationTimestamp: '2026-01-01T00:00:00Z',
      name: '',
      ...object.metadata,
    };
    const stored = { ...object, metadata };
    this.#onChange({ object: stored, previous: this.#store.set(stored) });
  }

  remove(namespace: string | undefined, name: string): void {
    const previous = this.#store.delete(
      keyOf({ metadata: { name, ...(namespace === undefined ? {} : { namespace }) } }),
    );
    if (previous !== undefined) this.#onChange({ object: undefined, previous });
  }
}

interface PodOptions {
  name: string;
  ip: string;
  meshed?: boolean;
  serviceAccount?: string;
  node?: string;
  annotations?: Record<string, string>;
  deployment?: string;
}

interface ServiceOptions {
  name: string;
  clusterIP?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  /** Port to target port. */
  ports?: Record<number, number>;
}

interface SliceOptions {
  /** Name of the Service. */
  service: string;
  /** Of the slice; default the Service's. */
  name?: string;
  pods?: string[];
  addresses?: string[];
  notReady?: boolean;
  terminating?: boolean;
  /** Name of the Service's port to the number in the slice. */
  ports?: Record<string, number>;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}

interface RemoteSliceOptions extends Omit<SliceOptions, 'pods'> {
  peer: string;
  ready?: number;
  state?: 'alive' | 'dead' | 'unknown';
}

/** Everything lies in namespace `shop`. */
export class ModelCluster implements ClusterObjects {
  readonly services: ModelCollection<Service>;
  readonly endpointSlices: ModelCollection<EndpointSlice>;
  readonly pods: ModelCollection<Pod>;
  readonly namespaces: ModelCollection<Namespace>;
  readonly nodes: ModelCollection<Node>;
  readonly links: ModelCollection<Link>;

  constructor(mark: (topic: string) => void = () => {}) {
    const all = (changed: readonly string[]): void => {
      for (const topic of changed) mark(topic);
    };
    this.services = new ModelCollection(serviceIndexers, (change) => all(serviceTopics(change)));
    this.endpointSlices = new ModelCollection(sliceIndexers, (change) => all(sliceTopics(change)));
    this.pods = new ModelCollection(podIndexers, (change) => all(podTopics(change)));
    this.namespaces = new ModelCollection({}, (change) => all(namespaceTopics(change)));
    this.nodes = new ModelCollection({}, (change) => all(nodeTopics(change)));
    this.links = new ModelCollection({}, () => mark(topics.gateway));
    this.namespaces.put({ metadata: { name: 'shop' } });
  }

  service({ name, clusterIP, ports = { 80: 8080 }, ...metadata }: ServiceOptions): void {
    this.services.put({
      metadata: { name, namespace: 'shop', ...metadata },
      spec: {
        ...(clusterIP === undefined ? {} : { clusterIP }),
        ports: Object.entries(ports).map(([port, targetPort]) => ({
          name: `port-${port}`,
          port: Number(port),
          targetPort,
        })),
      },
    });
  }

  pod({
    name,
    ip,
    meshed = true,
    serviceAccount = 'default',
    node,
    annotations = {},
    deployment,
  }: PodOptions): void {
    const hash = 'abc12';
    this.pods.put({
      metadata: {
        name,
        namespace: 'shop',
        labels: {
          ...(meshed ? { 'mesh.io/control-plane-ns': 'mesh' } : {}),
          ...(deployment === undefined ? {} : { 'pod-template-hash': hash }),
        },
        annotations,
        ...(deployment === undefined
          ? {}
          : {
              ownerReferences: [
                {
                  kind: 'ReplicaSet',
                  name: `${deployment}-${hash}`,
                  apiVersion: 'apps/v1',
                  uid: 'uid',
                  controller: true,
                },
              ],
            }),
      },
      spec: {
        containers: [],
        serviceAccountName: serviceAccount,
        ...(node === undefined ? {} : { nodeName: node }),
      },
      status: { phase: 'Running', podIP: ip },
    });
  }

  slice({
    service,
    name = service,
    pods = [],
    addresses = [],
    notReady,
    terminating = false,
    ports = { 'port-80': 8080 },
    labels = {},
    annotations = {},
  }: SliceOptions): void {
    const usable = notReady !== true;
    // As the mirror controller writes it: gateways are for callers with a proxy alone.
    const gateway = annotations['mirror.mesh.io/remote-gateway-identity'] !== undefined;
    const conditions = gateway ? { ready: false, serving: usable } : { ready: usable, terminating };
    this.endpointSlices.put({
      metadata: { name, namespace: 'shop', labels: { [serviceNameLabel]: service, ...labels }, annotations },
      addressType: 'IPv4',
      ports: Object.entries(ports).map(([portName, port]) => ({ name: portName, port, protocol: 'TCP' })),
      endpoints: [
        ...pods.map((pod) => ({
          addresses: [this.pods.get('shop', pod)?.status?.podIP ?? '10.255.255.255'],
          conditions,
          targetRef: { kind: 'Pod', name: pod, namespace: 'shop' },
        })),
        ...addresses.map((address) => ({ addresses: [address], conditions })),
      ],
    });
  }

  /** A slice as the mirror controller writes it for a peer's gateway. */
  remoteSlice({ peer, ready = 1, state = 'alive', ...slice }: RemoteSliceOptions): void {
    this.slice({
      name: `${slice.service}-${peer}`,
      ports: { 'port-80': 4143 },
      ...slice,
      labels: {
        'mirror.mesh.io/mirrored-service': 'true',
        'mirror.mesh.io/cluster-name': peer,
        ...slice.labels,
      },
      annotations: {
        'mirror.mesh.io/remote-gateway-identity': gatewayIdentity(peer),
        'mirror.mesh.io/weight': String(ready),
        'mirror.mesh.io/peer-state': state,
        ...slice.annotations,
      },
    });
  }

  link(cluster: string, spec: Partial<Link['spec']> = {}): void {
    this.links.put({
      apiVersion: 'multicluster.mesh.io/v1alpha1',
      kind: 'Link',
      metadata: { name: cluster, namespace: 'mesh-multicluster' },
      spec: { cluster, gatewayAddresses: ['192.0.2.1'], ...spec },
    });
  }
}
