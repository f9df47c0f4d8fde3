import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { MeshError } from '@mesh/errors/mesh-error';
import { addressAt, parseCidr } from '@mesh/kube/cidr';
import { runTool, toolPath } from './run-tool.ts';
import { renderServiceRules, type NodeNetwork, type ServicePort } from './service-rules.ts';

interface NodeAddresses {
  address: string;
  gateway: string;
  podCidr: string;
  serviceCidr: string;
  gatewayCidr: string;
}

/** The node's side of the cluster network: uplink, service addresses, forwarding and the service rules. */
export class NodeSide {
  readonly #addresses: NodeAddresses;
  readonly #network: NodeNetwork;
  readonly apiAddress: string;
  readonly dnsAddress: string;
  #rules = '';

  constructor(addresses: NodeAddresses) {
    const services = parseCidr(addresses.serviceCidr);
    if (services === undefined)
      throw new MeshError('config-invalid', `not a prefix: ${addresses.serviceCidr}`);
    this.#addresses = addresses;
    this.apiAddress = addressAt(services, 1);
    this.dnsAddress = addressAt(services, 10);
    this.#network = {
      ...addresses,
      uplink: 'eth0',
      localAddresses: [this.apiAddress, this.dnsAddress],
    };
  }

  /** The uplink must already be in this network namespace, under the name eth0. */
  async configure(): Promise<void> {
    const { address, gateway } = this.#addresses;
    setSysctl('net/ipv4/ip_forward', '1');
    setSysctl('net/ipv4/conf/all/rp_filter', '0');
    setSysctl('net/ipv4/conf/default/rp_filter', '0');
    setSysctl('net/ipv4/conf/all/send_redirects', '0');
    setSysctl('net/ipv4/conf/default/send_redirects', '0');
    // The control plane of a cluster listens for thousands of short connections; the default backlog is for desktops.
    const commands = [
      'link set lo up',
      `addr add ${this.apiAddress}/32 dev lo`,
      `addr add ${this.dnsAddress}/32 dev lo`,
      `addr add ${address}/32 dev eth0`,
      'link set eth0 addrgenmode none up',
      `route add ${gateway}/32 dev eth0 scope link src ${address}`,
      `route add default via ${gateway} dev eth0 src ${address}`,
      '',
    ];
    await runTool(['ip', '-batch', '-'], { input: commands.join('\n') });
    await this.apply([]);
  }

  /** Replaces all rules at once. Unchanged rules cost nothing. */
  async apply(ports: readonly ServicePort[]): Promise<void> {
    const rules = renderServiceRules(this.#network, ports);
    if (rules === this.#rules) return;
    await runTool(['iptables-restore'], { input: rules });
    this.#rules = rules;
  }
}

/** Sets a kernel setting of this network namespace. */
export function setSysctl(path: string, value: string): void {
  writeFileSync(`/proc/sys/${path}`, value);
}

/** Covers `directory` with a tmpfs of the agent's mount namespace: secrets of pods never reach a disk. */
export function mountPrivate(directory: string): void {
  const { status, stderr } = spawnSync(
    'mount',
    ['-n', '-t', 'tmpfs', '-o', 'mode=0755,nosuid', 'tmpfs', directory],
    {
      env: { PATH: toolPath },
    },
  );
  if (status !== 0) {
    throw new MeshError(
      'tool-failed',
      `cannot mount a tmpfs on ${directory}: ${stderr?.toString('utf8').trim()}`,
    );
  }
}
