/**
 * Every reason in the status of a Link that is not good news, in closed sets: what became of an export of the peer, and
 * why the peer is not followed. docs/errors.md is generated from them.
 */
import type { TlsDialError } from '@mesh/trust/dial';

interface ReasonFacts {
  readonly meaning: string;
  readonly remedy: string;
}

/** State `Refused` of an import: whatever an earlier record of the export made here is taken away. */
export const importRefusals = {
  InvalidName: {
    meaning:
      'Namespace or name of the export, or the name that its mirror would have, is no name of a Service.',
    remedy: 'See what runs as mirror controller of the peer: ours exports Services under their own names.',
  },
  NameTooLong: {
    meaning: '`SERVICE-CLUSTER` or `SERVICE-federated` has more than 63 characters.',
    remedy: 'Export the service under a shorter name.',
  },
  NameConflict: {
    meaning:
      'A Service of the name of the mirror exists here and is none, or is that of another export: `a-b` of cluster c and `a` of cluster b-c would both be `a-b-c`. Who came first keeps it.',
    remedy: 'Rename it, or the exported service.',
  },
  ProtectedNamespace: {
    meaning: 'The namespace is closed to other clusters: `kube-*`, `mesh` and `mesh-*`.',
    remedy: 'Export from another namespace.',
  },
  NamespaceNotSelected: {
    meaning: 'The Link imports from some namespaces only, and this is none of them.',
    remedy: 'Add it to `spec.namespaces` of the Link.',
  },
  InvalidPorts: {
    meaning:
      'No TCP port, over 100 of them, a number or name that no port of a Service has, a name twice, or a pod that does not say where it serves one.',
    remedy: 'Mend the ports of the exported Service; only TCP is carried.',
  },
  UnknownMode: {
    meaning: 'The peer exports in a way that this version does not know.',
    remedy: 'Upgrade the mesh of this cluster.',
  },
  ForeignIdentity: {
    meaning: 'A pod of a flat network has no identity, or one of another cluster than the peer.',
    remedy:
      'Mesh the pods of the exported Service, or export it through the gateway: `mirror.mesh.io/exported=true`.',
  },
  AddressOutsidePodCIDRs: {
    meaning: 'A pod of a flat network has an address that the Link does not grant to the peer.',
    remedy: 'Add the network of the pods to `spec.podCIDRs` of the Link, if it is theirs.',
  },
  TooManyEndpoints: {
    meaning:
      'The export lists more pods of a flat network than are taken, or more sets of identity and ports among them.',
    remedy: 'Export it through the gateway: `mirror.mesh.io/exported=true`.',
  },
} as const satisfies Record<string, ReasonFacts>;

export type ImportRefusal = keyof typeof importRefusals;

/** State `Waiting` of an import: it comes by itself once what is missing is there. */
export const importWaits = {
  MissingNamespace: {
    meaning: 'The namespace does not exist here, or is being deleted.',
    remedy: 'Make it, or leave it: nothing else waits for it.',
  },
  NoLocalMember: {
    meaning: 'The export is for `SERVICE-federated` only, and this cluster takes no part in that.',
    remedy:
      'Label the Service here `mirror.mesh.io/federated=member`, or annotate the namespace `mirror.mesh.io/accept-federated=true`.',
  },
  NoGatewayAddress: {
    meaning: 'No host name of `spec.gatewayAddresses` has been resolved yet.',
    remedy: 'See that the name servers of this cluster know it, or name IPv4 addresses.',
  },
} as const satisfies Record<string, ReasonFacts>;

export type ImportWait = keyof typeof importWaits;

/** Why conditions of a Link are not `True`, beside the reasons of refused TLS. */
export const linkFaults = {
  InvalidLink: {
    meaning: 'The Link names this cluster itself, or `metadata.name` is not `spec.cluster`.',
    remedy: 'Write the Link by `mesh multicluster link`, or mend what the message names.',
  },
  Connecting: {
    meaning: 'No attempt has ended yet.',
    remedy: 'Wait a moment.',
  },
  ConnectFailed: {
    meaning: 'The gateway of the peer could not be reached.',
    remedy: 'See that `spec.gatewayAddresses` and `spec.gatewayPort` can be reached from this cluster.',
  },
  Timeout: {
    meaning: 'The gateway of the peer did not finish the handshake in time (`MESH_CONNECT_TIMEOUT`).',
    remedy: 'Look for a firewall that drops packets between the clusters.',
  },
  ClosedByGateway: {
    meaning:
      'The gateway ended the connection before it answered, as it does with clusters it has no Link to.',
    remedy: 'Link the clusters from the side of the peer too: the message has the command.',
  },
  NotAllowed: {
    meaning: 'The peer does not take this cluster for one that its Links allow; the message has its words.',
    remedy: 'Link the clusters from the side of the peer, or set `spec.allow` of its Link to true.',
  },
  ProtocolMismatch: {
    meaning: 'The two mirror controllers speak different versions of the federation protocol.',
    remedy: 'Upgrade the older mesh.',
  },
  WrongCluster: {
    meaning: 'What answers at the addresses of the Link is the gateway of another cluster.',
    remedy: 'Mend `spec.gatewayAddresses`.',
  },
  TooManyExports: {
    meaning: 'The peer exports more services, or more bytes, than this cluster takes from one peer.',
    remedy: 'Raise `MESH_MIRROR_MAX_EXPORTS` if that is meant; that many bytes are not, see `import_bytes`.',
  },
  SequenceGap: {
    meaning: 'An event of the peer was missed; the stream begins anew.',
    remedy: 'None; if it comes again and again, look at the log of the mirror controller of the peer.',
  },
  BadSnapshot: {
    meaning: 'A snapshot had another number of exports than it announced; nothing of it is removed here.',
    remedy: 'None; if it comes again and again, look at the log of the mirror controller of the peer.',
  },
  StreamEnded: {
    meaning: 'The stream of exports ended, as it does when a gateway or mirror controller restarts.',
    remedy: 'None; it is opened again within seconds.',
  },
  NoAnswer: {
    meaning: 'The gateway does not answer probes, or nothing was heard from it yet.',
    remedy: 'Look at the gateway of the peer and at the path to it; what it exported stays and is used last.',
  },
  NotConnected: {
    meaning: 'Trust can only be judged while connected.',
    remedy: 'See the condition `Connected`.',
  },
  NoSnapshot: {
    meaning:
      'No whole snapshot of the exports has come since the mirror controller started; nothing is removed.',
    remedy: 'See the condition `Connected`.',
  },
  SnapshotShrunk: {
    meaning:
      'The peer withdrew more than half of its exports at once; they stay for 60 s in case that is a mistake.',
    remedy: 'None if it was meant; else look at the exports of the peer now.',
  },
  Stale: {
    meaning: 'The exports are as the peer last told them; they stay for `MESH_MIRROR_MAX_AGE`.',
    remedy: 'See the condition `Connected`.',
  },
} as const satisfies Record<string, ReasonFacts>;

type CamelCase<Text extends string> = Text extends `${infer Word}-${infer More}`
  ? `${Capitalize<Word>}${CamelCase<More>}`
  : Capitalize<Text>;

export type LinkFault = keyof typeof linkFaults | CamelCase<TlsDialError['reason']>;

/** As conditions spell reasons (metav1.Condition): `foreign-anchor` is `ForeignAnchor`. */
export function dialFault({ reason }: TlsDialError): LinkFault {
  const words = reason.split('-').map((word) => word.slice(0, 1).toUpperCase() + word.slice(1));
  return words.join('') as LinkFault;
}
