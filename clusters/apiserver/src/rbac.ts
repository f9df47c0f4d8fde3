/** Role-based access control, evaluated over the stored Role and binding objects. `system:masters` may do everything. */
import type { User } from './authentication.ts';
import { listAt, textAt, textsAt, type Json } from './json.ts';
import type { KubeObject } from './object.ts';
import type { Store } from './store.ts';

export interface Attributes {
  readonly verb: string;
  /** Undefined for a resource request. */
  readonly path?: string;
  readonly group?: string;
  readonly resource?: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
}

export interface Decision {
  readonly allowed: boolean;
  readonly reason: string;
}

const rbac = 'rbac.authorization.k8s.io';

function covers(list: readonly string[], value: string): boolean {
  return list.includes('*') || list.includes(value);
}

function pathCovers(patterns: readonly string[], path: string): boolean {
  return patterns.some((pattern) =>
    pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : pattern === path,
  );
}

export function ruleAllows(rule: Json, wanted: Attributes): boolean {
  if (!covers(textsAt(rule, 'verbs'), wanted.verb)) return false;
  if (wanted.path !== undefined) return pathCovers(textsAt(rule, 'nonResourceURLs'), wanted.path);
  if (!covers(textsAt(rule, 'apiGroups'), wanted.group ?? '')) return false;
  const resources = textsAt(rule, 'resources');
  const subresource = wanted.subresource ?? '';
  const full = subresource === '' ? (wanted.resource ?? '') : `${wanted.resource}/${subresource}`;
  if (!covers(resources, full) && !(subresource !== '' && resources.includes(`*/${subresource}`)))
    return false;
  const names = textsAt(rule, 'resourceNames');
  return names.length === 0 || names.includes(wanted.name ?? '');
}

/** `User "bob"`, as reasons of decisions name a subject. */
function describeSubject(subject: Json, bindingNamespace: string): string {
  const name = textAt(subject, 'name') ?? '';
  const kind = textAt(subject, 'kind') ?? '';
  return kind === 'ServiceAccount'
    ? `${kind} "${name}/${textAt(subject, 'namespace') ?? bindingNamespace}"`
    : `${kind} "${name}"`;
}

function subjectIs(subject: Json, user: User, bindingNamespace: string): boolean {
  const name = textAt(subject, 'name') ?? '';
  switch (textAt(subject, 'kind')) {
    case 'User':
      return user.name === name;
    case 'Group':
      return user.groups.includes(name);
    case 'ServiceAccount':
      return (
        user.name === `system:serviceaccount:${textAt(subject, 'namespace') ?? bindingNamespace}:${name}`
      );
    default:
      return false;
  }
}

export interface GrantedRule {
  readonly rule: Json;
  /** For the reason of a decision. */
  readonly binding: string;
}

export class RbacAuthorizer {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  authorize(user: User, wanted: Attributes): Decision {
    if (user.groups.includes('system:masters')) return { allowed: true, reason: '' };
    for (const { rule, binding } of this.rulesOf(user, wanted.path === undefined ? wanted.namespace : '')) {
      if (ruleAllows(rule, wanted)) {
        return { allowed: true, reason: `RBAC: allowed by ${binding}` };
      }
    }
    return { allowed: false, reason: '' };
  }

  /** Every rule that holds for `user` in `namespace` (undefined or empty: cluster-wide rules only). */
  *rulesOf(user: User, namespace = ''): Generator<GrantedRule> {
    for (const binding of this.#store.list(`${rbac}/clusterrolebindings`)) {
      yield* this.#granted(user, binding, '');
    }
    if (namespace === '') return;
    for (const binding of this.#store.list(`${rbac}/rolebindings`, namespace)) {
      yield* this.#granted(user, binding, namespace);
    }
  }

  /** The rules a role reference stands for; empty when it does not exist. */
  rulesOfRole(reference: Json | undefined, namespace: string): Json[] {
    const name = textAt(reference, 'name') ?? '';
    const role =
      textAt(reference, 'kind') === 'Role'
        ? this.#store.get(`${rbac}/roles`, namespace, name)
        : this.#store.get(`${rbac}/clusterroles`, '', name);
    return listAt(role, 'rules');
  }

  *#granted(user: User, binding: KubeObject, namespace: string): Generator<GrantedRule> {
    const subject = listAt(binding, 'subjects').find((each) => subjectIs(each, user, namespace));
    if (subject === undefined) return;
    const { name } = binding.metadata;
    const role = `${textAt(binding, 'roleRef', 'kind')} "${textAt(binding, 'roleRef', 'name')}"`;
    const label = `${binding.kind} "${name}${namespace === '' ? '' : `/${namespace}`}" of ${role} to ${describeSubject(subject, namespace)}`;
    for (const rule of this.rulesOfRole(binding['roleRef'], namespace)) yield { rule, binding: label };
  }
}

/** The sentence of a 403, as the real authorizer words it. */
export function denial(user: User, wanted: Attributes): string {
  const who = `User "${user.name}" cannot ${wanted.verb}`;
  if (wanted.path !== undefined) return `${who} path "${wanted.path}"`;
  const sub = wanted.subresource === undefined || wanted.subresource === '' ? '' : `/${wanted.subresource}`;
  const where =
    wanted.namespace === undefined || wanted.namespace === ''
      ? ' at the cluster scope'
      : ` in the namespace "${wanted.namespace}"`;
  return `${who} resource "${wanted.resource}${sub}" in API group "${wanted.group ?? ''}"${where}`;
}
