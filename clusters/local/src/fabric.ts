/**
 * The fabric: the network between clusters, in the world's own network namespace. It routes the gateway prefixes and
 * nothing else, so a pod's address means nothing outside its cluster.
 */
import { fabricAddress, nodeAddress } from './world-plan.ts';

interface FabricCluster {
  readonly index: number;
  readonly gatewayCidr: string;
}

/** Name of the fabric's end of a node's uplink. */
export function uplinkName(index: number): string {
  return `node${index}`;
}

/** First commands of the fabric, for `ip -batch`. */
export function fabricCommands(): string {
  return ['link set lo up', `addr add ${fabricAddress}/32 dev lo`, ''].join('\n');
}

/** Connects the node whose network namespace process `pid` is in, for `ip -batch`. */
export function uplinkCommands({ index, gatewayCidr }: FabricCluster, pid: number): string {
  const link = uplinkName(index);
  const node = nodeAddress(index);
  return [
    `link add ${link} type veth peer name eth0 netns ${pid}`,
    `link set ${link} addrgenmode none up`,
    `route add ${node}/32 dev ${link} src ${fabricAddress}`,
    `route add ${gatewayCidr} via ${node} dev ${link} onlink`,
    '',
  ].join('\n');
}

/**
 * Forwarding rules, for iptables-restore. `cut` holds the indexes of clusters that are cut off from all others, as if
 * their cable was pulled.
 */
export function fabricRules(
  clusters: readonly FabricCluster[],
  cut: ReadonlySet<number> = new Set(),
): string {
  const drops = [...cut].sort((one, other) => one - other);
  return [
    '*filter',
    ':INPUT ACCEPT [0:0]',
    ':FORWARD DROP [0:0]',
    ':OUTPUT ACCEPT [0:0]',
    ...drops.flatMap((index) => [
      `-A FORWARD -i ${uplinkName(index)} -j DROP`,
      `-A FORWARD -o ${uplinkName(index)} -j DROP`,
    ]),
    '-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    ...clusters.map(
      ({ index, gatewayCidr }) => `-A FORWARD -o ${uplinkName(index)} -d ${gatewayCidr} -j ACCEPT`,
    ),
    '-A FORWARD -j REJECT --reject-with icmp-net-unreachable',
    'COMMIT',
    '',
  ].join('\n');
}
