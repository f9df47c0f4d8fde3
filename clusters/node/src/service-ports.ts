import type { EndpointSlice, Service } from '@mesh/kube/types';
import type { ServicePort } from './service-rules.ts';

/** What the node's rules need of one service; empty for headless services and those without an address. */
export function servicePorts(service: Service, slices: readonly EndpointSlice[]): ServicePort[] {
  const { metadata, spec, status } = service;
  const addresses: string[] = [];
  if (spec?.clusterIP !== undefined && spec.clusterIP !== 'None' && spec.clusterIP !== '') {
    addresses.push(spec.clusterIP);
  }
  if (spec?.type === 'LoadBalancer') {
    for (const { ip } of status?.loadBalancer?.ingress ?? []) if (ip !== undefined) addresses.push(ip);
  }
  if (addresses.length === 0) return [];
  const ports: ServicePort[] = [];
  for (const port of spec?.ports ?? []) {
    const protocol = (port.protocol ?? 'TCP').toLowerCase();
    if (protocol !== 'tcp' && protocol !== 'udp') continue;
    const endpoints = new Map<string, { address: string; port: number }>();
    const ending: typeof endpoints = new Map();
    for (const slice of slices) {
      if (slice.addressType !== 'IPv4') continue;
      const match = slice.ports?.find(
        (candidate) =>
          (candidate.name ?? '') === (port.name ?? '') &&
          (candidate.protocol ?? 'TCP').toLowerCase() === protocol,
      );
      if (match?.port === undefined) continue;
      for (const endpoint of slice.endpoints ?? []) {
        const { ready, serving, terminating } = endpoint.conditions ?? {};
        const usable =
          ready !== false ? endpoints : serving === true && terminating === true ? ending : undefined;
        const [address] = endpoint.addresses;
        if (address !== undefined) usable?.set(`${address}:${match.port}`, { address, port: match.port });
      }
    }
    ports.push({
      key: `${metadata?.namespace}/${metadata?.name}:${protocol}:${port.port}`,
      protocol,
      addresses,
      port: port.port,
      // Pods that end but still serve are better than none, as kube-proxy has it (KEP-1669).
      endpoints: [...(endpoints.size > 0 ? endpoints : ending).values()],
    });
  }
  return ports;
}
