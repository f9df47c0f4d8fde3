/**
 * Names of the mesh: domains, namespaces, identities. Every other package takes them from here.
 *
 * An identity is a DNS name: `<sa>.<ns>.serviceaccount.identity.mesh.<cluster>.<suffix>`, where `mesh` is the control
 * plane's namespace and `<cluster>.<suffix>` is the trust domain of the cluster.
 */

/** Suffix of all trust domains, unless configured otherwise. */
export const meshDomain = 'mesh.local';
/** Kubernetes API group of annotations and labels. */
const apiGroup = 'mesh.io';
const controlPlaneNamespace = 'mesh';
export const multiclusterNamespace = 'mesh-multicluster';
/** Audience of the projected ServiceAccount tokens that the identity service accepts. */
export const tokenAudience = `identity.${apiGroup}`;

/** Cluster names end up in object names (`<svc>-<cluster>`, at most 63 characters), so they are kept short. */
const maxClusterNameLength = 20;

const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** True for a DNS label as RFC 1123 §2.1 and Kubernetes define it: lower case, at most 63 characters. */
export function isDnsLabel(text: string): boolean {
  return label.test(text);
}

/** True for labels joined by dots, without a trailing dot, at most 253 characters. */
export function isDnsName(text: string): boolean {
  return text.length <= 253 && text.split('.').every(isDnsLabel);
}

/** Undefined when `name` is a valid cluster name, else a sentence that says what is wrong with it. */
export function clusterNameFault(name: string): string | undefined {
  if (name.length > maxClusterNameLength) {
    return `cluster name "${name}" has ${name.length} characters; at most ${maxClusterNameLength} are allowed`;
  }
  if (!isDnsLabel(name)) {
    return `cluster name "${name}" is not a DNS label (lower-case letters, digits and "-" inside)`;
  }
  return undefined;
}

export interface IdentityParts {
  readonly serviceAccount: string;
  readonly namespace: string;
  readonly cluster: string;
}

/** Who a peer is, as its certificate proved it. */
export interface PeerIdentity extends IdentityParts {
  /** The whole DNS name, lower case. */
  readonly name: string;
}

/** Trust domain of a cluster. */
export function trustDomain(cluster: string, suffix: string = meshDomain): string {
  return `${cluster}.${suffix}`;
}

/**
 * The identity of a ServiceAccount. Parts are not checked: from parts that are no DNS labels comes a name that
 * `parseIdentity` refuses and that no issuer signs.
 */
export function identityName(parts: IdentityParts & { readonly suffix?: string }): string {
  const domain = trustDomain(parts.cluster, parts.suffix);
  return `${parts.serviceAccount}.${parts.namespace}.serviceaccount.identity.${controlPlaneNamespace}.${domain}`;
}

/** The parts of an identity under `suffix`, or undefined when `name` is not exactly one. Case is not folded. */
export function parseIdentity(name: string, suffix: string = meshDomain): PeerIdentity | undefined {
  const tail = `.${suffix}`;
  if (name.length > 253 || !name.endsWith(tail)) return undefined;
  const labels = name.slice(0, -tail.length).split('.');
  const [serviceAccount, namespace, kind, service, home, cluster] = labels;
  if (labels.length !== 6 || kind !== 'serviceaccount' || service !== 'identity') return undefined;
  if (home !== controlPlaneNamespace) return undefined;
  if (serviceAccount === undefined || namespace === undefined || cluster === undefined) return undefined;
  if (!isDnsLabel(serviceAccount) || !isDnsLabel(namespace)) return undefined;
  if (clusterNameFault(cluster) !== undefined) return undefined;
  return { name, serviceAccount, namespace, cluster };
}

/** Identity of a cluster's gateway. */
export function gatewayIdentity(cluster: string, suffix: string = meshDomain): string {
  return identityName({ serviceAccount: 'mesh-gateway', namespace: multiclusterNamespace, cluster, suffix });
}

/** Identity of a cluster's mirror controller. */
export function mirrorIdentity(cluster: string, suffix: string = meshDomain): string {
  return identityName({ serviceAccount: 'mesh-mirror', namespace: multiclusterNamespace, cluster, suffix });
}

/** Identity of a control-plane ServiceAccount, for example `mesh-destination`. */
export function controlPlaneIdentity(
  serviceAccount: string,
  cluster: string,
  suffix: string = meshDomain,
): string {
  return identityName({ serviceAccount, namespace: controlPlaneNamespace, cluster, suffix });
}
