/** Ports of Services and of their slices, which find each other by name. */
import { tcpPortOf } from '@mesh/kube/objects';
import type { EndpointSlice, Service } from '@mesh/kube/types';

/** Name of a Service's port, which is empty for a single unnamed one; undefined when there is no such TCP port. */
export function servicePortName(service: Service, port: number): string | undefined {
  const found = tcpPortOf(service, port);
  return found === undefined ? undefined : (found.name ?? '');
}

export function slicePort(slice: EndpointSlice, name: string): number | undefined {
  return slice.ports?.find((port) => (port.name ?? '') === name && (port.protocol ?? 'TCP') === 'TCP')?.port;
}
