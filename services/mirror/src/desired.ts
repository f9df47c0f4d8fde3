/**
 * The objects that an import stands for, as ordinary Services and EndpointSlices (docs/decisions/0005). Pure: a record, its
 * Link and the peer's state in, objects out.
 */
import { createHash } from 'node:crypto';
import { managedByLabel, serviceNameLabel } from '@mesh/kube/objects';
import type { EndpointSlice, Service, Stored } from '@mesh/kube/types';
import type { LinkSpec } from '@mesh/multicluster/link';
import { annotations, labels, type PeerState } from '@mesh/multicluster/names';
import { gatewayIdentity } from '@mesh/trust/names';
import type { ImportPort, ImportRecord } from './import-record.ts';

const managedBy = 'mirror.mesh.io';

type Named<T> = T & { metadata: { name: string; namespace: string } };

interface ServiceOptions {
  name: string;
  record: Pick<ImportRecord, 'namespace' | 'name' | 'ports' | 'labels' | 'annotations'>;
  /** Absent on a federated Service, which belongs to no single peer. */
  cluster?: string;
}

/** `<svc>-<cluster>` or `<svc>-federated`: no selector, so that its slices are ours alone. */
export function mirrorService({ name, record, cluster }: ServiceOptions): Named<Service> {
  const { namespace } = record;
  return {
    metadata: {
      name,
      namespace,
      labels: {
        ...record.labels,
        [labels.mirroredService]: 'true',
        ...(cluster === undefined ? {} : { [labels.clusterName]: cluster }),
      },
      annotations: {
        ...record.annotations,
        [annotations.sourceService]: `${namespace}/${record.name}`,
        ...(cluster === undefined
          ? {}
          : { [annotations.remoteName]: `${record.name}.${namespace}.svc.cluster.local` }),
      },
    },
    spec: { type: 'ClusterIP', ports: record.ports.map(servicePort) },
  };
}

function servicePort({
  name,
  port,
  appProtocol,
}: ImportPort): NonNullable<NonNullable<Service['spec']>['ports']>[number] {
  return {
    port,
    protocol: 'TCP',
    ...(name === '' ? {} : { name }),
    ...(appProtocol === undefined ? {} : { appProtocol }),
  };
}

interface SliceOptions {
  /** The Service the slices belong to. */
  service: string;
  record: ImportRecord;
  link: LinkSpec;
  /** The peer's gateway addresses, IPv4. */
  gateways: readonly string[];
  state: PeerState;
  /** Ready endpoints to show; damped by the caller. */
  weight: number;
  /** Suffix of trust domains. */
  trustSuffix: string;
}

/** One slice per identity and port set, more for over a thousand pods; none has an address while nothing is ready behind it. */
export function mirrorSlices({
  service,
  record,
  link,
  gateways,
  state,
  weight,
  trustSuffix,
}: SliceOptions): Named<EndpointSlice>[] {
  const common = { service, record, cluster: link.cluster };
  if (record.path === 'gateway') {
    const port = link.gatewayPort ?? 4143;
    return [
      slice({
        ...common,
        suffix: link.cluster,
        // Not for callers without a proxy: a gateway takes only mesh TLS. Proxies go by `serving`.
        ready: false,
        addresses: weight > 0 ? gateways : [],
        ports: record.ports.map(({ name }) => ({ name, port })),
        annotations: {
          [annotations.gatewayIdentity]: gatewayIdentity(link.cluster, trustSuffix),
          [annotations.weight]: String(weight),
          [annotations.peerState]: state,
        },
      }),
    ];
  }
  return record.flat.flatMap(({ identity, targetPorts, addresses }) => {
    const hash = createHash('sha256')
      .update(JSON.stringify([identity, targetPorts]))
      .digest('hex')
      .slice(0, 8);
    return chunks(addresses).map((part, index) =>
      slice({
        ...common,
        suffix: index === 0 ? `${link.cluster}-${hash}` : `${link.cluster}-${hash}-${index}`,
        ready: true,
        addresses: part,
        ports: Object.entries(targetPorts).map(([name, port]) => ({ name, port })),
        annotations: {
          [annotations.remoteIdentity]: identity,
          [annotations.weight]: String(part.length),
          [annotations.peerState]: state,
        },
      }),
    );
  });
}

/** Kubernetes takes no more endpoints in one slice. */
const maxSliceEndpoints = 1000;

function chunks(addresses: readonly string[]): (readonly string[])[] {
  const parts: (readonly string[])[] = [];
  for (let start = 0; start < addresses.length; start += maxSliceEndpoints)
    parts.push(addresses.slice(start, start + maxSliceEndpoints));
  return parts;
}

interface SliceParts {
  service: string;
  record: ImportRecord;
  cluster: string;
  suffix: string;
  addresses: readonly string[];
  /** The condition that callers without a proxy go by. */
  ready: boolean;
  ports: { name: string; port: number }[];
  annotations: Record<string, string>;
}

function slice(parts: SliceParts): Named<EndpointSlice> {
  const { service, record, cluster, suffix, addresses, ready, ports } = parts;
  // A pinned mirror's name already ends in the cluster.
  const name = service.endsWith(`-${suffix}`) ? service : `${service}-${suffix}`;
  return {
    metadata: {
      name,
      namespace: record.namespace,
      labels: {
        [serviceNameLabel]: service,
        [managedByLabel]: managedBy,
        [labels.mirroredService]: 'true',
        [labels.clusterName]: cluster,
      },
      annotations: {
        [annotations.sourceService]: `${record.namespace}/${record.name}`,
        [annotations.remoteName]: `${record.name}.${record.namespace}.svc.cluster.local`,
        ...parts.annotations,
      },
    },
    addressType: 'IPv4',
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready, serving: true } })),
    ports: ports.map(({ name: portName, port }) => ({ name: portName, port, protocol: 'TCP' })),
  };
}

/** A slice of the local member for callers of `<svc>-federated` without a proxy; proxies find local pods themselves. */
export function localCopy(service: string, slice: Stored<EndpointSlice>): Named<EndpointSlice> {
  const { metadata, addressType, endpoints, ports } = slice;
  const { namespace = '', name } = metadata;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 8);
  return {
    metadata: {
      name: `${service}-local-${hash}`,
      namespace,
      labels: {
        [serviceNameLabel]: service,
        [managedByLabel]: managedBy,
        [labels.mirroredService]: 'true',
        [labels.localCopy]: 'true',
      },
    },
    addressType,
    endpoints: endpoints ?? [],
    ports: ports ?? [],
  };
}

/** True when a weight is worth a write: to or from zero, or by a tenth or more (docs/decisions/0005). */
export function weightMatters(shown: number, now: number): boolean {
  if (shown === now) return false;
  return shown === 0 || now === 0 || Math.abs(now - shown) * 10 >= shown;
}
