/**
 * What this cluster offers its peers, kept current from Services and EndpointSlices. Subscribers learn which keys
 * changed and read the table; what a given peer may see is decided per peer.
 */
import { create } from '@bufbuild/protobuf';
import {
  type Export,
  type Export_FlatEndpoint as FlatEndpoint,
  Export_Mode as Mode,
  ExportSchema,
} from '@mesh/control-api/gen/mesh/federation/v1/federation_pb';
import type { Informer } from '@mesh/kube/informer';
import { annotationOf, isDeleting, parseKey, refKey, serviceNameLabel } from '@mesh/kube/objects';
import type { EndpointSlice, Namespace, Pod, Service, Stored } from '@mesh/kube/types';
import {
  annotationFaults,
  annotations,
  type ExportRequest,
  exportRequest,
  ownPrefixes,
} from '@mesh/multicluster/names';
import { isOpaqueServicePort } from '@mesh/multicluster/opaque-ports';
import { controlPlaneLabel, opaquePortsAnnotation } from '@mesh/multicluster/workload-names';
import { identityName } from '@mesh/trust/names';

interface ExportTableOptions {
  cluster: string;
  suffix: string;
  services: Informer<Service>;
  namespaces: Informer<Namespace>;
  /** Indexed by `service`: `namespace/service`. */
  slices: Informer<EndpointSlice>;
  pods: Informer<Pod>;
  /** Labels or annotations of a Service ask for what is not known; called once per Service and message. */
  onInvalid: (service: Stored<Service>, fault: ServiceFault) => void;
}

interface ServiceFault {
  /** Of an event. */
  readonly reason: 'InvalidExportLabel' | 'InvalidAnnotation';
  readonly message: string;
}

interface Entry {
  record: Export;
  /** Undefined: every linked cluster. */
  allowedClusters: ReadonlySet<string> | undefined;
}

export const sliceServiceIndex = {
  service: (slice: EndpointSlice): string[] => {
    const name = slice.metadata?.labels?.[serviceNameLabel];
    return name === undefined ? [] : [refKey({ namespace: slice.metadata?.namespace, name })];
  },
};

export class ExportTable {
  readonly #options: ExportTableOptions;
  readonly #entries: Map<string, Entry> = new Map();
  /** Keys of those that tell their pods one by one. */
  readonly #direct: Set<string> = new Set();
  readonly #listeners: Set<(key: string) => void> = new Set();
  /** What was said about labels and annotations that are not known, by key. */
  readonly #invalid: Map<string, string> = new Map();

  constructor(options: ExportTableOptions) {
    this.#options = options;
  }

