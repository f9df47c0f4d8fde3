/**
 * One export as a peer sent it, checked and narrowed. A peer is untrusted input: whatever is not provably within
 * what the Link allows is refused with a reason, and one bad record never affects another.
 */
import { Export_Mode as Mode, type Export } from '@mesh/control-api/gen/mesh/federation/v1/federation_pb';
import {
  importableAnnotations,
  importableLabels,
  inCIDRs,
  isProtectedNamespace,
} from '@mesh/multicluster/import-rules';
import type { Service } from '@mesh/kube/types';
import { importLimits } from '@mesh/multicluster/limits';
import type { LinkSpec } from '@mesh/multicluster/link';
import { opaquePortsAnnotation } from '@mesh/multicluster/workload-names';
import { parseIdentity } from '@mesh/trust/names';
import type { ImportRefusal } from './link-reasons.ts';

export interface ImportPort {
  /** Empty only when it is the single port. */
  name: string;
  port: number;
  appProtocol: string | undefined;
}

export interface FlatGroup {
  /** Identity that each address of the group proves. */
  identity: string;
  /** Service port name to port on the pod. */
  targetPorts: Readonly<Record<string, number>>;
  addresses: readonly string[];
}

export interface ImportRecord {
  namespace: string;
  name: string;
  /** Reached through the gateway, or pod by pod. */
  path: 'gateway' | 'direct';
  /** Wants a `<svc>-<cluster>` mirror. */
  pinned: boolean;
  federated: boolean;
  ports: readonly ImportPort[];
  labels: Readonly<Record<string, string>>;
  annotations: Readonly<Record<string, string>>;
  readyEndpoints: number;
  /** Only with path `direct`. */
  flat: readonly FlatGroup[];
}

export interface Refusal {
  reason: ImportRefusal;
  message: string;
}

const dnsLabel = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const portName = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const maxPorts = importLimits.import_ports.default;
const maxEndpoints = importLimits.import_ready_endpoints.default;

/** The record that `sent` stands for, or why it is refused. */
export function importRecord(
  sent: Export,
  { link, trustSuffix }: { link: LinkSpec; trustSuffix: string },
): ImportRecord | Refusal {
  const { namespace, name } = sent;
  if (!dnsLabel.test(namespace) || !dnsLabel.test(name)) {
    return refusal(
      'InvalidName',
      `${JSON.stringify(`${namespace}/${name}`.slice(0, 200))} is no name of a Service`,
    );
  }
  if (isProtectedNamespace(namespace)) {
    return refusal('ProtectedNamespace', `namespace ${namespace} is closed to other clusters`);
  }
  const selected = link.namespaces;
  if (selected !== undefined && selected.length > 0 && !selected.includes(namespace)) {
    return refusal(
      'NamespaceNotSelected',
      `namespace ${namespace} is not among spec.namespaces of Link ${link.cluster}`,
    );
  }
  const ports = importPorts(sent);
  if ('reason' in ports) return ports;
  const direct = sent.mode === Mode.REMOTE_DISCOVERY;
  if (!direct && sent.mode !== Mode.GATEWAY && sent.mode !== Mode.FEDERATED_ONLY) {
    return refusal(
      'UnknownMode',
      `mode ${sent.mode} is not known to this version; upgrade this cluster's mesh`,
    );
  }
  const flat = direct ? flatGroups(sent, ports, { link, trustSuffix }) : [];
  if ('reason' in flat) return flat;
  return {
    namespace,
    name,
    path: direct ? 'direct' : 'gateway',
    pinned: sent.mode !== Mode.FEDERATED_ONLY,
    federated: sent.federated,
    ports,
    labels: importableLabels(sent.labels),
    annotations: { ...opaquePorts(sent, ports), ...importableAnnotations(sent.annotations) },
    readyEndpoints: Math.min(sent.readyEndpoints, maxEndpoints),
    flat,
  };
}

function refusal(reason: ImportRefusal, message: string): Refusal {
  return { reason, message };
}

/** The TCP ports of a Service of this cluster. */
export function servicePorts({ spec }: Service): ImportPort[] {
  return (spec?.ports ?? [])
    .filter(({ protocol }) => protocol === undefined || protocol === 'TCP')
    .map(({ name = '', port, appProtocol }) => ({ name, port, appProtocol }));
}

