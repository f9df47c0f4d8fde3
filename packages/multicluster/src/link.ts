/**
 * The Link resource: one per peer cluster, in the namespace of the multi-cluster extension, named after the peer.
 * It carries no credential (docs/decisions/0003): the peer is reached through its gateway, with the workload identities of
 * both clusters, under the shared trust anchor.
 */

export const linkGroup = 'multicluster.mesh.io';
export const linkVersion = 'v1alpha1';
export const multiclusterNamespace = 'mesh-multicluster';
/** Authority on a gateway under which the peer's mirror controller answers. */
export const federationAuthority = 'federation.multicluster.mesh.io';

export interface LinkSpec {
  /** The peer's cluster name; equals metadata.name. The gateway's identity follows from it. */
  cluster: string;
  /** IPv4 addresses or host names of the peer's gateway. */
  gatewayAddresses: string[];
  /** Default 4143. */
  gatewayPort?: number;
  /** Bring the peer's exports here. Default true. */
  import?: boolean;
  /** Let the peer use our exports. Default true. False closes its connections. */
  allow?: boolean;
  /** Namespaces whose services are imported; empty or absent means all that exist here. */
  namespaces?: string[];
  /** Where the peer's pods live, for flat networks; addresses outside are refused. */
  podCIDRs?: string[];
  probe?: { period?: string; timeout?: string; failureThreshold?: number };
  /** SHA-256 fingerprints of the anchors the peer showed when it was linked, for the error that names both. */
  anchorFingerprints?: string[];
}

export type ConditionType = 'Connected' | 'GatewayAlive' | 'TrustCompatible' | 'Synced';

export interface LinkCondition {
  type: ConditionType;
  status: 'True' | 'False' | 'Unknown';
  reason: string;
  message: string;
  lastTransitionTime: string;
}

export interface ImportedService {
  namespace: string;
  name: string;
  /** Name of the mirror here; empty when refused. */
  mirror: string;
  state: 'Mirrored' | 'Refused' | 'Waiting';
  reason: string;
  message: string;
}

export interface LinkStatus {
  /** `metadata.generation` of the Link that the rest is about. */
  observedGeneration?: number;
  gateway?: 'alive' | 'dead' | 'unknown';
  /** Round trip of the last probe, milliseconds. */
  rttMs?: number;
  /** When the peer was last heard, RFC 3339. */
  lastSeen?: string;
  services?: number;
  imports?: ImportedService[];
  conditions?: LinkCondition[];
}

export interface Link {
  apiVersion: `${typeof linkGroup}/${typeof linkVersion}`;
  kind: 'Link';
  metadata: {
    name?: string;
    namespace?: string;
    uid?: string;
    generation?: number;
    resourceVersion?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    finalizers?: string[];
    creationTimestamp?: string;
    deletionTimestamp?: string;
  };
  spec: LinkSpec;
  status?: LinkStatus;
}

/** How many `podCIDRs` a Link holds. */
export const maxPodCIDRs = 64;
/** Of a reason, as the API of Kubernetes has it (metav1.Condition). */
const conditionReason = '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$';
const duration = { type: 'string', pattern: '^[0-9]+(ms|s|m|h)$' };

/** The CustomResourceDefinition, with structural validation so that a malformed Link is refused by name. */
export const linkDefinition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `links.${linkGroup}` },
  spec: {
    group: linkGroup,
    scope: 'Namespaced',
    names: { plural: 'links', singular: 'link', kind: 'Link', listKind: 'LinkList', categories: ['mesh'] },
    versions: [
      {
        name: linkVersion,
        served: true,
        storage: true,
        subresources: { status: {} },
        additionalPrinterColumns: [
          { name: 'Gateway', type: 'string', jsonPath: '.status.gateway' },
          { name: 'RTT-ms', type: 'number', jsonPath: '.status.rttMs' },
          { name: 'Services', type: 'integer', jsonPath: '.status.services' },
          { name: 'Last-Seen', type: 'date', jsonPath: '.status.lastSeen' },
          { name: 'Synced', type: 'string', jsonPath: '.status.conditions[?(@.type=="Synced")].status' },
          { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
        ],
        schema: {
          openAPIV3Schema: {
            type: 'object',
            required: ['spec'],
            properties: {
              spec: {
                type: 'object',
                required: ['cluster', 'gatewayAddresses'],
                properties: {
                  cluster: { type: 'string', maxLength: 20, pattern: '^[a-z]([-a-z0-9]*[a-z0-9])?$' },
                  gatewayAddresses: {
                    type: 'array',
                    minItems: 1,
                    maxItems: 16,
                    items: { type: 'string', minLength: 1, maxLength: 253 },
                  },
                  gatewayPort: { type: 'integer', minimum: 1, maximum: 65535, default: 4143 },
                  import: { type: 'boolean', default: true },
                  allow: { type: 'boolean', default: true },
                  namespaces: { type: 'array', maxItems: 256, items: { type: 'string' } },
                  podCIDRs: {
                    type: 'array',
                    maxItems: maxPodCIDRs,
                    items: { type: 'string', pattern: '^[0-9]{1,3}(\\.[0-9]{1,3}){3}/[0-9]{1,2}$' },
                  },
                  probe: {
                    type: 'object',
                    properties: {
                      period: { ...duration, default: '1s' },
                      timeout: { ...duration, default: '1s' },
                      failureThreshold: { type: 'integer', minimum: 1, maximum: 100, default: 3 },
                    },
                  },
                  anchorFingerprints: { type: 'array', maxItems: 8, items: { type: 'string' } },
                },
              },
              status: {
                type: 'object',
                properties: {
                  observedGeneration: { type: 'integer' },
                  gateway: { type: 'string', enum: ['alive', 'dead', 'unknown'] },
                  rttMs: { type: 'number' },
                  lastSeen: { type: 'string', format: 'date-time' },
                  services: { type: 'integer' },
                  imports: {
                    type: 'array',
                    items: {
                      type: 'object',
                      properties: {
                        namespace: { type: 'string' },
                        name: { type: 'string' },
                        mirror: { type: 'string' },
                        state: { type: 'string' },
                        reason: { type: 'string' },
                        message: { type: 'string' },
                      },
                    },
                  },
                  conditions: {
                    type: 'array',
                    items: {
                      type: 'object',
                      required: ['type', 'status', 'reason', 'message', 'lastTransitionTime'],
                      properties: {
                        type: { type: 'string' },
                        status: { type: 'string', enum: ['True', 'False', 'Unknown'] },
                        reason: { type: 'string', maxLength: 1024, pattern: conditionReason },
                        message: { type: 'string' },
                        lastTransitionTime: { type: 'string', format: 'date-time' },
                      },
                    },
                  },
                },
              },
            },
          },
        },
      },
    ],
  },
} as const;
