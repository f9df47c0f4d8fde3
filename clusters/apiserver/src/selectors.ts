/** Label and field selectors of list, watch and deletecollection, and label selectors inside objects. */
import { at, isObject, objectAt, textAt, textsAt, type Json } from './json.ts';
import type { KubeObject } from './object.ts';

export type Matcher = (object: KubeObject) => boolean;
export type Selector = { readonly matches: Matcher } | { readonly fault: string };

type LabelTest = (labels: Readonly<Record<string, Json>>) => boolean;

const labelKey = /^([a-z0-9A-Z]([-a-z0-9A-Z.]*[a-z0-9A-Z])?\/)?[a-zA-Z0-9]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?$/;
const labelValue = /^([a-zA-Z0-9]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?)?$/;

function labelTest(term: string): LabelTest | undefined {
  const set = /^\s*([^\s!=,()]+)\s+(in|notin)\s*\(([^()]*)\)\s*$/.exec(term);
  if (set !== null) {
    const [, key = '', operator, list = ''] = set;
    const values = list.split(',').map((value) => value.trim());
    if (!labelKey.test(key) || !values.every((value) => labelValue.test(value))) return undefined;
    return operator === 'in'
      ? (labels) => typeof labels[key] === 'string' && values.includes(labels[key])
      : (labels) => typeof labels[key] !== 'string' || !values.includes(labels[key]);
  }
  const equality = /^\s*([^\s!=,()]+)\s*(==|=|!=)\s*([^\s!=,()]*)\s*$/.exec(term);
  if (equality !== null) {
    const [, key = '', operator, value = ''] = equality;
    if (!labelKey.test(key) || !labelValue.test(value)) return undefined;
    return operator === '!=' ? (labels) => labels[key] !== value : (labels) => labels[key] === value;
  }
  const order = /^\s*([^\s!=,()<>]+)\s*([<>])\s*(-?\d+)\s*$/.exec(term);
  if (order !== null) {
    const [, key = '', operator, bound = ''] = order;
    if (!labelKey.test(key)) return undefined;
    return (labels) => {
      const value = labels[key];
      if (typeof value !== 'string' || !/^[-+]?\d+$/.test(value)) return false;
      return operator === '>' ? BigInt(value) > BigInt(bound) : BigInt(value) < BigInt(bound);
    };
  }
  const existence = /^\s*(!?)\s*([^\s!=,()]+)\s*$/.exec(term);
  const key = existence?.[2];
  if (existence === null || key === undefined || !labelKey.test(key)) return undefined;
  return existence[1] === '!'
    ? (labels) => !Object.hasOwn(labels, key)
    : (labels) => Object.hasOwn(labels, key);
}

/** Splits on commas outside parentheses. */
function terms(text: string): string[] {
  return text.split(/,(?![^()]*\))/);
}

export function parseLabelSelector(text: string): Selector {
  if (text.trim() === '') return { matches: () => true };
  const tests: LabelTest[] = [];
  for (const term of terms(text)) {
    const test = labelTest(term);
    if (test === undefined) return { fault: `unable to parse requirement: ${JSON.stringify(term.trim())}` };
    tests.push(test);
  }
  return {
    matches: (object) => {
      const labels = objectAt(object, 'metadata', 'labels') ?? {};
      return tests.every((test) => test(labels));
    },
  };
}

/** A metav1.LabelSelector; undefined or empty selects everything. */
export function labelSelectorMatches(
  selector: Json | undefined,
  labels: Readonly<Record<string, Json>>,
): boolean {
  if (!isObject(selector)) return true;
  for (const [key, value] of Object.entries(objectAt(selector, 'matchLabels') ?? {})) {
    if (labels[key] !== value) return false;
  }
  const expressions = selector['matchExpressions'];
  for (const expression of Array.isArray(expressions) ? expressions : []) {
    const key = textAt(expression, 'key') ?? '';
    const values: Json[] = textsAt(expression, 'values');
    const value = labels[key];
    const holds = {
      In: value !== undefined && values.includes(value),
      NotIn: value === undefined || !values.includes(value),
      Exists: value !== undefined,
      DoesNotExist: value === undefined,
    }[textAt(expression, 'operator') ?? ''];
    if (holds !== true) return false;
  }
  return true;
}

/** Fields that a field selector may name, per kind, beside metadata.name and metadata.namespace. */
const selectable: Readonly<Record<string, readonly string[]>> = {
  Pod: [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'spec.hostNetwork',
    'status.phase',
    'status.podIP',
    'status.nominatedNodeName',
  ],
  Event: [
    'involvedObject.kind',
    'involvedObject.namespace',
    'involvedObject.name',
    'involvedObject.uid',
    'involvedObject.apiVersion',
    'involvedObject.resourceVersion',
    'involvedObject.fieldPath',
    'reason',
    'reportingComponent',
    'source',
    'type',
  ],
  Node: ['spec.unschedulable'],
  Namespace: ['status.phase'],
  Secret: ['type'],
  Service: ['spec.clusterIP', 'spec.type'],
  ReplicaSet: ['status.replicas'],
};

const booleanFields: ReadonlySet<string> = new Set(['spec.unschedulable', 'spec.hostNetwork']);

function unknownField(field: string, kind: string): string {
  return selectable[kind] === undefined
    ? `${JSON.stringify(field)} is not a known field selector: only "metadata.name", "metadata.namespace"`
    : `field label not supported: ${field}`;
}

export function parseFieldSelector(
  text: string,
  kind: string,
  extraFields: readonly string[] = [],
): Selector {
  if (text.trim() === '') return { matches: () => true };
  const tests: Matcher[] = [];
  for (const term of text.split(',')) {
    const match = /^\s*([^=!\s]+)\s*(==|=|!=)\s*(.*?)\s*$/.exec(term);
    const [, field = '', operator, expected = ''] = match ?? [];
    if (match === null) return { fault: `invalid selector: '${text}'; can't understand '${term}'` };
    const known = ['metadata.name', 'metadata.namespace', ...(selectable[kind] ?? []), ...extraFields];
    if (!known.includes(field)) return { fault: unknownField(field, kind) };
    const path = field === 'source' ? ['source', 'component'] : field.split('.');
    tests.push((object) => {
      const value = at(object, ...path);
      const actual = value === undefined || value === null ? '' : String(value);
      // Booleans that are unset select as "false", as in the real field getters.
      const normal = actual === '' && booleanFields.has(field) ? 'false' : actual;
      return (normal === expected) === (operator !== '!=');
    });
  }
  return { matches: (object) => tests.every((test) => test(object)) };
}
