import { at, isObject, listAt, textAt, type Json } from '../json.ts';
import { nameFault } from '../names.ts';
import type { KubeObject } from '../object.ts';
import { patternOf } from '../schema.ts';
import { objectsIn, section, setDefault, type KindRules } from './rules.ts';
import { rulesCondition, unevaluatedRules } from './validation-rules.ts';

const storedFinalizer = 'customresourcecleanup.apiextensions.k8s.io';

export const definitionRules: KindRules = {
  defaults(definition) {
    const spec = section(definition, 'spec');
    const names = section(spec, 'names');
    const kind = textAt(names, 'kind') ?? '';
    setDefault(names, 'singular', kind.toLowerCase());
    setDefault(names, 'listKind', `${kind}List`);
    setDefault(spec, 'conversion', { strategy: 'None' });
    if (definition.metadata['deletionTimestamp'] !== undefined) return;
    // Instances go before their definition.
    const finalizers = listAt(definition, 'metadata', 'finalizers');
    if (!finalizers.includes(storedFinalizer)) {
      definition.metadata['finalizers'] = [...finalizers, storedFinalizer];
    }
  },
  initialStatus: acceptedStatus,
  prepareUpdate(next, current) {
    const status = section(next, 'status');
    status['acceptedNames'] = structuredClone(at(next, 'spec', 'names') ?? {});
    const stored = new Set([...listAt(current, 'status', 'storedVersions'), storageVersion(next)]);
    status['storedVersions'] = [...stored].filter((version) => version !== '');
    const others = objectsIn(status, 'conditions').filter(({ type }) => type !== 'ValidationRulesEvaluated');
    status['conditions'] = [...others, ...rulesCondition(next)];
  },
  warnings(definition) {
    const message = unevaluatedRules(definition);
    return message === undefined ? [] : [message];
  },
  validate(definition, faults, current) {
    const group = textAt(definition, 'spec', 'group') ?? '';
    const plural = textAt(definition, 'spec', 'names', 'plural') ?? '';
    if (group === '') faults.required('spec.group');
    else if (!group.includes('.'))
      faults.invalid('spec.group', group, 'should be a domain with at least one dot');
    if (plural === '') faults.required('spec.names.plural');
    else {
      const fault = nameFault(plural, 'label1035');
      if (fault !== undefined) faults.invalid('spec.names.plural', plural, fault);
    }
    if ((textAt(definition, 'spec', 'names', 'kind') ?? '') === '') faults.required('spec.names.kind');
    if (definition.metadata.name !== `${plural}.${group}`) {
      faults.invalid('metadata.name', definition.metadata.name, 'must be spec.names.plural+"."+spec.group');
    }
    const scope = textAt(definition, 'spec', 'scope');
    if (scope !== 'Namespaced' && scope !== 'Cluster') {
      faults.unsupported('spec.scope', scope, ['Cluster', 'Namespaced']);
    }
    if (textAt(definition, 'spec', 'conversion', 'strategy') !== 'None') {
      faults.unsupported('spec.conversion.strategy', at(definition, 'spec', 'conversion', 'strategy'), [
        'None',
      ]);
    }
    if (current !== undefined) {
      for (const field of ['group', 'scope']) {
        const value = at(definition, 'spec', field);
        if (value !== at(current, 'spec', field))
          faults.invalid(`spec.${field}`, value, 'field is immutable');
      }
      if (plural !== at(current, 'spec', 'names', 'plural')) {
        faults.invalid('spec.names.plural', plural, 'field is immutable');
      }
    }
    const versions = listAt(definition, 'spec', 'versions');
    const stored = versions.filter((version) => at(version, 'storage') === true);
    if (stored.length !== 1) {
      faults.invalid(
        'spec.versions',
        versions.map((version) => at(version, 'name') ?? null),
        'must have exactly one version marked as storage version',
      );
    }
    for (const [index, version] of versions.entries()) {
      const field = `spec.versions[${index}]`;
      if ((textAt(version, 'name') ?? '') === '') faults.required(`${field}.name`);
      const schema = at(version, 'schema', 'openAPIV3Schema');
      if (!isObject(schema)) {
        faults.required(`${field}.schema.openAPIV3Schema`, 'schemas are required');
      } else if (schema['type'] !== 'object') {
        faults.invalid(`${field}.schema.openAPIV3Schema.type`, schema['type'], 'must be object at the root');
      } else validateStructure(schema, `${field}.schema.openAPIV3Schema`, faults);
    }
  },
};

/** A structural schema states a type everywhere, except where it preserves or takes int-or-string. */
function validateStructure(
  schema: Json,
  field: string,
  faults: Parameters<NonNullable<KindRules['validate']>>[1],
): void {
  if (!isObject(schema)) return;
  const open =
    schema['x-kubernetes-preserve-unknown-fields'] === true || schema['x-kubernetes-int-or-string'] === true;
  if (!open && textAt(schema, 'type') === undefined) {
    faults.required(`${field}.type`, 'must not be empty for specified object fields');
  }
  const pattern = schema['pattern'];
  if (typeof pattern === 'string' && patternOf(pattern) === undefined) {
    faults.invalid(`${field}.pattern`, pattern, 'must be a valid regular expression');
  }
  const properties = schema['properties'];
  for (const [name, property] of Object.entries(isObject(properties) ? properties : {})) {
    validateStructure(property, `${field}.properties[${name}]`, faults);
  }
  if (schema['items'] !== undefined) validateStructure(schema['items'], `${field}.items`, faults);
  else if (schema['type'] === 'array') faults.required(`${field}.items`, 'must be specified');
}

function storageVersion(definition: KubeObject): string {
  const version = objectsIn(section(definition, 'spec'), 'versions').find((item) => item['storage'] === true);
  return textAt(version, 'name') ?? '';
}

function acceptedStatus(definition: KubeObject): { [name: string]: Json } {
  const names = at(definition, 'spec', 'names');
  const condition = (type: string, reason: string, message: string): Json => ({
    type,
    status: 'True',
    reason,
    message,
  });
  return {
    acceptedNames: {
      listKind: `${textAt(names, 'kind') ?? ''}List`,
      ...(isObject(names) ? structuredClone(names) : {}),
    },
    conditions: [
      condition('NamesAccepted', 'NoConflicts', 'no conflicts found'),
      condition('Established', 'InitialNamesAccepted', 'the initial names have been accepted'),
      ...rulesCondition(definition),
    ],
    storedVersions: [storageVersion(definition)],
  };
}
