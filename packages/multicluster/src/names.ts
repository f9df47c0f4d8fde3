/**
 * Labels, annotations and name rules of exported, mirrored and federated services.
 */

const mirrorPrefix = 'mirror.mesh.io/';

export const labels = {
  /** On a Service: `true` (through the gateway) or `remote-discovery` (flat network). */
  exported: `${mirrorPrefix}exported`,
  /** On a Service: `member` joins the federated service of this name. */
  federated: `${mirrorPrefix}federated`,
  /** On what mirroring owns: `true`. */
  mirroredService: `${mirrorPrefix}mirrored-service`,
  /** On what mirroring owns: the peer cluster it came from. */
  clusterName: `${mirrorPrefix}cluster-name`,
  /** On a slice of a federated Service: `true` on a copy of a local slice, which only unmeshed callers need. */
  localCopy: `${mirrorPrefix}local-copy`,
} as const;

export const annotations = {
  /** On a Service: how a federated service balances, `local-first` or `balanced`. */
  mode: `${mirrorPrefix}mode`,
  /** On a federated Service: ready endpoints of its own that take all requests, a count or a share of all (`50%`). */
  spillBelow: `${mirrorPrefix}spill-below`,
  /** On an exported Service: comma list of peer clusters that may use it; absent means every linked cluster. */
  allowedClusters: `${mirrorPrefix}allowed-clusters`,
  /** On a mirror: `<svc>.<ns>.svc.<domain>` in the peer; becomes the authority asked for. */
  remoteName: `${mirrorPrefix}remote-svc-fq-name`,
  /** On a mirror's slice: the identity that the peer's gateway must prove. */
  gatewayIdentity: `${mirrorPrefix}remote-gateway-identity`,
  /** On a mirror's slice of a flat network: the identity that the pods must prove. */
  remoteIdentity: `${mirrorPrefix}remote-identity`,
  /** On a mirror's slice: ready endpoints behind the peer's gateway addresses together. */
  weight: `${mirrorPrefix}weight`,
  /** On a mirror's slice: `alive`, `dead` or `unknown`. */
  peerState: `${mirrorPrefix}peer-state`,
  /** On what mirroring owns: `<ns>/<svc>` of the exported Service. */
  sourceService: `${mirrorPrefix}source-service`,
  /** On a namespace: `true` takes federated services of peers even without a local member. */
  acceptFederated: `${mirrorPrefix}accept-federated`,
} as const;

/** Prefixes that are never copied from a peer and never re-exported. */
export const ownPrefixes: readonly string[] = [mirrorPrefix, 'multicluster.mesh.io/', 'mesh.io/'];

type Annotations = Readonly<Record<string, string>> | undefined;

export type PeerState = 'alive' | 'dead' | 'unknown';
export type BalanceMode = 'local-first' | 'balanced';
export type ExportMode = 'gateway' | 'remote-discovery';

/** RFC 1035 label, the rule for Service names. */
const serviceName = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const maxServiceName = 63;

/** DNS label of at most 20 characters: short enough to end a mirror's name. */
export function isClusterName(text: string): boolean {
  return text.length <= 20 && serviceName.test(text);
}

export interface NameFault {
  reason: 'NameTooLong' | 'InvalidName';
  message: string;
}

/** `<service>-<cluster>`, or why there can be no such Service. */
export function mirrorName(service: string, cluster: string): string | NameFault {
  return checked(`${service}-${cluster}`);
}

/** `<service>-federated`, or why there can be no such Service. */
export function federatedName(service: string): string | NameFault {
  return checked(`${service}-federated`);
}

function checked(name: string): string | NameFault {
  if (name.length > maxServiceName) {
    return {
      reason: 'NameTooLong',
      message: `the mirror would be named ${name}: ${name.length} characters, a Service name has at most ${maxServiceName}; export it under a shorter name`,
    };
  }
  if (!serviceName.test(name))
    return { reason: 'InvalidName', message: `${JSON.stringify(name)} is not a Service name` };
  return name;
}