/** What the peer's Service has of its namespace, which says nothing about the Services of ours. */
function opaquePorts(sent: Export, ports: readonly ImportPort[]): Record<string, string> {
  const opaque = new Set(sent.ports.flatMap(({ name, opaque }) => (opaque ? [name] : [])));
  const list = ports.filter(({ name }) => opaque.has(name)).map(({ port }) => port);
  return list.length === 0 ? {} : { [opaquePortsAnnotation]: list.join(',') };
}

function importPorts(sent: Export): ImportPort[] | Refusal {
  const ports: ImportPort[] = [];
  const seen = new Set<string>();
  for (const { name, port, protocol, appProtocol } of sent.ports) {
    if (protocol !== '' && protocol !== 'TCP') continue;
    const nameFits = name === '' ? sent.ports.length === 1 : portName.test(name);
    if (!nameFits || port < 1 || port > 65_535 || seen.has(name)) {
      return refusal(
        'InvalidPorts',
        `port ${JSON.stringify(name.slice(0, 80))}=${port} of ${sent.name} is no Service port`,
      );
    }
    if (ports.length >= maxPorts) {
      return refusal('InvalidPorts', `${sent.name} has more than ${maxPorts} TCP ports (import_ports)`);
    }
    seen.add(name);
    ports.push({
      name,
      port,
      appProtocol: /^[a-zA-Z0-9./-]{1,128}$/.test(appProtocol) ? appProtocol : undefined,
    });
  }
  if (ports.length === 0) return refusal('InvalidPorts', `${sent.name} has no TCP port; only TCP is carried`);
  return ports;
}

/** Flat endpoints grouped by identity and port set; one foreign identity or address refuses the whole record. */
function flatGroups(
  sent: Export,
  ports: readonly ImportPort[],
  { link, trustSuffix }: { link: LinkSpec; trustSuffix: string },
): FlatGroup[] | Refusal {
  const most = importLimits.import_flat_endpoints.default;
  const mostGroups = importLimits.import_flat_groups.default;
  if (sent.flatEndpoints.length > most) {
    const message = `${sent.name} lists ${sent.flatEndpoints.length} pods, more than ${most} (import_flat_endpoints)`;
    return refusal('TooManyEndpoints', message);
  }
  const groups = new Map<
    string,
    { identity: string; targetPorts: Record<string, number>; addresses: string[] }
  >();
  for (const { address, identity, ports: targets } of sent.flatEndpoints) {
    if (parseIdentity(identity, trustSuffix)?.cluster !== link.cluster) {
      const shown =
        identity === ''
          ? 'no identity (it would be called in plaintext)'
          : `identity ${identity.slice(0, 253)}`;
      return refusal(
        'ForeignIdentity',
        `endpoint ${address.slice(0, 64)} has ${shown}, expected one of cluster ${link.cluster}`,
      );
    }
    if (!inCIDRs(address, link.podCIDRs ?? [])) {
      return refusal(
        'AddressOutsidePodCIDRs',
        `endpoint ${address.slice(0, 64)} is outside spec.podCIDRs (${(link.podCIDRs ?? []).join(', ') || 'none'}) of Link ${link.cluster}`,
      );
    }
    const targetPorts: Record<string, number> = {};
    for (const { name } of ports) {
      const target = targets.find((candidate) => candidate.name === name)?.port;
      if (target === undefined || target < 1 || target > 65_535) {
        return refusal(
          'InvalidPorts',
          `endpoint ${address} does not say where it serves port ${JSON.stringify(name)}`,
        );
      }
      targetPorts[name] = target;
    }
    const key = JSON.stringify([identity, targetPorts]);
    const group = groups.get(key) ?? { identity, targetPorts, addresses: [] };
    group.addresses.push(address);
    groups.set(key, group);
    if (groups.size > mostGroups) {
      const message = `the pods of ${sent.name} have more than ${mostGroups} sets of identity and ports (import_flat_groups)`;
      return refusal('TooManyEndpoints', message);
    }
  }
  return [...groups.values()];
}
