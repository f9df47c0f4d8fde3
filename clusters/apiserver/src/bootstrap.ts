/** Objects that exist in every cluster from its first start: namespaces, the `kubernetes` Service, the default roles. */
import type { Json, JsonObject } from './json.ts';

interface Role {
  name: string;
  rules: Json[];
  subjects?: Json[];
  /** Its rules are also those of this role: the `aggregate-to-` label. */
  partOf?: string;
  /** It has the rules of all roles that are a part of it, which a controller keeps up. */
  aggregates?: boolean;
}

const rule = (groups: string[], resources: string[], verbs: string[]): Json => ({
  apiGroups: groups,
  resources,
  verbs,
});
const group = (name: string): Json => ({ apiGroup: rbacGroup, kind: 'Group', name });
const user = (name: string): Json => ({ apiGroup: rbacGroup, kind: 'User', name });

const rbacGroup = 'rbac.authorization.k8s.io';
const readVerbs = ['get', 'list', 'watch'];
const writeVerbs = ['create', 'delete', 'deletecollection', 'patch', 'update'];
const workloads = ['deployments', 'deployments/scale', 'replicasets', 'replicasets/scale', 'statefulsets'];
const coreRead = ['configmaps', 'endpoints', 'events', 'namespaces', 'pods', 'pods/log', 'pods/status'];
const coreWrite = ['configmaps', 'pods', 'pods/eviction', 'secrets', 'serviceaccounts', 'services'];

const viewRules: Json[] = [
  rule([''], [...coreRead, 'serviceaccounts', 'services', 'services/status'], readVerbs),
  rule(['apps'], workloads, readVerbs),
  rule(['discovery.k8s.io'], ['endpointslices'], readVerbs),
  rule(['policy'], ['poddisruptionbudgets'], readVerbs),
];
const editRules: Json[] = [
  rule([''], ['secrets'], readVerbs),
  rule([''], coreWrite, writeVerbs),
  rule([''], ['serviceaccounts/token'], ['create']),
  rule(['apps'], workloads, writeVerbs),
  rule(['coordination.k8s.io'], ['leases'], [...readVerbs, ...writeVerbs]),
  rule(['policy'], ['poddisruptionbudgets'], writeVerbs),
];
const adminRules: Json[] = [
  rule([rbacGroup], ['roles', 'rolebindings'], [...readVerbs, ...writeVerbs]),
  rule(['authorization.k8s.io'], ['localsubjectaccessreviews'], ['create']),
];
const partOfLabel = (role: string): string => `${rbacGroup}/aggregate-to-${role}`;

