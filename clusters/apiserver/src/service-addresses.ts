/**
 * ClusterIPs and node ports. What is in use is read from the stored Services, so there is no second
 * list that could disagree; assignment happens in the same turn as the write, so no address is given twice.
 */
import type { Random } from '@mesh/clock/clock';
import { MeshError } from '@mesh/errors/mesh-error';
import { Faults } from './faults.ts';
import { listAt, numberAt, textAt, type JsonObject } from './json.ts';
import { namespaceOf, type KubeObject } from './object.ts';
import { objectsIn, section } from './kinds/rules.ts';
import { hasNodePorts, isHeadless } from './kinds/service.ts';
import type { Store } from './store.ts';

const services = '/services';

/** An IPv4 range. */
export interface Range {
  readonly first: number;
  readonly size: number;
  readonly text: string;
}

/** @throws MeshError config-invalid */
export function parseRange(text: string): Range {
  const [address = '', length = ''] = text.split('/');
  const base = parseAddress(address);
  const bits = /^\d{1,2}$/.test(length) ? Number(length) : 33;
  if (base === undefined || bits > 30) {
    throw new MeshError('config-invalid', `${JSON.stringify(text)} is not an IPv4 range`, {
      remedy: 'Give it as ADDRESS/LENGTH with a length of at most 30, for example 10.96.0.0/16.',
    });
  }
  const size = 2 ** (32 - bits);
  return { first: base - (base % size), size, text };
}

function parseAddress(text: string): number | undefined {
  const parts = text.split('.').map((part) => (/^(0|[1-9]\d{0,2})$/.test(part) ? Number(part) : 256));
  if (parts.length !== 4 || parts.some((part) => part > 255)) return undefined;
  return parts.reduce((value, part) => value * 256 + part, 0);
}

function formatAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}

/** The first usable address of a range: that of the Service `kubernetes`. */
export function firstAddress(range: Range): string {
  return formatAddress(range.first + 1);
}

/** The low addresses that are given to nobody who did not ask for them, while others are free (KEP-3070). */
function statedBand({ size }: Range): number {
  const usable = size - 2;
  return usable < 16 ? 0 : Math.min(256, Math.max(16, Math.floor(usable / 16)));
}

class Pool {
  readonly range: Range;
  #next: number;

  constructor(range: Range) {
    this.range = range;
    this.#next = statedBand(range) + 1;
  }

  contains(address: string): boolean {
    const value = parseAddress(address);
    const { first, size } = this.range;
    return value !== undefined && value > first && value < first + size - 1;
  }

  /** Goes round the range, so that a released address is not handed out again at once. */
  allocate(used: ReadonlySet<string>): string | undefined {
    const usable = this.range.size - 2;
    for (let step = 0; step < usable; step++) {
      const offset = ((this.#next - 1 + step) % usable) + 1;
      const address = formatAddress(this.range.first + offset);
      if (used.has(address)) continue;
      this.#next = offset + 1;
      return address;
    }
    return undefined;
  }
}

/** Ports that a Service has on every node. They are given out as Kubernetes does; these clusters' nodes serve none. */
class NodePorts {
  static readonly first = 30_000;
  static readonly last = 32_767;
  static readonly range = `${NodePorts.first}-${NodePorts.last}`;
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  contains(port: number): boolean {
    return port >= NodePorts.first && port <= NodePorts.last;
  }

  allocate(used: ReadonlySet<number>): number | undefined {
    const size = NodePorts.last - NodePorts.first + 1;
    const start = Math.floor(this.#random.next() * size);
    for (let step = 0; step < size; step++) {
      const port = NodePorts.first + ((start + step) % size);
      if (!used.has(port)) return port;
    }
    return undefined;
  }
}

export class ServiceAddresses {
  readonly #store: Store;
  readonly #cluster: Pool;
  readonly #nodePorts: NodePorts;

  constructor({ store, range, random }: { store: Store; range: Range; random: Random }) {
    this.#store = store;
    this.#nodePorts = new NodePorts(random);
    this.#cluster = new Pool(range);
  }

  /** Gives `service` the ClusterIP its type needs and takes away what another type had, in place. */
  assign(service: KubeObject, faults: Faults): void {
    const spec = section(service, 'spec');
    if (spec['type'] === 'ExternalName') {
      for (const name of ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy', 'internalTrafficPolicy'])
        delete spec[name];
    } else if (!isHeadless(service)) this.#assignClusterIp(service, spec, faults);
    this.#assignNodePorts(service, spec, faults);
    if (spec['type'] !== 'LoadBalancer') section(service, 'status')['loadBalancer'] = {};
  }

  #assignClusterIp(service: KubeObject, spec: JsonObject, faults: Faults): void {
    const used = this.#used(service);
    let address = textAt(spec, 'clusterIP') ?? '';
    if (address === '') {
      const isKubernetes = service.metadata.name === 'kubernetes' && namespaceOf(service) === 'default';
      used.add(firstAddress(this.#cluster.range));
      const free = isKubernetes ? firstAddress(this.#cluster.range) : this.#cluster.allocate(used);
      if (free === undefined) {
        faults.invalid('spec.clusterIP', null, `the range ${this.#cluster.range.text} is full`);
        return;
      }
      address = free;
    } else if (!this.#cluster.contains(address)) {
      faults.invalid(
        'spec.clusterIPs',
        [address],
        `failed to allocate IP ${address}: the provided network does not match the current range`,
      );
    } else if (used.has(address)) {
      faults.invalid(
        'spec.clusterIPs',
        [address],
        `failed to allocate IP ${address}: provided IP is already allocated`,
      );
    }
    spec['clusterIP'] = address;
    spec['clusterIPs'] = [address];
  }

  #assignNodePorts(service: KubeObject, spec: JsonObject, faults: Faults): void {
    const ports = objectsIn(spec, 'ports');
    const wanted = spec['type'] === 'NodePort' || spec['allocateLoadBalancerNodePorts'] === true;
    if (!hasNodePorts(spec)) for (const port of ports) delete port['nodePort'];
    const used = new Set<number>();
    for (const other of this.#others(service)) {
      for (const port of listAt(other, 'spec', 'ports')) used.add(numberAt(port, 'nodePort') ?? 0);
    }
    for (const [index, port] of ports.entries()) {
      const asked = numberAt(port, 'nodePort') ?? 0;
      const field = `spec.ports[${index}].nodePort`;
      if (asked === 0 && wanted) {
        const free = this.#nodePorts.allocate(used);
        if (free === undefined) faults.invalid(field, null, 'every node port is in use');
        else port['nodePort'] = free;
      } else if (asked !== 0 && !this.#nodePorts.contains(asked)) {
        faults.invalid(
          field,
          asked,
          `provided port is not in the valid range. The range of valid ports is ${NodePorts.range}`,
        );
      } else if (asked !== 0 && used.has(asked)) {
        faults.invalid(field, asked, 'provided port is already allocated');
      }
      used.add(numberAt(port, 'nodePort') ?? 0);
    }
  }

  #others(service: KubeObject): KubeObject[] {
    const { name } = service.metadata;
    return this.#store
      .list(services)
      .filter((other) => other.metadata.name !== name || namespaceOf(other) !== namespaceOf(service));
  }

  #used(service: KubeObject): Set<string> {
    const used = new Set<string>();
    for (const other of this.#others(service)) {
      const address = textAt(other, 'spec', 'clusterIP');
      if (address !== undefined) used.add(address);
    }
    return used;
  }
}
