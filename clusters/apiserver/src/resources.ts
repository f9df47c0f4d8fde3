/** What this server serves: the table of built-in kinds, and the kinds that CustomResourceDefinitions add. */
import type { CustomVersion } from './custom-version.ts';

/** How `metadata.name` is checked: RFC 1123 subdomain or label, RFC 1035 label, or any path segment. */
export type NameRule = 'subdomain' | 'label' | 'label1035' | 'path';

export interface ScalePaths {
  readonly replicas: readonly string[];
  readonly statusReplicas: readonly string[];
  /** Path of the selector: an object for built-in kinds, text for custom ones. */
  readonly selector: readonly string[] | undefined;
}

export interface ResourceInfo {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly singular: string;
  readonly kind: string;
  readonly listKind: string;
  readonly namespaced: boolean;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly status: boolean;
  readonly scale: ScalePaths | undefined;
  /** Further subresources, for discovery. */
  readonly extra: readonly ExtraSubresource[];
  readonly names: NameRule;
  /** Only `create` exists and nothing is stored: the answer is computed. */
  readonly review: boolean;
  readonly custom: CustomVersion | undefined;
}

export interface ExtraSubresource {
  readonly name: string;
  readonly kind: string;
  readonly verbs: readonly string[];
  readonly group?: string;
  readonly version?: string;
}

/** `group/plural`: how the store and the watches name a resource. */
export function storageName(info: { group: string; plural: string }): string {
  return `${info.group}/${info.plural}`;
}

export function groupVersion(info: { group: string; version: string }): string {
  return info.group === '' ? info.version : `${info.group}/${info.version}`;
}

interface Row {
  /** Kind, and the plural where it is not the lower-case kind with an s. */
  kind: string;
  plural?: string;
  short?: string[];
  all?: boolean;
  cluster?: boolean;
  status?: boolean;
  scale?: boolean;
  names?: NameRule;
  review?: boolean;
  extra?: ExtraSubresource[];
}

const workloadScale: ScalePaths = {
  replicas: ['spec', 'replicas'],
  statusReplicas: ['status', 'replicas'],
  selector: ['spec', 'selector'],
};

const builtin: Readonly<Record<string, readonly Row[]>> = {
  v1: [
    {
      kind: 'Namespace',
      short: ['ns'],
      cluster: true,
      status: true,
      names: 'label',
      extra: [{ name: 'finalize', kind: 'Namespace', verbs: ['update'] }],
    },
    { kind: 'Node', short: ['no'], cluster: true, status: true },
    {
      kind: 'Pod',
      short: ['po'],
      all: true,
      status: true,
      extra: [
        { name: 'log', kind: 'Pod', verbs: ['get'] },
        { name: 'binding', kind: 'Binding', verbs: ['create'] },
        { name: 'eviction', kind: 'Eviction', verbs: ['create'], group: 'policy', version: 'v1' },
      ],
    },
    { kind: 'Service', short: ['svc'], all: true, status: true, names: 'label1035' },
    { kind: 'Endpoints', plural: 'endpoints', short: ['ep'] },
    { kind: 'ConfigMap', short: ['cm'] },
    { kind: 'Secret' },
    {
      kind: 'ServiceAccount',
      short: ['sa'],
      extra: [
        {
          name: 'token',
          kind: 'TokenRequest',
          verbs: ['create'],
          group: 'authentication.k8s.io',
          version: 'v1',
        },
      ],
    },
    { kind: 'Event', short: ['ev'] },
  ],
  'apps/v1': [
    { kind: 'Deployment', short: ['deploy'], all: true, status: true, scale: true },
    { kind: 'ReplicaSet', short: ['rs'], all: true, status: true, scale: true },
    { kind: 'StatefulSet', short: ['sts'], all: true, status: true, scale: true },
  ],
  'discovery.k8s.io/v1': [{ kind: 'EndpointSlice' }],
  'coordination.k8s.io/v1': [{ kind: 'Lease' }],
  'policy/v1': [{ kind: 'PodDisruptionBudget', short: ['pdb'], status: true }],
  'rbac.authorization.k8s.io/v1': [
    { kind: 'Role', names: 'path' },
    { kind: 'RoleBinding', names: 'path' },
    { kind: 'ClusterRole', cluster: true, names: 'path' },
    { kind: 'ClusterRoleBinding', cluster: true, names: 'path' },
  ],
  'admissionregistration.k8s.io/v1': [
    { kind: 'MutatingWebhookConfiguration', cluster: true },
    { kind: 'ValidatingWebhookConfiguration', cluster: true },
  ],
  'apiextensions.k8s.io/v1': [
    { kind: 'CustomResourceDefinition', short: ['crd', 'crds'], cluster: true, status: true },
  ],
  'authentication.k8s.io/v1': [
    { kind: 'TokenReview', cluster: true, review: true },
    { kind: 'SelfSubjectReview', cluster: true, review: true },
  ],
  'authorization.k8s.io/v1': [
    { kind: 'SubjectAccessReview', cluster: true, review: true },
    { kind: 'SelfSubjectAccessReview', cluster: true, review: true },
    { kind: 'SelfSubjectRulesReview', plural: 'selfsubjectrulesreviews', cluster: true, review: true },
    { kind: 'LocalSubjectAccessReview', review: true },
  ],
};