  /** Call once the informers have synced, so that the first snapshot is whole. */
  start(): void {
    this.#options.services.onChange((key) => this.#refresh(key));
    this.#options.namespaces.onChange((name, { object, previous }) => {
      const [now, before] = [object, previous].map(
        (each) => each && annotationOf(each, opaquePortsAnnotation),
      );
      if (now === before) return;
      for (const { metadata } of this.#options.services.list(name)) this.#refresh(refKey(metadata));
    });
    this.#options.slices.onChange((_, { object, previous }) => {
      for (const key of new Set(
        [object, previous].flatMap((slice) => (slice === undefined ? [] : sliceServiceIndex.service(slice))),
      )) {
        this.#refresh(key);
      }
    });
    // Watches keep no order among each other: a slice may be here before its pods are.
    this.#options.pods.onChange((_, { object, previous }) => {
      const pod = object ?? previous;
      if (this.#direct.size === 0 || pod === undefined) return;
      if (this.#identity(object) === this.#identity(previous)) return;
      const { namespace } = pod.metadata;
      for (const key of [...this.#direct]) if (parseKey(key).namespace === namespace) this.#refresh(key);
    });
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The record that `cluster` may see, or undefined. */
  visible(key: string, cluster: string): Export | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    return entry.allowedClusters?.has(cluster) === false ? undefined : entry.record;
  }

  keys(): string[] {
    return [...this.#entries.keys()];
  }

  onChange(listener: (key: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #refresh(key: string): void {
    const service = this.#options.services.getByKey(key);
    if (service === undefined) this.#invalid.delete(key);
    const entry = service === undefined || isDeleting(service) ? undefined : this.#entry(key, service);
    const before = this.#entries.get(key);
    if (entry?.record.mode === Mode.REMOTE_DISCOVERY) this.#direct.add(key);
    else this.#direct.delete(key);
    if (entry === undefined && before === undefined) return;
    if (entry !== undefined && before !== undefined && sameEntry(entry, before)) return;
    if (entry === undefined) this.#entries.delete(key);
    else this.#entries.set(key, entry);
    for (const listener of this.#listeners) listener(key);
  }

  #entry(key: string, service: Stored<Service>): Entry | undefined {
    const request = exportRequest(service.metadata.labels);
    this.#report(key, service, faultOf(request, service));
    if (request.kind !== 'export' || service.spec?.type === 'ExternalName') return undefined;
    const slices = this.#options.slices.byIndex('service', key);
    const direct = request.exported && request.mode === 'remote-discovery';
    const allowed = annotationOf(service, annotations.allowedClusters);
    const headless = service.spec?.clusterIP === 'None';
    const namespace = this.#options.namespaces.get(undefined, service.metadata.namespace ?? '');
    const record = create(ExportSchema, {
      namespace: service.metadata.namespace ?? '',
      name: service.metadata.name,
      mode: !request.exported ? Mode.FEDERATED_ONLY : direct ? Mode.REMOTE_DISCOVERY : Mode.GATEWAY,
      federated: request.federated,
      headless,
      ports: (service.spec?.ports ?? []).map(({ name, port, protocol, appProtocol }) => ({
        name: name ?? '',
        port,
        protocol: protocol ?? 'TCP',
        appProtocol: appProtocol ?? '',
        // What holds where neither says anything is each cluster's own.
        opaque: isOpaqueServicePort({ service, namespace, port, fallback: '' }),
      })),
      labels: foreign(service.metadata.labels),
      annotations: foreign(service.metadata.annotations),
      readyEndpoints: readyCount(slices),
      flatEndpoints: direct ? slices.flatMap((slice) => this.#flat(slice)) : [],
      hostnames: headless
        ? readyEndpoints(slices).flatMap(({ hostname }) => (hostname === undefined ? [] : [hostname]))
        : [],
    });
    return {
      record,
      allowedClusters:
        allowed === undefined
          ? undefined
          : new Set(
              allowed
                .split(',')
                .map((name) => name.trim())
                .filter((name) => name !== ''),
            ),
    };
  }

  #report(key: string, service: Stored<Service>, fault: ServiceFault | undefined): void {
    if (fault === undefined) this.#invalid.delete(key);
    else if (this.#invalid.get(key) !== fault.message) {
      this.#invalid.set(key, fault.message);
      this.#options.onInvalid(service, fault);
    }
  }

  /** Those of pods that are not known (yet, or any more) are left out: without an identity peers would refuse the whole export. */
  #flat(slice: Stored<EndpointSlice>): Omit<FlatEndpoint, '$typeName'>[] {
    const { pods } = this.#options;
    return (slice.endpoints ?? []).flatMap((endpoint) => {
      if (endpoint.conditions?.ready === false) return [];
      const named = endpoint.targetRef?.kind === 'Pod';
      const pod = named ? pods.get(slice.metadata.namespace, endpoint.targetRef?.name ?? '') : undefined;
      if (named && pod === undefined) return [];
      const identity = this.#identity(pod) ?? '';
      const ports = (slice.ports ?? []).map(({ name, port }) => ({
        $typeName: 'mesh.federation.v1.Export.TargetPort' as const,
        name: name ?? '',
        port: port ?? 0,
      }));
      return endpoint.addresses.map((address) => ({
        address,
        identity,
        hostname: endpoint.hostname ?? '',
        zone: endpoint.zone ?? '',
        ports,
      }));
    });
  }

  /** Pods without a sidecar have none (empty), and peers refuse those: plaintext never crosses clusters. */
  #identity(pod: Stored<Pod> | undefined): string | undefined {
    if (pod === undefined) return undefined;
    if (pod.metadata.labels?.[controlPlaneLabel] === undefined) return '';
    const { cluster, suffix } = this.#options;
    return identityName({
      serviceAccount: pod.spec?.serviceAccountName ?? 'default',
      namespace: pod.metadata.namespace ?? '',
      cluster,
      suffix,
    });
  }
}

/** Everything but our own keys; the importer narrows further. */
function foreign(from: Readonly<Record<string, string>> | undefined): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(from ?? {})) {
    const ours = ownPrefixes.some((prefix) => name.startsWith(prefix)) && name !== opaquePortsAnnotation;
    if (!ours && !name.startsWith('kubectl.kubernetes.io/')) kept[name] = value;
  }
  return kept;
}

function readyEndpoints(slices: readonly Stored<EndpointSlice>[]): NonNullable<EndpointSlice['endpoints']> {
  return slices.flatMap(({ endpoints }) =>
    (endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false),
  );
}

/** Ready addresses, each counted once even when several slices list it for different ports. */
function readyCount(slices: readonly Stored<EndpointSlice>[]): number {
  return new Set(readyEndpoints(slices).flatMap(({ addresses }) => addresses)).size;
}

function sameEntry(one: Entry, other: Entry): boolean {
  const text = ({ record, allowedClusters }: Entry): string =>
    JSON.stringify([record, allowedClusters === undefined ? null : [...allowedClusters]]);
  return text(one) === text(other);
}

/** How a federated Service balances is its annotations' to say; of others they say nothing. */
function faultOf(request: ExportRequest, { metadata }: Stored<Service>): ServiceFault | undefined {
  if (request.kind === 'fault') return { reason: 'InvalidExportLabel', message: request.message };
  const faults = request.kind === 'export' && request.federated ? annotationFaults(metadata.annotations) : [];
  return faults.length === 0 ? undefined : { reason: 'InvalidAnnotation', message: faults.join('; ') };
}
