/**
 * The cluster's DNS records (Kubernetes DNS-based service discovery, version 1.1.0), computed from Services and
 * EndpointSlices at each question; there is nothing to keep in step.
 */
import type { EndpointSlice, Service } from '@mesh/kube/types';

/** Where the zone reads from. */
export interface ServiceCatalog {
  service(namespace: string, name: string): Service | undefined;
  slices(namespace: string, service: string): readonly EndpointSlice[];
  /** True when the namespace has any service. */
  hasNamespace(namespace: string): boolean;
  /** The service that has this ClusterIP. */
  byClusterIp(address: string): Service | undefined;
}

export type DnsRecord =
  | { type: 'A'; name: string; address: string }
  | { type: 'SRV'; name: string; port: number; target: string }
  | { type: 'CNAME'; name: string; target: string }
  | { type: 'PTR'; name: string; target: string };

/** `exists` without records of the asked type is NODATA; without it, NXDOMAIN. */
export interface DnsAnswer {
  readonly exists: boolean;
  readonly records: readonly DnsRecord[];
  /** Addresses of SRV targets. */
  readonly additional: readonly DnsRecord[];
}

interface Member {
  /** First label of the member's own name. */
  label: string;
  address: string;
  ports: { name: string; protocol: string; port: number }[];
}

/** Aliases of aliases that are followed; they may go in circles. */
const maxAliases = 8;

const nothing: DnsAnswer = { exists: false, records: [], additional: [] };
const empty: DnsAnswer = { exists: true, records: [], additional: [] };

export class DnsZone {
  readonly #domain: readonly string[];
  readonly #domainText: string;
  readonly #catalog: ServiceCatalog;

  /** @param domain `cluster.local`, without a trailing dot */
  constructor(domain: string, catalog: ServiceCatalog) {
    this.#domainText = domain;
    this.#domain = domain.split('.');
    this.#catalog = catalog;
  }

  get domain(): string {
    return this.#domainText;
  }

  /** True for names this zone is the authority of. */
  owns(name: string): boolean {
    const lower = name.toLowerCase();
    return lower === this.#domainText || lower.endsWith(`.${this.#domainText}`);
  }

