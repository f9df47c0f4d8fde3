/** What GetProfile answers for an address or a name. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, type HostPort } from '@mesh/control-api/convert';
import type { DestinationProfileSchema } from '@mesh/control-api/gen/linkerd/destination_pb';
import { namespaceOf } from '@mesh/kube/objects';
import type { Pod, Service, Stored } from '@mesh/kube/types';
import { isOpaqueServicePort } from '@mesh/multicluster/opaque-ports';
import { portListed } from '@mesh/multicluster/port-list';
import { isIP } from 'node:net';
import { topics } from './changes.ts';
import { byAddress, type ClusterObjects } from './cluster-objects.ts';
import { weightedAddr } from './endpoint-messages.ts';
import { nodeOf, podTransport } from './endpoints.ts';
import { servicePortName } from './service-ports.ts';
import type { Settings } from './settings.ts';
import { parseTarget } from './target.ts';
import { podLabels } from './workload.ts';

export type ProfileMessage = MessageInitShape<typeof DestinationProfileSchema>;

export interface ProfileQuestion {
  readonly address: HostPort;
  /** Zone of who asks, if known. */
  readonly clientZone: string | undefined;
}

const retryBudget = { retryRatio: 0.2, minRetriesPerSecond: 10, ttl: durationFromMs(10_000) };

/** What the profile of `address` depends on as things are now. */
export function profileTopics(
  objects: ClusterObjects,
  { host, port }: HostPort,
  clusterDomain: string,
): string[] {
  if (isIP(host) !== 0) {
    const [service] = objects.services.byIndex(byAddress, host);
    const pod = service === undefined ? podAt(objects, host) : undefined;
    const owner = service ?? pod;
    const node = pod?.spec?.nodeName;
    return [
      topics.address(host),
      ...(owner === undefined ? [] : [topics.namespace(namespaceOf(owner))]),
      ...(node === undefined ? [] : [topics.node(node)]),
    ];
  }
  const target = parseTarget(`${host}:${port}`, clusterDomain);
  return 'fault' in target
    ? []
    : [topics.service(target.namespace, target.service), topics.namespace(target.namespace)];
}

/**
 * A service for its ClusterIP or name, an endpoint for a pod's address; an empty profile for anything else, on which
 * a proxy goes straight to where the connection was bound. A fault when two services claim the address.
 */
export function profileOf(
  objects: ClusterObjects,
  { address, clientZone }: ProfileQuestion,
  settings: Settings,
): ProfileMessage | { readonly fault: string } {
  const { host, port } = address;
  if (isIP(host) === 0) {
    const target = parseTarget(`${host}:${port}`, settings.clusterDomain);
    if ('fault' in target) return { fault: target.fault };
    const service = objects.services.get(target.namespace, target.service);
    return service === undefined
      ? emptyProfile(port, settings)
      : serviceProfile(objects, service, { port, settings });
  }
  const [service, second] = objects.services.byIndex(byAddress, host);
  if (service !== undefined && second !== undefined) {
    const names = `${nameOf(service)} and ${nameOf(second)}`;
    return { fault: `${host} is the ClusterIP of both ${names}` };
  }
  if (service !== undefined) return serviceProfile(objects, service, { port, settings });
  const pod = podAt(objects, host);
  if (pod !== undefined) return podProfile(objects, pod, { address, clientZone, settings });
  return emptyProfile(port, settings);
}

/** The newest: a pod is known until its node says that it is gone, and its address may be another one's by then. */
function podAt(objects: ClusterObjects, address: string): Stored<Pod> | undefined {
  let newest: Stored<Pod> | undefined;
  for (const pod of objects.pods.byIndex(byAddress, address)) {
    if (newest === undefined || pod.metadata.creationTimestamp > newest.metadata.creationTimestamp)
      newest = pod;
  }
  return newest;
}

function emptyProfile(port: number, settings: Settings): ProfileMessage {
  return { retryBudget, opaqueProtocol: portListed(settings.opaquePorts, port) };
}

function serviceProfile(
  objects: ClusterObjects,
  service: Stored<Service>,
  { port, settings }: { port: number; settings: Settings },
): ProfileMessage {
  if (servicePortName(service, port) === undefined && service.spec?.clusterIP !== 'None') {
    return emptyProfile(port, settings);
  }
  const namespace = namespaceOf(service);
  const { name } = service.metadata;
  return {
    fullyQualifiedName: `${name}.${namespace}.svc.${settings.clusterDomain}`,
    opaqueProtocol: isOpaqueServicePort({
      service,
      namespace: objects.namespaces.get(undefined, namespace),
      port,
      fallback: settings.opaquePorts,
    }),
    retryBudget,
    parentRef: serviceRef(service, port),
  };
}

/** The metadata by which policies and metrics name a Service's port. */
export function serviceRef(service: Stored<Service>, port: number) {
  return {
    kind: {
      case: 'resource' as const,
      value: {
        group: 'core',
        kind: 'Service',
        name: service.metadata.name,
        namespace: namespaceOf(service),
        port,
      },
    },
  };
}

function podProfile(
  objects: ClusterObjects,
  pod: Stored<Pod>,
  { address, clientZone, settings }: ProfileQuestion & { settings: Settings },
): ProfileMessage {
  const namespace = namespaceOf(pod);
  const transport = podTransport(pod, {
    namespace: objects.namespaces.get(undefined, namespace),
    port: address.port,
    opaqueByService: false,
    settings,
  });
  const endpoint = weightedAddr(
    {
      address: address.host,
      port: address.port,
      tier: 0,
      readyBehind: 0,
      authority: undefined,
      ...transport,
      labels: { ...podLabels(pod, nodeOf(objects, pod.spec?.nodeName)), namespace },
    },
    clientZone,
  );
  return {
    retryBudget,
    opaqueProtocol: transport.hint === 'opaque',
    ...(endpoint === undefined ? {} : { endpoint }),
  };
}

function nameOf(service: Stored<Service>): string {
  return `${namespaceOf(service)}/${service.metadata.name}`;
}