const roles: readonly Role[] = [
  {
    name: 'cluster-admin',
    rules: [rule(['*'], ['*'], ['*']), { nonResourceURLs: ['*'], verbs: ['*'] }],
    subjects: [group('system:masters')],
  },
  { name: 'admin', rules: [...editRules, ...viewRules, ...adminRules], aggregates: true },
  { name: 'edit', rules: [...editRules, ...viewRules], aggregates: true, partOf: 'admin' },
  { name: 'view', rules: viewRules, aggregates: true, partOf: 'edit' },
  { name: 'system:aggregate-to-admin', rules: adminRules, partOf: 'admin' },
  { name: 'system:aggregate-to-edit', rules: editRules, partOf: 'edit' },
  { name: 'system:aggregate-to-view', rules: viewRules, partOf: 'view' },
  {
    name: 'system:discovery',
    rules: [
      {
        nonResourceURLs: [
          '/api',
          '/api/*',
          '/apis',
          '/apis/*',
          '/healthz',
          '/livez',
          '/openapi',
          '/openapi/*',
          '/readyz',
          '/version',
          '/version/',
        ],
        verbs: ['get'],
      },
    ],
    subjects: [group('system:authenticated')],
  },
  {
    name: 'system:public-info-viewer',
    rules: [{ nonResourceURLs: ['/healthz', '/livez', '/readyz', '/version', '/version/'], verbs: ['get'] }],
    subjects: [group('system:authenticated'), group('system:unauthenticated')],
  },
  {
    name: 'system:basic-user',
    rules: [
      rule(['authorization.k8s.io'], ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'], ['create']),
      rule(['authentication.k8s.io'], ['selfsubjectreviews'], ['create']),
    ],
    subjects: [group('system:authenticated')],
  },
  {
    name: 'system:service-account-issuer-discovery',
    rules: [{ nonResourceURLs: ['/.well-known/openid-configuration', '/openid/v1/jwks'], verbs: ['get'] }],
    subjects: [group('system:serviceaccounts')],
  },
  {
    name: 'system:auth-delegator',
    rules: [
      rule(['authentication.k8s.io'], ['tokenreviews'], ['create']),
      rule(['authorization.k8s.io'], ['subjectaccessreviews'], ['create']),
    ],
  },
  {
    name: 'system:node',
    rules: [
      rule(
        [''],
        ['configmaps', 'secrets', 'serviceaccounts', 'services', 'endpoints', 'namespaces'],
        readVerbs,
      ),
      rule([''], ['nodes', 'pods'], [...readVerbs, ...writeVerbs]),
      rule([''], ['nodes/status', 'pods/status'], ['get', 'update', 'patch']),
      rule([''], ['serviceaccounts/token', 'pods/eviction'], ['create']),
      rule(['', 'events.k8s.io'], ['events'], ['create', 'update', 'patch']),
      rule(['discovery.k8s.io'], ['endpointslices'], readVerbs),
      rule(['coordination.k8s.io'], ['leases'], [...readVerbs, ...writeVerbs]),
      rule(['authentication.k8s.io'], ['tokenreviews'], ['create']),
    ],
    subjects: [group('system:nodes')],
  },
  {
    // One program runs what are many controllers, each with its own role, in a real controller manager. The garbage
    // collector among them may delete anything, and it works on kinds that do not exist yet.
    name: 'system:kube-controller-manager',
    rules: [rule(['*'], ['*'], ['*']), { nonResourceURLs: ['*'], verbs: ['*'] }],
    subjects: [user('system:kube-controller-manager')],
  },
];

interface BootstrapObject {
  /** `group/plural`. */
  readonly resource: string;
  readonly object: JsonObject;
}

/** In an order in which each one's namespace exists before it. */
export function bootstrapObjects(): BootstrapObject[] {
  const labels = { 'kubernetes.io/bootstrapping': 'rbac-defaults' };
  return [
    ...['default', 'kube-system', 'kube-public', 'kube-node-lease'].map((name) => ({
      resource: '/namespaces',
      object: { apiVersion: 'v1', kind: 'Namespace', metadata: { name } },
    })),
    {
      resource: '/services',
      object: {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: {
          name: 'kubernetes',
          namespace: 'default',
          labels: { component: 'apiserver', provider: 'kubernetes' },
        },
        spec: { ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: 6443 }] },
      },
    },
    ...roles.map(({ name, rules, partOf, aggregates }) => ({
      resource: `${rbacGroup}/clusterroles`,
      object: {
        apiVersion: `${rbacGroup}/v1`,
        kind: 'ClusterRole',
        metadata: {
          name,
          labels: partOf === undefined ? labels : { ...labels, [partOfLabel(partOf)]: 'true' },
        },
        ...(aggregates === true && {
          aggregationRule: { clusterRoleSelectors: [{ matchLabels: { [partOfLabel(name)]: 'true' } }] },
        }),
        rules,
      },
    })),
    ...roles.flatMap(({ name, subjects }) =>
      subjects === undefined
        ? []
        : [
            {
              resource: `${rbacGroup}/clusterrolebindings`,
              object: {
                apiVersion: `${rbacGroup}/v1`,
                kind: 'ClusterRoleBinding',
                metadata: { name, labels },
                roleRef: { apiGroup: rbacGroup, kind: 'ClusterRole', name },
                subjects,
              },
            },
          ],
    ),
  ];
}
