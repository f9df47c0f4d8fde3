/** Deployments, ReplicaSets and StatefulSets. */
import type { Faults } from '../faults.ts';
import { at, clone, deepEqual, isObject, objectAt, type Json, type JsonObject } from '../json.ts';
import type { KubeObject } from '../object.ts';
import { labelSelectorMatches } from '../selectors.ts';
import { defaultPodSpec, validateTemplate } from './pod.ts';
import { section, setDefault, type KindRules } from './rules.ts';

function defaultWorkload(object: KubeObject): JsonObject {
  const spec = section(object, 'spec');
  setDefault(spec, 'replicas', 1);
  const template = section(spec, 'template');
  section(template, 'metadata');
  defaultPodSpec(section(template, 'spec'));
  return spec;
}

function validateWorkload(object: KubeObject, faults: Faults, current: KubeObject | undefined): void {
  const spec = object['spec'];
  const replicas = at(spec, 'replicas');
  if (typeof replicas !== 'number' || !Number.isInteger(replicas) || replicas < 0) {
    faults.invalid('spec.replicas', replicas, 'must be greater than or equal to 0');
  }
  const selector = objectAt(spec, 'selector');
  const labels = objectAt(spec, 'template', 'metadata', 'labels');
  const mismatch = '`selector` does not match template `labels`';
  if (selector === undefined) {
    faults.required('spec.selector');
    faults.invalid('spec.template.metadata.labels', labels, mismatch);
  } else if (Object.keys(selector).length === 0) {
    faults.invalid('spec.selector', selector, `empty selector is invalid for ${object.kind.toLowerCase()}`);
  } else {
    if (!labelSelectorMatches(selector, labels ?? {})) {
      faults.invalid('spec.template.metadata.labels', labels, mismatch);
    }
  }
  validateTemplate(spec, faults);
  if (current !== undefined && !deepEqual(at(current, 'spec', 'selector'), selector)) {
    faults.invalid('spec.selector', selector, 'field is immutable');
  }
}

/** A rolling update that may neither add a pod nor miss one never moves. */
function validateRolling(rolling: Json | undefined, faults: Faults): void {
  const field = 'spec.strategy.rollingUpdate';
  for (const name of ['maxUnavailable', 'maxSurge']) {
    const amount = at(rolling, name);
    const here = `${field}.${name}`;
    if (typeof amount === 'number' && amount < 0) {
      faults.invalid(here, amount, 'must be greater than or equal to 0');
    } else if (typeof amount === 'string' && !/^[0-9]+%$/.test(amount)) {
      faults.invalid(here, amount, percentageFault);
    }
  }
  const none = (amount: Json | undefined): boolean => amount === 0 || /^0+%$/.test(String(amount));
  const unavailable = at(rolling, 'maxUnavailable');
  if (none(unavailable) && none(at(rolling, 'maxSurge'))) {
    faults.invalid(`${field}.maxUnavailable`, unavailable, 'may not be 0 when `maxSurge` is 0');
  }
  const percent = typeof unavailable === 'string' ? Number(/^([0-9]+)%$/.exec(unavailable)?.[1] ?? 0) : 0;
  if (percent > 100) faults.invalid(`${field}.maxUnavailable`, unavailable, 'must not be greater than 100%');
}

const percentageFault =
  "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

export const deploymentRules: KindRules = {
  defaults(deployment) {
    const spec = defaultWorkload(deployment);
    const strategy = section(spec, 'strategy');
    setDefault(strategy, 'type', 'RollingUpdate');
    if (strategy['type'] === 'RollingUpdate') {
      const rolling = section(strategy, 'rollingUpdate');
      setDefault(rolling, 'maxUnavailable', '25%');
      setDefault(rolling, 'maxSurge', '25%');
    }
    setDefault(spec, 'revisionHistoryLimit', 10);
    setDefault(spec, 'progressDeadlineSeconds', 600);
  },
  validate(deployment, faults, current) {
    validateWorkload(deployment, faults, current);
    const type = at(deployment, 'spec', 'strategy', 'type');
    if (type !== 'RollingUpdate' && type !== 'Recreate') {
      faults.unsupported('spec.strategy.type', type, ['Recreate', 'RollingUpdate']);
    }
    if (type === 'RollingUpdate') {
      validateRolling(at(deployment, 'spec', 'strategy', 'rollingUpdate'), faults);
    }
    if (type === 'Recreate' && at(deployment, 'spec', 'strategy', 'rollingUpdate') !== undefined) {
      faults.forbidden(
        'spec.strategy.rollingUpdate',
        "may not be specified when strategy `type` is 'Recreate'",
      );
    }
  },
};

export const replicaSetRules: KindRules = {
  defaults(replicaSet) {
    const spec = defaultWorkload(replicaSet);
    const labels = objectAt(spec, 'template', 'metadata', 'labels');
    if (labels === undefined) return;
    setDefault(replicaSet.metadata, 'labels', clone(labels));
    setDefault(spec, 'selector', { matchLabels: clone(labels) });
  },
  initialStatus: () => ({ replicas: 0 }),
  validate: validateWorkload,
};

/** What an update of a StatefulSet may change. */
const mutable = [
  'replicas',
  'ordinals',
  'template',
  'updateStrategy',
  'revisionHistoryLimit',
  'persistentVolumeClaimRetentionPolicy',
  'minReadySeconds',
];

/** `'a', 'b' and 'c'`. */
function namesOf(names: readonly string[]): string {
  const quoted = names.map((name) => `'${name}'`);
  return `${quoted.slice(0, -1).join(', ')} and ${quoted.at(-1)}`;
}

function immutablePart(object: KubeObject): JsonObject {
  const spec = object['spec'];
  return Object.fromEntries(
    Object.entries(isObject(spec) ? spec : {}).filter(([name]) => !mutable.includes(name)),
  );
}

export const statefulSetRules: KindRules = {
  defaults(set) {
    const spec = defaultWorkload(set);
    setDefault(spec, 'podManagementPolicy', 'OrderedReady');
    setDefault(spec, 'revisionHistoryLimit', 10);
    setDefault(spec, 'serviceName', '');
    const strategy = section(spec, 'updateStrategy');
    setDefault(strategy, 'type', 'RollingUpdate');
    if (strategy['type'] === 'RollingUpdate') setDefault(section(strategy, 'rollingUpdate'), 'partition', 0);
    const retention = section(spec, 'persistentVolumeClaimRetentionPolicy');
    setDefault(retention, 'whenDeleted', 'Retain');
    setDefault(retention, 'whenScaled', 'Retain');
  },
  initialStatus: () => ({ replicas: 0, availableReplicas: 0 }),
  validate(set, faults, current) {
    validateWorkload(set, faults, undefined);
    if (current !== undefined && !deepEqual(immutablePart(set), immutablePart(current))) {
      faults.forbidden(
        'spec',
        `updates to statefulset spec for fields other than ${namesOf(mutable)} are forbidden`,
      );
    }
  },
};