function fromRow(row: Row, apiVersion: string): ResourceInfo {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
  return {
    group: group ?? '',
    version: version ?? '',
    plural: row.plural ?? `${row.kind.toLowerCase()}s`,
    singular: row.kind.toLowerCase(),
    kind: row.kind,
    listKind: `${row.kind}List`,
    namespaced: row.cluster !== true,
    shortNames: row.short ?? [],
    categories: row.all === true ? ['all'] : [],
    status: row.status === true,
    scale: row.scale === true ? workloadScale : undefined,
    extra: row.extra ?? [],
    names: row.names ?? 'subdomain',
    review: row.review === true,
    custom: undefined,
  };
}

export class ResourceRegistry {
  readonly #builtin: readonly ResourceInfo[] = Object.entries(builtin).flatMap(([apiVersion, rows]) =>
    rows.map((row) => fromRow(row, apiVersion)),
  );
  /** By name of the CustomResourceDefinition. */
  readonly #custom: Map<string, readonly ResourceInfo[]> = new Map();

  #byPath: ReadonlyMap<string, ResourceInfo> = new Map();

  constructor() {
    this.#index();
  }

  all(): ResourceInfo[] {
    return [...this.#builtin, ...[...this.#custom.values()].flat()];
  }

  find(group: string, version: string, plural: string): ResourceInfo | undefined {
    return this.#byPath.get(`${group}/${version}/${plural}`);
  }

  #index(): void {
    this.#byPath = new Map(this.all().map((info) => [`${info.group}/${info.version}/${info.plural}`, info]));
  }

  /** The built-in kind of that plural. @throws Error for a name that is not in the table above. */
  builtin(plural: string): ResourceInfo {
    const found = this.#builtin.find((info) => info.plural === plural);
    if (found === undefined) throw new Error(`${plural} is not a built-in resource`);
    return found;
  }

  isBuiltinGroup(group: string): boolean {
    return this.#builtin.some((info) => info.group === group);
  }

  setCustom(definition: string, infos: readonly ResourceInfo[]): void {
    if (infos.length === 0) this.#custom.delete(definition);
    else this.#custom.set(definition, infos);
    this.#index();
  }

  /** Versions of each group, preferred one first. The core group is ''. */
  groups(): Map<string, string[]> {
    const groups = new Map<string, string[]>();
    for (const { group, version } of this.all()) {
      const versions = groups.get(group) ?? [];
      if (!versions.includes(version)) versions.push(version);
      groups.set(group, versions);
    }
    return groups;
  }
}
