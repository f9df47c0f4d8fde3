/**
 * From objects to the endpoints of a target: local pods, and peers' gateways as the mirror controller wrote them.
 *
 * Tiers: 0 is what the mode wants first, 1 the other clusters of a federated service in mode `local-first`, and the
 * last one is for peers that were judged dead or unknown, or that report nothing ready: they are demoted, never
 * hidden, because a wrong verdict must not take away a path that still works. In it are local pods, too, that are ending.
 */
import { labelOf, namespaceOf } from '@mesh/kube/objects';
import type { Endpoint, EndpointSlice, Namespace, Service } from '@mesh/kube/types';
import { type BalanceMode, balanceMode, enoughReady, labels, spillThreshold } from '@mesh/multicluster/names';
import { isOpaqueServicePort } from '@mesh/multicluster/opaque-ports';
import { type ClusterObjects, slicesOf } from './cluster-objects.ts';
import { isOpaquePodPort, isSkippedPodPort } from './ports.ts';
import { remoteEndpoints } from './remote-endpoints.ts';
import { servicePortName, slicePort } from './service-ports.ts';
import { inboundPort, type Settings } from './settings.ts';
import type { Target } from './target.ts';
import { isMeshed, podIdentity, podLabels } from './workload.ts';

export interface EndpointView {
  /** IPv4 text. */
  readonly address: string;
  readonly port: number;
  readonly tier: number;
  /** Ready endpoints behind a gateway address; 0 for ordinary endpoints. */
  readonly readyBehind: number;
  /** Undefined: plaintext. */
  readonly identity: string | undefined;
  readonly hint: 'h2' | 'opaque' | 'none';
  /** 0 for none. */
  readonly transportPort: number;
  /** Name and port to ask a gateway for; undefined for ordinary endpoints. */
  readonly authority: string | undefined;
  /** That a local endpoint is on, where it is known. */
  readonly node?: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

/** Endpoints by `address:port`. */
export type EndpointSet = ReadonlyMap<string, EndpointView>;

export type Resolution =
  | { readonly kind: 'unknown' }
  | {
      readonly kind: 'known';
      readonly endpoints: EndpointSet;
      readonly labels: Readonly<Record<string, string>>;
      /** Ready endpoints of the first tier that take all requests. */
      readonly enoughReady: number;
      /** Of this cluster only endpoints on the caller's own node count. */
      readonly nodeLocal: boolean;
    };

/** `local`: without what lies in other clusters; for the gateway, which carries nothing through its cluster. */
export type Scope = 'all' | 'local';

const lastTier = 2;
const federatedSuffix = '-federated';
/** Pages of the proxy itself, which are not redirected and speak plain HTTP. */
const proxyPorts: ReadonlySet<number> = new Set([4190, 4191]);

/** Service objects that a target draws on; both empty means that the target does not exist. */
interface Sources {
  /** Service whose own pods count. */
  local: Service | undefined;
  /** Service whose slices name peers. */
  remote: Service | undefined;
  federated: boolean;
}

export function resolveEndpoints(
  objects: ClusterObjects,
  target: Target & { readonly scope: Scope },
  settings: Settings,
): Resolution {
  const { namespace, service: name } = target;
  const sources = findSources(objects, target);
  const named = sources.local ?? sources.remote;
  if (named === undefined) return { kind: 'unknown' };
  const endpoints = new Map<string, EndpointView>();
  const mode = sources.federated ? modeOf(sources) : 'balanced';
  if (sources.local !== undefined) {
    for (const view of localEndpoints(objects, sources.local, { target, settings })) add(endpoints, view);
  }
  if (sources.remote !== undefined && target.scope === 'all') {
    const remote = remoteEndpoints(objects, sources.remote, {
      target,
      settings,
      // A mirror pinned to one cluster has nothing to prefer.
      tier: sources.federated && mode === 'local-first' ? 1 : 0,
      demotedTier: lastTier,
      opaque: isOpaqueServicePort({
        service: named,
        namespace: objects.namespaces.get(undefined, namespace),
        port: target.port,
        fallback: settings.opaquePorts,
      }),
      exportedName: sources.federated ? baseName(name) : undefined,
    });
    for (const view of remote) add(endpoints, view);
  }
  const spills = mode === 'local-first' && sources.federated;
  return {
    kind: 'known',
    endpoints,
    labels: { service: name, namespace },
    enoughReady: spills ? enoughOf(objects, sources) : 1,
    // What comes through the gateway has no node here.
    nodeLocal: target.scope === 'all' && sources.local?.spec?.internalTrafficPolicy === 'Local',
  };
}

/** What is told to who asks from `node`; undefined: nobody knows where that is. */
export function seenFrom(resolution: Resolution, node: string | undefined): Resolution {
  if (resolution.kind === 'unknown' || !resolution.nodeLocal || node === undefined) return resolution;
  const reached = [...resolution.endpoints].filter(
    ([, view]) => view.node === node || view.labels['target_cluster'] !== undefined,
  );
  return { ...resolution, endpoints: new Map(reached) };
}

function isFederatedName(service: Service): boolean {
  return (
    (service.metadata?.name ?? '').endsWith(federatedSuffix) &&
    labelOf(service, labels.mirroredService) === 'true' &&
    labelOf(service, labels.clusterName) === undefined
  );
}

/** Names of the services whose objects decide on a target named `name`. */
export function relatedServices(name: string): string[] {
  return name.endsWith(federatedSuffix)
    ? [name, baseName(name), `${name}${federatedSuffix}`]
    : [name, `${name}${federatedSuffix}`];
}

function findSources(objects: ClusterObjects, { namespace, service: name }: Target): Sources {
  const own = objects.services.get(namespace, name);
  // Slices of what it was before may be left (kubernetes/kubernetes#105986), and nobody keeps them up.
  if (own === undefined || isExternal(own)) return { local: undefined, remote: undefined, federated: false };
  if (isFederatedName(own)) {
    const member = objects.services.get(namespace, baseName(name));
    return {
      local: member !== undefined && isMember(member) ? member : undefined,
      remote: own,
      federated: true,
    };
  }
  if (labelOf(own, labels.clusterName) !== undefined)
    return { local: undefined, remote: own, federated: false };
  if (!isMember(own)) return { local: own, remote: undefined, federated: false };
  const union = objects.services.get(namespace, `${name}${federatedSuffix}`);
  return {
    local: own,
    remote: union !== undefined && isFederatedName(union) ? union : undefined,
    federated: true,
  };
}

/** A name of something outside, which has no endpoints. */
function isExternal(service: Service): boolean {
  return service.spec?.type === 'ExternalName';
}

function isMember(service: Service): boolean {
  return (
    labelOf(service, labels.federated) === 'member' && labelOf(service, labels.mirroredService) === undefined
  );
}

function baseName(name: string): string {
  return name.endsWith(federatedSuffix) ? name.slice(0, -federatedSuffix.length) : name;
}

/** The local member's annotation decides; a cluster without one follows what was mirrored. */
function modeOf({ local, remote }: Sources): BalanceMode {
  return balanceMode((local ?? remote)?.metadata?.annotations).mode;
}

/** By the local member's annotation. Its endpoints count whether ready or not, but not those that are ending. */
function enoughOf(objects: ClusterObjects, { local }: Sources): number {
  const threshold = spillThreshold(local?.metadata?.annotations);
  if (local === undefined || threshold === undefined) return 1;
  const { name = '', namespace = '' } = local.metadata ?? {};
  const addresses = new Set<string>();
  for (const slice of slicesOf(objects, namespace, name)) {
    if (slice.addressType !== 'IPv4' || labelOf(slice, labels.clusterName) !== undefined) continue;
    for (const { addresses: own, conditions } of slice.endpoints ?? []) {
      if (conditions?.terminating !== true) for (const address of own) addresses.add(address);
    }
  }
  return enoughReady(threshold, addresses.size);
}

interface LocalContext {
  target: Target;
  settings: Settings;
}

/**
 * Those that are ready. When none is, those that are ending and still serve, after what other clusters have: a single replica that is
 * replaced is called until it has ended, as kube-proxy does it (KEP-1669).
 */
function localEndpoints(objects: ClusterObjects, service: Service, context: LocalContext): EndpointView[] {
  const serving = [...servingEndpoints(objects, service, context)];
  const ready = serving.filter(({ tier }) => tier === 0);
  return ready.length > 0 ? ready : serving;
}

function* servingEndpoints(
  objects: ClusterObjects,
  service: Service,
  { target, settings }: LocalContext,
): Generator<EndpointView> {
  const namespace = objects.namespaces.get(undefined, target.namespace);
  const name = service.metadata?.name ?? '';
  const portName = servicePortName(service, target.port);
  if (portName === undefined && service.spec?.clusterIP !== 'None') return;
  const opaqueByService = isOpaqueServicePort({
    service,
    namespace,
    port: target.port,
    fallback: settings.opaquePorts,
  });
  for (const slice of slicesOf(objects, target.namespace, name)) {
    if (slice.addressType !== 'IPv4' || labelOf(slice, labels.clusterName) !== undefined) continue;
    const port = portName === undefined ? target.port : slicePort(slice, portName);
    if (port === undefined) continue;
    for (const endpoint of slice.endpoints ?? []) {
      const { ready, serving, terminating } = endpoint.conditions ?? {};
      if (ready === false && !(serving === true && terminating === true)) continue;
      if (target.hostname !== undefined && endpoint.hostname !== target.hostname) continue;
      const described = describe(objects, endpoint, { slice, port, namespace, opaqueByService, settings });
      if (described === undefined) continue;
      const tier = ready === false ? lastTier : 0;
      for (const address of endpoint.addresses) yield { ...described, tier, address, port };
    }
  }
}

interface PodContext {
  slice: EndpointSlice;
  port: number;
  namespace: Namespace | undefined;
  opaqueByService: boolean;
  settings: Settings;
}

/** Undefined for a pod that is not known: pods and slices are followed apart, and nobody can tell whether it has a proxy. */
function describe(
  objects: ClusterObjects,
  endpoint: Endpoint,
  { slice, port, namespace, opaqueByService, settings }: PodContext,
): Omit<EndpointView, 'tier' | 'address' | 'port'> | undefined {
  const reference = endpoint.targetRef;
  const plain = { readyBehind: 0, authority: undefined };
  if (reference?.kind !== 'Pod' || reference.name === undefined) {
    const zone: Record<string, string> = endpoint.zone === undefined ? {} : { zone: endpoint.zone };
    const hint = opaqueByService ? 'opaque' : 'none';
    const node = endpoint.nodeName;
    return { ...plain, identity: undefined, hint, transportPort: 0, node, labels: zone };
  }
  const pod = objects.pods.get(reference.namespace ?? namespaceOf(slice), reference.name);
  if (pod === undefined) return undefined;
  return {
    ...plain,
    ...podTransport(pod, { namespace, port, opaqueByService, settings }),
    node: pod.spec?.nodeName,
    labels: podLabels(pod, nodeOf(objects, pod.spec?.nodeName)),
  };
}

type PodObject = NonNullable<ReturnType<ClusterObjects['pods']['get']>>;

/** How a port of a pod is reached: by its proxy when it has one that takes this port. */
export function podTransport(
  pod: PodObject,
  {
    namespace,
    port,
    opaqueByService,
    settings,
  }: { namespace: Namespace | undefined; port: number; opaqueByService: boolean; settings: Settings },
): Pick<EndpointView, 'identity' | 'hint' | 'transportPort'> {
  const opaque = opaqueByService || isOpaquePodPort({ pod, namespace, port, fallback: settings.opaquePorts });
  const meshed =
    isMeshed(pod) &&
    pod.spec?.hostNetwork !== true &&
    !proxyPorts.has(port) &&
    !isSkippedPodPort({ pod, namespace, port });
  const identity = meshed ? podIdentity(pod, settings) : undefined;
  if (identity === undefined) return { identity, hint: opaque ? 'opaque' : 'none', transportPort: 0 };
  return { identity, hint: opaque ? 'opaque' : 'h2', transportPort: inboundPort };
}

export function nodeOf(objects: ClusterObjects, name: string | undefined) {
  return name === undefined ? undefined : objects.nodes.get(undefined, name);
}

/** A path that asks for more comes later in the tiers; of two views of one address the better one counts. */
function add(endpoints: Map<string, EndpointView>, view: EndpointView): void {
  const key = `${view.address}:${view.port}`;
  const known = endpoints.get(key);
  if (known === undefined || view.tier < known.tier) endpoints.set(key, view);
}
