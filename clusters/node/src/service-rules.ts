/**
 * ClusterIP and LoadBalancer addresses as nat rules of the node, in the input format of iptables-restore.
 *
 * Chains: one per service port (choosing an endpoint at random with equal chances) and one per endpoint, as
 * kube-proxy's iptables mode lays them out. The whole table is written at once, so that no packet meets half of it.
 */
import { createHash } from 'node:crypto';

export interface ServicePort {
  /** `namespace/service:port`, unique; only the chain's name comes from it. */
  readonly key: string;
  readonly protocol: 'tcp' | 'udp';
  /** Addresses that clients dial: the ClusterIP and LoadBalancer addresses. */
  readonly addresses: readonly string[];
  readonly port: number;
  /** Ready endpoints, `address:port`. */
  readonly endpoints: readonly { readonly address: string; readonly port: number }[];
}

export interface NodeNetwork {
  readonly podCidr: string;
  readonly serviceCidr: string;
  readonly gatewayCidr: string;
  readonly uplink: string;
  /** Addresses of the service prefix that the node itself answers (API relay, DNS). */
  readonly localAddresses: readonly string[];
}

/** Marks packets whose source must become the node's, because the answer has to pass the node again. */
const masqueradeMark = '0x4000/0x4000';

function chainName(kind: 'SVC' | 'SEP', key: string): string {
  return `MESH-${kind}-${createHash('sha256').update(key).digest('hex').slice(0, 16).toUpperCase()}`;
}

function byText(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

/** The node's nat and filter tables. Same services, same text, whatever order they come in. */
export function renderServiceRules(network: NodeNetwork, ports: readonly ServicePort[]): string {
  const chains = new Set<string>();
  const dispatch: string[] = [];
  const rules: string[] = [];
  const rejects: string[] = [];
  for (const service of [...ports].sort((one, other) => byText(one.key, other.key))) {
    if (service.endpoints.length === 0) {
      for (const address of service.addresses) {
        const match = `-d ${address}/32 -p ${service.protocol} --dport ${service.port}`;
        rejects.push(`-A MESH-REJECT ${match} ${rejectWith(service.protocol)}`);
      }
      continue;
    }
    const chain = chainName('SVC', service.key);
    chains.add(chain);
    for (const address of service.addresses) {
      dispatch.push(
        `-A MESH-SERVICES -d ${address}/32 -p ${service.protocol} --dport ${service.port} -j ${chain}`,
      );
    }
    const endpoints = [...service.endpoints].sort((one, other) =>
      byText(`${one.address}:${one.port}`, `${other.address}:${other.port}`),
    );
    endpoints.forEach(({ address, port }, index) => {
      const endpointChain = chainName('SEP', `${service.key} ${address}:${port}`);
      chains.add(endpointChain);
      const left = endpoints.length - index;
      const chance = left === 1 ? '' : `-m statistic --mode random --probability ${(1 / left).toFixed(10)} `;
      rules.push(`-A ${chain} ${chance}-j ${endpointChain}`);
      rules.push(`-A ${endpointChain} -s ${address}/32 -j MARK --set-xmark ${masqueradeMark}`);
      rules.push(`-A ${endpointChain} -p ${service.protocol} -j DNAT --to-destination ${address}:${port}`);
    });
  }
  const { podCidr, serviceCidr, gatewayCidr, uplink } = network;
  const accepts = network.localAddresses.map((address) => `-A MESH-REJECT -d ${address}/32 -j RETURN`);
  return [
    '*nat',
    ':PREROUTING ACCEPT [0:0]',
    ':INPUT ACCEPT [0:0]',
    ':OUTPUT ACCEPT [0:0]',
    ':POSTROUTING ACCEPT [0:0]',
    ':MESH-SERVICES - [0:0]',
    ...[...chains].map((chain) => `:${chain} - [0:0]`),
    `-A PREROUTING -i ${uplink} ! -d ${gatewayCidr} -j RETURN`,
    '-A PREROUTING -j MESH-SERVICES',
    '-A OUTPUT -j MESH-SERVICES',
    `-A POSTROUTING -m mark --mark ${masqueradeMark} -j MASQUERADE`,
    `-A POSTROUTING -s ${podCidr} -o ${uplink} -j MASQUERADE`,
    ...dispatch,
    ...rules,
    'COMMIT',
    '*filter',
    ':INPUT ACCEPT [0:0]',
    ':FORWARD DROP [0:0]',
    ':OUTPUT ACCEPT [0:0]',
    ':MESH-REJECT - [0:0]',
    // From other clusters only what was addressed to a LoadBalancer address may reach a pod, never a pod's own address.
    '-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    `-A FORWARD -i ${uplink} -m conntrack --ctstate DNAT -j ACCEPT`,
    `-A FORWARD -i ${uplink} -d ${gatewayCidr} -j MESH-REJECT`,
    `-A FORWARD -i ${uplink} -j DROP`,
    '-A FORWARD -j MESH-REJECT',
    '-A FORWARD -j ACCEPT',
    '-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    `-A INPUT -i ${uplink} -p icmp -j ACCEPT`,
    `-A INPUT -i ${uplink} -j DROP`,
    '-A OUTPUT -j MESH-REJECT',
    ...accepts,
    ...rejects,
    // Nothing in these prefixes is routed: without a rule it would leave by the default route and come back.
    ...[serviceCidr, gatewayCidr].flatMap((cidr) => [
      `-A MESH-REJECT -d ${cidr} -p tcp -j REJECT --reject-with tcp-reset`,
      `-A MESH-REJECT -d ${cidr} -j REJECT`,
    ]),
    'COMMIT',
    '',
  ].join('\n');
}

function rejectWith(protocol: 'tcp' | 'udp'): string {
  return protocol === 'tcp' ? '-j REJECT --reject-with tcp-reset' : '-j REJECT';
}