/** What a Service's labels ask for; a fault names the label and its value. */
export type ExportRequest =
  | { kind: 'none' }
  | { kind: 'export'; mode: ExportMode; exported: boolean; federated: boolean }
  | { kind: 'fault'; reason: 'InvalidLabel'; message: string };

export function exportRequest(serviceLabels: Readonly<Record<string, string>> | undefined): ExportRequest {
  const exported = serviceLabels?.[labels.exported];
  const federated = serviceLabels?.[labels.federated];
  // What mirroring made here is never exported again: no daisy chains.
  if (serviceLabels?.[labels.mirroredService] !== undefined) return { kind: 'none' };
  if (exported === undefined && federated === undefined) return { kind: 'none' };
  if (exported !== undefined && exported !== 'true' && exported !== 'remote-discovery') {
    return fault(labels.exported, exported, '"true" or "remote-discovery"');
  }
  if (federated !== undefined && federated !== 'member')
    return fault(labels.federated, federated, '"member"');
  return {
    kind: 'export',
    mode: exported === 'remote-discovery' ? 'remote-discovery' : 'gateway',
    exported: exported !== undefined,
    federated: federated !== undefined,
  };
}

function fault(label: string, value: string, allowed: string): ExportRequest {
  return {
    kind: 'fault',
    reason: 'InvalidLabel',
    message: `label ${label}=${value} is not known: allowed is ${allowed}; the service is not exported`,
  };
}

/** The mode annotation of a federated Service; anything unknown is the default, with `known` false. */
export function balanceMode(serviceAnnotations: Annotations): {
  mode: BalanceMode;
  known: boolean;
} {
  const value = serviceAnnotations?.[annotations.mode];
  if (value === undefined || value === 'local-first') return { mode: 'local-first', known: true };
  return value === 'balanced' ? { mode: 'balanced', known: true } : { mode: 'local-first', known: false };
}

/** When requests of a federated Service leave the cluster although some of its own endpoints are ready. */
export type SpillThreshold =
  | { readonly unit: 'count' | 'percent'; readonly value: number }
  | { readonly fault: string };

/** Undefined without the annotation: one ready endpoint keeps everything in the cluster. */
export function spillThreshold(serviceAnnotations: Annotations): SpillThreshold | undefined {
  const text = serviceAnnotations?.[annotations.spillBelow];
  if (text === undefined) return undefined;
  const [, digits, sign] = /^([1-9]\d{0,3})(%?)$/.exec(text) ?? [];
  const value = Number(digits);
  if (digits === undefined || (sign === '%' && value > 100)) {
    return {
      fault: `annotation ${annotations.spillBelow}=${text} is not known: allowed is a number of endpoints from 1 to 9999, or a share of them from 1% to 100%; requests leave the cluster only when no endpoint is ready`,
    };
  }
  return { unit: sign === '%' ? 'percent' : 'count', value };
}

/** How many of `size` endpoints must be ready for all requests to stay. */
export function enoughReady(threshold: SpillThreshold | undefined, size: number): number {
  if (threshold === undefined || 'fault' in threshold) return 1;
  const { unit, value } = threshold;
  return Math.max(1, unit === 'count' ? value : Math.ceil((size * value) / 100));
}

/** What in the annotations of a federated Service is not understood, with what is allowed. */
export function annotationFaults(serviceAnnotations: Annotations): string[] {
  const faults: string[] = [];
  if (!balanceMode(serviceAnnotations).known) {
    faults.push(
      `annotation ${annotations.mode}=${serviceAnnotations?.[annotations.mode]} is not known: allowed is "local-first" or "balanced"; it is taken for local-first`,
    );
  }
  const threshold = spillThreshold(serviceAnnotations);
  if (threshold !== undefined && 'fault' in threshold) faults.push(threshold.fault);
  return faults;
}
