import { isDeleting } from '@mesh/kube/objects';
import type { Endpoint, EndpointSlice, Pod, Service, Stored } from '@mesh/kube/types';
import { isReady, isTerminal } from './pod-state.ts';

export type SlicePorts = NonNullable<EndpointSlice['ports']>;
export type AddressType = 'IPv4' | 'IPv6';

/** Endpoints that share one set of resolved ports, which is what one slice can hold. */
export interface EndpointGroup {
  ports: SlicePorts;
  endpoints: Endpoint[];
}

/** Everything a Service's slices of one address family shall say. */
export function endpointGroups(
  service: Stored<Service>,
  pods: readonly Stored<Pod>[],
  addressType: AddressType,
): EndpointGroup[] {
  const groups = new Map<string, EndpointGroup>();
  for (const pod of [...pods].sort(byName)) {
    const address = addressOf(pod, addressType);
    if (address === undefined || isTerminal(pod)) continue;
    const ports = resolvePorts(service, pod);
    const key = JSON.stringify(ports);
    const group = groups.get(key) ?? { ports, endpoints: [] };
    groups.set(key, group);
    group.endpoints.push(endpointOf(service, pod, address));
  }
  return [...groups.values()];
}

/** The families a Service wants slices for. */
export function addressTypes(service: Service): AddressType[] {
  const families = service.spec?.ipFamilies ?? [];
  if (families.length === 0) return ['IPv4'];
  return families.map((family) => (family === 'IPv6' ? 'IPv6' : 'IPv4'));
}

function endpointOf(service: Stored<Service>, pod: Stored<Pod>, address: string): Endpoint {
  const terminating = isDeleting(pod);
  const serving = isReady(pod);
  const ready = service.spec?.publishNotReadyAddresses === true || (serving && !terminating);
  const { nodeName, hostname, subdomain } = pod.spec ?? {};
  const named = hostname !== undefined && hostname !== '' && subdomain === service.metadata.name;
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    ...(nodeName !== undefined && { nodeName }),
    targetRef: {
      kind: 'Pod',
      name: pod.metadata.name,
      ...(pod.metadata.namespace !== undefined && { namespace: pod.metadata.namespace }),
      uid: pod.metadata.uid,
    },
    ...(named && { hostname }),
  };
}

/** Each Service port as this pod serves it; a named target port that the pod does not have is left out. */
function resolvePorts(service: Service, pod: Pod): SlicePorts {
  const ports: SlicePorts = [];
  for (const { name, port, protocol = 'TCP', targetPort, appProtocol } of service.spec?.ports ?? []) {
    const number =
      typeof targetPort === 'string' ? containerPort(pod, targetPort, protocol) : (targetPort ?? port);
    if (number === undefined) continue;
    ports.push({
      name: name ?? '',
      port: number,
      protocol,
      ...(appProtocol !== undefined && { appProtocol }),
    });
  }
  return ports;
}

function containerPort(pod: Pod, name: string, protocol: string): number | undefined {
  const sidecars = (pod.spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  for (const { ports = [] } of [...(pod.spec?.containers ?? []), ...sidecars]) {
    const found = ports.find((port) => port.name === name && (port.protocol ?? 'TCP') === protocol);
    if (found !== undefined) return found.containerPort;
  }
  return undefined;
}

function addressOf(pod: Pod, addressType: AddressType): string | undefined {
  const { podIP, podIPs = [] } = pod.status ?? {};
  const all = podIPs.length > 0 ? podIPs.map(({ ip }) => ip) : [podIP];
  return all.find((ip) => ip !== undefined && ip !== '' && ip.includes(':') === (addressType === 'IPv6'));
}

function byName(left: Stored<Pod>, right: Stored<Pod>): number {
  return left.metadata.name < right.metadata.name ? -1 : 1;
}
