/** RBAC objects and webhook configurations. */
import type { Faults } from '../faults.ts';
import { at, deepEqual, isObject, listAt, textAt, textsAt, type Json } from '../json.ts';
import type { KubeObject } from '../object.ts';
import { objectsIn, setDefault, type KindRules } from './rules.ts';

const rbacGroup = 'rbac.authorization.k8s.io';

function validateRules(role: KubeObject, faults: Faults): void {
  for (const [index, rule] of listAt(role, 'rules').entries()) {
    const field = `rules[${index}]`;
    if (textsAt(rule, 'verbs').length === 0) {
      faults.required(`${field}.verbs`, 'verbs must contain at least one value');
    }
    const urls = textsAt(rule, 'nonResourceURLs');
    if (urls.length > 0) {
      if (role.kind === 'Role') {
        faults.invalid(
          `${field}.nonResourceURLs`,
          urls,
          'namespaced rules cannot apply to non-resource URLs',
        );
      }
      continue;
    }
    if (textsAt(rule, 'apiGroups').length === 0) {
      faults.required(`${field}.apiGroups`, 'resource rules must supply at least one api group');
    }
    if (textsAt(rule, 'resources').length === 0) {
      faults.required(`${field}.resources`, 'resource rules must supply at least one resource');
    }
  }
}

export const roleRules: KindRules = {
  defaults(role) {
    setDefault(role, 'rules', []);
  },
  validate: validateRules,
};

/** Kubernetes shows this value by the names its program has for the members. */
function asInGo(value: Json | undefined): Json {
  const names: Readonly<Record<string, string>> = { apiGroup: 'APIGroup', kind: 'Kind', name: 'Name' };
  if (!isObject(value)) return value ?? null;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [names[key] ?? key, member ?? null]),
  );
}

export const bindingRules: KindRules = {
  defaults(binding) {
    const reference = binding['roleRef'];
    if (isObject(reference)) setDefault(reference, 'apiGroup', rbacGroup);
    for (const subject of objectsIn(binding, 'subjects')) {
      if (subject['kind'] !== 'ServiceAccount') setDefault(subject, 'apiGroup', rbacGroup);
    }
  },
  validate(binding, faults, current) {
    const kind = textAt(binding, 'roleRef', 'kind');
    const kinds = binding.kind === 'RoleBinding' ? ['ClusterRole', 'Role'] : ['ClusterRole'];
    if (kind === undefined || !kinds.includes(kind)) faults.unsupported('roleRef.kind', kind, kinds);
    if ((textAt(binding, 'roleRef', 'name') ?? '') === '') faults.required('roleRef.name');
    if (current !== undefined && !deepEqual(current['roleRef'], binding['roleRef'])) {
      faults.invalid('roleRef', asInGo(binding['roleRef']), 'cannot change roleRef');
    }
    for (const [index, subject] of listAt(binding, 'subjects').entries()) {
      const field = `subjects[${index}]`;
      const subjectKind = textAt(subject, 'kind');
      if ((textAt(subject, 'name') ?? '') === '') faults.required(`${field}.name`);
      if (subjectKind === 'ServiceAccount') {
        if ((textAt(subject, 'namespace') ?? '') === '' && binding.kind === 'ClusterRoleBinding') {
          faults.required(`${field}.namespace`);
        }
      } else if (subjectKind !== 'User' && subjectKind !== 'Group') {
        faults.unsupported(`${field}.kind`, subjectKind, ['ServiceAccount', 'User', 'Group']);
      }
    }
  },
};

export const webhookConfigurationRules: KindRules = {
  defaults(configuration) {
    for (const webhook of objectsIn(configuration, 'webhooks')) {
      setDefault(webhook, 'failurePolicy', 'Fail');
      setDefault(webhook, 'matchPolicy', 'Equivalent');
      setDefault(webhook, 'timeoutSeconds', 10);
      setDefault(webhook, 'namespaceSelector', {});
      setDefault(webhook, 'objectSelector', {});
      if (configuration.kind === 'MutatingWebhookConfiguration') {
        setDefault(webhook, 'reinvocationPolicy', 'Never');
      }
      const service = at(webhook, 'clientConfig', 'service');
      if (isObject(service)) setDefault(service, 'port', 443);
      for (const rule of objectsIn(webhook, 'rules')) setDefault(rule, 'scope', '*');
    }
  },
  validate(configuration, faults) {
    for (const [index, webhook] of listAt(configuration, 'webhooks').entries()) {
      const field = `webhooks[${index}]`;
      if ((textAt(webhook, 'name') ?? '') === '') faults.required(`${field}.name`);
      const sideEffects = textAt(webhook, 'sideEffects');
      if (sideEffects !== 'None' && sideEffects !== 'NoneOnDryRun') {
        faults.unsupported(`${field}.sideEffects`, sideEffects, ['None', 'NoneOnDryRun']);
      }
      if (!textsAt(webhook, 'admissionReviewVersions').includes('v1')) {
        faults.invalid(
          `${field}.admissionReviewVersions`,
          at(webhook, 'admissionReviewVersions'),
          'must include at least one of v1',
        );
      }
      const url = at(webhook, 'clientConfig', 'url');
      const service = at(webhook, 'clientConfig', 'service');
      if ((url === undefined) === (service === undefined)) {
        faults.required(`${field}.clientConfig`, 'exactly one of url or service is required');
      }
      if (url !== undefined && !(typeof url === 'string' && url.startsWith('https://'))) {
        faults.invalid(`${field}.clientConfig.url`, url, "'https' is the only allowed URL scheme");
      }
      const policy = textAt(webhook, 'failurePolicy');
      if (policy !== 'Fail' && policy !== 'Ignore') {
        faults.unsupported(`${field}.failurePolicy`, policy, ['Fail', 'Ignore']);
      }
      const timeout = at(webhook, 'timeoutSeconds');
      if (typeof timeout !== 'number' || timeout < 1 || timeout > 30) {
        faults.invalid(
          `${field}.timeoutSeconds`,
          timeout,
          'the timeout value must be between 1 and 30 seconds',
        );
      }
      if (listAt(webhook, 'matchConditions').length > 0) {
        faults.forbidden(`${field}.matchConditions`, 'this server does not evaluate CEL expressions');
      }
    }
  },
};
