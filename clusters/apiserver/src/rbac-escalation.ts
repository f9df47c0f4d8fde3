/**
 * Nobody grants rights they do not have: writing a role needs its rules or the verb `escalate`, writing a binding
 * needs the rules of its role or the verb `bind`.
 */
import type { User } from './authentication.ts';
import { at, deepEqual, listAt, textAt, textsAt, type Json } from './json.ts';
import type { KubeObject } from './object.ts';
import { ruleAllows, type Attributes, type RbacAuthorizer } from './rbac.ts';
import { forbidden } from './status.ts';

const group = 'rbac.authorization.k8s.io';
const roleKinds: ReadonlySet<string> = new Set(['Role', 'ClusterRole']);
const bindingKinds: ReadonlySet<string> = new Set(['RoleBinding', 'ClusterRoleBinding']);

/** Every single right of a rule. A star is a right of its own: only a star covers it. */
function* rightsOf(rule: Json): Generator<Attributes> {
  for (const verb of textsAt(rule, 'verbs')) {
    for (const path of textsAt(rule, 'nonResourceURLs')) yield { verb, path };
    for (const apiGroup of textsAt(rule, 'apiGroups')) {
      for (const full of textsAt(rule, 'resources')) {
        const [resource = '', subresource = ''] = full.split('/');
        const names = textsAt(rule, 'resourceNames');
        for (const name of names.length === 0 ? [''] : names) {
          yield { verb, group: apiGroup, resource, subresource, name };
        }
      }
    }
  }
}

const everything: Attributes = { verb: '*', group: '*', resource: '*' };

interface EscalationContext {
  user: User;
  plural: string;
  authorizer: RbacAuthorizer;
  oldObject: KubeObject | undefined;
}

/** @throws ApiError 403 */
export function refuseEscalation(
  object: KubeObject,
  { user, plural, authorizer, oldObject }: EscalationContext,
): void {
  const { namespace = '', name } = object.metadata;
  const isBinding = bindingKinds.has(object.kind);
  if (!isBinding && !roleKinds.has(object.kind)) return;
  if (user.groups.includes('system:masters')) return;
  const granting = ['rules', 'roleRef', 'subjects', 'aggregationRule'];
  if (oldObject !== undefined && granting.every((part) => deepEqual(object[part], oldObject[part]))) return;
  const reference = object['roleRef'];
  const exempt: Attributes = isBinding
    ? {
        verb: 'bind',
        group,
        resource: textAt(reference, 'kind') === 'Role' ? 'roles' : 'clusterroles',
        namespace,
        name: textAt(reference, 'name') ?? '',
      }
    : { verb: 'escalate', group, resource: plural, namespace, name };
  if (authorizer.authorize(user, exempt).allowed) return;
  const granted = isBinding
    ? authorizer.rulesOfRole(reference, namespace)
    : listAt(object, 'rules').filter((rule) => at(rule, 'verbs') !== undefined);
  if ([object, oldObject].some((role) => at(role, 'aggregationRule') !== undefined)) {
    // Whatever anybody labels later becomes part of such a role.
    if (![...authorizer.rulesOf(user)].some(({ rule }) => ruleAllows(rule, everything))) {
      throw forbidden(
        { group, kind: plural, name },
        'must have cluster-admin privileges to use an aggregationRule',
      );
    }
  }
  const held = [...authorizer.rulesOf(user, namespace)].map(({ rule }) => rule);
  for (const rule of granted) {
    for (const right of rightsOf(rule)) {
      if (held.some((own) => ruleAllows(own, right))) continue;
      throw forbidden(
        { group, kind: plural, name },
        `user "${user.name}" is attempting to grant RBAC permissions not currently held: ${JSON.stringify(rule)}`,
      );
    }
  }
}
