import type {
  ClusterRole,
  ClusterRoleBinding,
  ConfigMap,
  CustomResourceDefinition,
  Deployment,
  EndpointSlice,
  Event,
  KubeObject,
  Lease,
  MutatingWebhookConfiguration,
  Namespace,
  Node,
  Pod,
  ReplicaSet,
  Role,
  RoleBinding,
  Secret,
  Service,
  ServiceAccount,
  StatefulSet,
  SubjectAccessReview,
  TokenReview,
  ValidatingWebhookConfiguration,
} from './types.ts';

/** Where objects of one kind live in the API. */
export interface ResourceType<T extends KubeObject = KubeObject> {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** Carries the object's type for the compiler; never set. */
  readonly object?: T;
}

export interface ResourceNames {
  group: string;
  version: string;
  kind: string;
  plural: string;
  namespaced: boolean;
}

/** A type that a CustomResourceDefinition (or discovery) names. */
export function customResource<T extends KubeObject = KubeObject>(names: ResourceNames): ResourceType<T> {
  return Object.freeze({ ...names });
}

/** `v1` or `apps/v1`. */
export function apiVersionOf(type: ResourceType): string {
  return type.group === '' ? type.version : `${type.group}/${type.version}`;
}

/** Splits `apps/v1` into group and version; the core group is empty. */
export function parseApiVersion(apiVersion: string): { group: string; version: string } {
  const slash = apiVersion.indexOf('/');
  if (slash === -1) return { group: '', version: apiVersion };
  return { group: apiVersion.slice(0, slash), version: apiVersion.slice(slash + 1) };
}

interface PathParts {
  namespace?: string | undefined;
  name?: string | undefined;
  subresource?: string | undefined;
}

/** The request path of a collection, an object or a subresource. */
export function resourcePath(type: ResourceType, { namespace, name, subresource }: PathParts = {}): string {
  let path = type.group === '' ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;
  if (type.namespaced && namespace !== undefined) path += `/namespaces/${encodeURIComponent(namespace)}`;
  path += `/${type.plural}`;
  if (name !== undefined) path += `/${encodeURIComponent(name)}`;
  if (subresource !== undefined) path += `/${subresource}`;
  return path;
}

interface Scope {
  namespaced: boolean;
}

function define<T extends KubeObject>(
  apiVersion: string,
  kind: string,
  plural: string,
  { namespaced }: Scope = { namespaced: true },
): ResourceType<T> {
  return customResource<T>({ ...parseApiVersion(apiVersion), kind, plural, namespaced });
}

const clusterWide: Scope = { namespaced: false };

export const configMaps = define<ConfigMap>('v1', 'ConfigMap', 'configmaps');
export const events = define<Event>('v1', 'Event', 'events');
export const namespaces = define<Namespace>('v1', 'Namespace', 'namespaces', clusterWide);
export const nodes = define<Node>('v1', 'Node', 'nodes', clusterWide);
export const pods = define<Pod>('v1', 'Pod', 'pods');
export const secrets = define<Secret>('v1', 'Secret', 'secrets');
export const serviceAccounts = define<ServiceAccount>('v1', 'ServiceAccount', 'serviceaccounts');
export const services = define<Service>('v1', 'Service', 'services');
export const deployments = define<Deployment>('apps/v1', 'Deployment', 'deployments');
export const replicaSets = define<ReplicaSet>('apps/v1', 'ReplicaSet', 'replicasets');
export const statefulSets = define<StatefulSet>('apps/v1', 'StatefulSet', 'statefulsets');
export const endpointSlices = define<EndpointSlice>('discovery.k8s.io/v1', 'EndpointSlice', 'endpointslices');
export const leases = define<Lease>('coordination.k8s.io/v1', 'Lease', 'leases');
const roles = define<Role>('rbac.authorization.k8s.io/v1', 'Role', 'roles');
const roleBindings = define<RoleBinding>('rbac.authorization.k8s.io/v1', 'RoleBinding', 'rolebindings');
export const clusterRoles = define<ClusterRole>(
  'rbac.authorization.k8s.io/v1',
  'ClusterRole',
  'clusterroles',
  clusterWide,
);
const clusterRoleBindings = define<ClusterRoleBinding>(
  'rbac.authorization.k8s.io/v1',
  'ClusterRoleBinding',
  'clusterrolebindings',
  clusterWide,
);
export const customResourceDefinitions = define<CustomResourceDefinition>(
  'apiextensions.k8s.io/v1',
  'CustomResourceDefinition',
  'customresourcedefinitions',
  clusterWide,
);
export const mutatingWebhookConfigurations = define<MutatingWebhookConfiguration>(
  'admissionregistration.k8s.io/v1',
  'MutatingWebhookConfiguration',
  'mutatingwebhookconfigurations',
  clusterWide,
);
const validatingWebhookConfigurations = define<ValidatingWebhookConfiguration>(
  'admissionregistration.k8s.io/v1',
  'ValidatingWebhookConfiguration',
  'validatingwebhookconfigurations',
  clusterWide,
);
export const tokenReviews = define<TokenReview>(
  'authentication.k8s.io/v1',
  'TokenReview',
  'tokenreviews',
  clusterWide,
);
const subjectAccessReviews = define<SubjectAccessReview>(
  'authorization.k8s.io/v1',
  'SubjectAccessReview',
  'subjectaccessreviews',
  clusterWide,
);

/** Every constant above, for tools that map a manifest's apiVersion and kind to a path. */
const builtInResources: readonly ResourceType[] = [
  configMaps,
  events,
  namespaces,
  nodes,
  pods,
  secrets,
  serviceAccounts,
  services,
  deployments,
  replicaSets,
  statefulSets,
  endpointSlices,
  leases,
  roles,
  roleBindings,
  clusterRoles,
  clusterRoleBindings,
  customResourceDefinitions,
  mutatingWebhookConfigurations,
  validatingWebhookConfigurations,
  tokenReviews,
  subjectAccessReviews,
];

/** The built-in type of `apiVersion` and `kind`, if it is one. */
export function findBuiltIn(apiVersion: string, kind: string): ResourceType | undefined {
  return builtInResources.find((type) => type.kind === kind && apiVersionOf(type) === apiVersion);
}
