import { cidrsOverlap, parseCidr, type Cidr } from '@mesh/kube/cidr';
import { MeshError } from '@mesh/errors/mesh-error';
import { parse } from 'yaml';

export interface ClusterPlan {
  /** DNS label of at most 20 characters, unique in the topology. */
  readonly name: string;
  readonly podCidr: string;
  readonly serviceCidr: string;
  /** LoadBalancer addresses: the only ones that other clusters reach. */
  readonly gatewayCidr: string;
}

export interface Topology {
  readonly clusters: readonly ClusterPlan[];
}

/** Addresses of the nodes and of the fabric between them; clusters must not use them. */
export const underlay = '100.64.255.0/24';

const maxClusters = 100;
const entryKeys = new Set(['name', 'podCIDR', 'serviceCIDR', 'gatewayCIDR']);

/**
 * Reads a topology file.
 * @param source name of the file, for messages
 * @throws MeshError topology-invalid that lists every fault
 */
export function parseTopology(text: string, source: string): Topology {
  const faults: string[] = [];
  let document: unknown;
  try {
    document = parse(text);
  } catch (cause) {
    throw new MeshError('topology-invalid', `${source} is not YAML`, { cause });
  }
  const list = isRecord(document) ? document['clusters'] : undefined;
  if (!Array.isArray(list) || list.length === 0) {
    throw new MeshError('topology-invalid', `${source}: "clusters" must be a list with at least one entry`);
  }
  if (list.length > maxClusters) faults.push(`${list.length} clusters, at most ${maxClusters} are allowed`);
  const clusters: ClusterPlan[] = [];
  list.forEach((entry: unknown, index) => {
    const plan = readEntry(entry, `clusters[${index}]`, faults);
    if (plan !== undefined) clusters.push(plan);
  });
  checkNetworks(clusters, faults);
  if (faults.length > 0) {
    throw new MeshError('topology-invalid', `${source}:\n  ${faults.join('\n  ')}`, {
      remedy: 'clusters/topologies/three.yaml is an example.',
    });
  }
  return { clusters };
}

function readEntry(entry: unknown, where: string, faults: string[]): ClusterPlan | undefined {
  if (!isRecord(entry)) {
    faults.push(`${where} is not a mapping`);
    return undefined;
  }
  for (const key of Object.keys(entry)) {
    if (!entryKeys.has(key)) faults.push(`${where}.${key} is unknown; allowed: ${[...entryKeys].join(', ')}`);
  }
  const { name } = entry;
  if (typeof name !== 'string' || !/^[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?$/.test(name)) {
    faults.push(`${where}.name ${JSON.stringify(name)} must be a DNS label of at most 20 characters`);
    return undefined;
  }
  const prefix = (key: string, longest: number): string => {
    const text = entry[key];
    const cidr = typeof text === 'string' ? parseCidr(text) : undefined;
    if (cidr === undefined || cidr.prefix > longest || cidr.prefix < 8) {
      faults.push(
        `${where}.${key} ${JSON.stringify(text)} must be an IPv4 prefix without host bits, from /8 to /${longest}`,
      );
    }
    return typeof text === 'string' ? text : '';
  };
  return {
    name,
    podCidr: prefix('podCIDR', 28),
    serviceCidr: prefix('serviceCIDR', 27),
    gatewayCidr: prefix('gatewayCIDR', 30),
  };
}

function checkNetworks(clusters: readonly ClusterPlan[], faults: string[]): void {
  const names = new Set<string>();
  for (const { name } of clusters) {
    if (names.has(name)) faults.push(`the name ${name} occurs twice`);
    names.add(name);
  }
  const reserved = parseCidr(underlay);
  const overlap = (one: string, other: string): boolean => {
    const [first, second] = [parseCidr(one), parseCidr(other)] as [Cidr | undefined, Cidr | undefined];
    return first !== undefined && second !== undefined && cidrsOverlap(first, second);
  };
  for (const [index, { name, podCidr, serviceCidr, gatewayCidr }] of clusters.entries()) {
    for (const cidr of [podCidr, serviceCidr, gatewayCidr]) {
      const parsed = parseCidr(cidr);
      if (parsed !== undefined && reserved !== undefined && cidrsOverlap(parsed, reserved)) {
        faults.push(`${name}: ${cidr} overlaps ${underlay}, which the nodes use`);
      }
    }
    if (overlap(podCidr, serviceCidr)) faults.push(`${name}: podCIDR and serviceCIDR overlap`);
    for (const other of clusters) {
      if (overlap(gatewayCidr, other.podCidr) || overlap(gatewayCidr, other.serviceCidr)) {
        faults.push(
          `${name}: gatewayCIDR ${gatewayCidr} overlaps a prefix inside ${other.name}, which could not reach it`,
        );
      }
    }
    for (const other of clusters.slice(index + 1)) {
      if (overlap(gatewayCidr, other.gatewayCidr)) {
        faults.push(
          `gatewayCIDR of ${name} and ${other.name} overlap: both must be reachable from everywhere`,
        );
      }
    }
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