  /** The alias, and what it stands for where that is a name of this zone: stub resolvers ask nobody else. */
  #alias(name: string, type: string, target: string, depth: number): DnsAnswer {
    const alias: DnsRecord = { type: 'CNAME', name, target };
    const follow = type !== 'CNAME' && depth < maxAliases && this.owns(target);
    const { records } = follow ? this.#answer(target, type, depth + 1) : empty;
    return { ...empty, records: [alias, ...records] };
  }

  /** @param type A, SRV, PTR, CNAME, AAAA, …; unknown types of known names give NODATA */
  answer(name: string, type: string): DnsAnswer {
    return this.#answer(name, type, 0);
  }

  #answer(name: string, type: string, depth: number): DnsAnswer {
    const lower = name.toLowerCase();
    if (lower === 'localhost') {
      return type === 'A' ? { ...empty, records: [{ type, name, address: '127.0.0.1' }] } : empty;
    }
    if (lower.endsWith('.in-addr.arpa')) return this.#reverse(name, lower, type);
    if (!this.owns(lower)) return nothing;
    const labels = lower.split('.').slice(0, -this.#domain.length);
    const [root, namespace, serviceName, ...rest] = labels.toReversed();
    if (root === undefined) return empty;
    if (root !== 'svc') return nothing;
    if (namespace === undefined) return empty;
    if (serviceName === undefined) return this.#catalog.hasNamespace(namespace) ? empty : nothing;
    const service = this.#catalog.service(namespace, serviceName);
    if (service === undefined) return nothing;
    return this.#ofService(service, { name, type, rest, depth });
  }

  #ofService(
    service: Service,
    { name, type, rest, depth }: { name: string; type: string; rest: string[]; depth: number },
  ): DnsAnswer {
    const { spec } = service;
    if (spec?.type === 'ExternalName') {
      if (rest.length > 0) return nothing;
      return this.#alias(name, type, (spec.externalName ?? '').replace(/\.$/, ''), depth);
    }
    const clusterIp = spec?.clusterIP;
    const headless = clusterIp === 'None';
    if (rest.length === 0) {
      if (headless) {
        const members = this.#members(service);
        if (members.length === 0) return nothing;
        if (type !== 'A') return empty;
        return { ...empty, records: members.map(({ address }) => ({ type: 'A', name, address })) };
      }
      if (type !== 'A' || clusterIp === undefined || clusterIp === '') return empty;
      return { ...empty, records: [{ type: 'A', name, address: clusterIp }] };
    }
    if (rest.length === 1 && headless) {
      const members = this.#members(service).filter(({ label }) => label === rest[0]);
      if (members.length === 0) return nothing;
      if (type !== 'A') return empty;
      return { ...empty, records: members.map(({ address }) => ({ type: 'A', name, address })) };
    }
    const [protocol, port] = rest;
    if (rest.length !== 2 || protocol?.startsWith('_') !== true || port?.startsWith('_') !== true)
      return nothing;
    return this.#srv(service, { name, type, protocol: protocol.slice(1), port: port.slice(1) });
  }

  #srv(
    service: Service,
    { name, type, protocol, port }: { name: string; type: string; protocol: string; port: string },
  ): DnsAnswer {
    const base = `${service.metadata?.name}.${service.metadata?.namespace}.svc.${this.#domainText}`;
    const records: DnsRecord[] = [];
    const additional: DnsRecord[] = [];
    const clusterIp = service.spec?.clusterIP;
    if (clusterIp === 'None') {
      for (const member of this.#members(service)) {
        for (const candidate of member.ports) {
          if (candidate.name !== port || candidate.protocol !== protocol) continue;
          const target = `${member.label}.${base}`;
          records.push({ type: 'SRV', name, port: candidate.port, target });
          additional.push({ type: 'A', name: target, address: member.address });
        }
      }
    } else {
      for (const candidate of service.spec?.ports ?? []) {
        if (candidate.name !== port || (candidate.protocol ?? 'TCP').toLowerCase() !== protocol) continue;
        records.push({ type: 'SRV', name, port: candidate.port, target: base });
        if (clusterIp !== undefined) additional.push({ type: 'A', name: base, address: clusterIp });
      }
    }
    if (records.length === 0) return nothing;
    return type === 'SRV' ? { exists: true, records, additional } : empty;
  }

  #members(service: Service): Member[] {
    const { metadata, spec } = service;
    const members = new Map<string, Member>();
    for (const slice of this.#catalog.slices(metadata?.namespace ?? '', metadata?.name ?? '')) {
      if (slice.addressType !== 'IPv4') continue;
      for (const endpoint of slice.endpoints ?? []) {
        if (endpoint.conditions?.ready === false && spec?.publishNotReadyAddresses !== true) continue;
        const [address] = endpoint.addresses;
        if (address === undefined) continue;
        const label = endpoint.hostname ?? address.replaceAll('.', '-');
        const member = members.get(`${label} ${address}`) ?? { label, address, ports: [] };
        for (const { name = '', protocol = 'TCP', port } of slice.ports ?? []) {
          if (port !== undefined) member.ports.push({ name, protocol: protocol.toLowerCase(), port });
        }
        members.set(`${label} ${address}`, member);
      }
    }
    return [...members.values()];
  }

  #reverse(name: string, lower: string, type: string): DnsAnswer {
    const octets = lower.slice(0, -'.in-addr.arpa'.length).split('.');
    const service =
      octets.length === 4 ? this.#catalog.byClusterIp(octets.toReversed().join('.')) : undefined;
    if (service === undefined) return nothing;
    if (type !== 'PTR') return empty;
    const target = `${service.metadata?.name}.${service.metadata?.namespace}.svc.${this.#domainText}`;
    return { ...empty, records: [{ type: 'PTR', name, target }] };
  }
}
