/** Names, labels and annotations: RFC 1123, RFC 1035 and the rules of metadata. */
import type { Faults } from './faults.ts';
import { at, isObject, listAt, textAt, type Json } from './json.ts';
import type { KubeObject } from './object.ts';
import type { NameRule } from './resources.ts';

interface Pattern {
  readonly form: RegExp;
  /** How Kubernetes words a text that does not match, with the examples it gives. */
  readonly fault: string;
}

/** The source of a pattern is shown as Kubernetes writes it: without the anchors. */
function pattern(source: string, rule: string, ...examples: string[]): Pattern {
  const shown = examples.map((example) => `'${example}'`).join(',  or ');
  return {
    form: new RegExp(`^(?:${source})$`),
    fault: `${rule} (e.g. ${shown}, regex used for validation is '${source}')`,
  };
}

const edges = 'and must start and end with an alphanumeric character';
const labelForm = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';

const patterns = {
  subdomain: pattern(
    `${labelForm}(\\.${labelForm})*`,
    `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', ${edges}`,
    'example.com',
  ),
  label: pattern(
    labelForm,
    `a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', ${edges}`,
    ...['my-name', '123-abc'],
  ),
  label1035: pattern(
    '[a-z]([-a-z0-9]*[a-z0-9])?',
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
    ...['my-name', 'abc-123'],
  ),
  qualified: pattern(
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]',
    `must consist of alphanumeric characters, '-', '_' or '.', ${edges}`,
    ...['MyName', 'my.name', '123-abc'],
  ),
  labelValue: pattern(
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?',
    `a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', ${edges}`,
    ...['MyValue', 'my_value', '12345'],
  ),
  dataKey: pattern(
    '[-._a-zA-Z0-9]+',
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    ...['key.name', 'KEY_NAME', 'key-name'],
  ),
} satisfies Record<string, Pattern>;

function check(text: string, { form, fault }: Pattern, longest: number): string | undefined {
  if (text.length > longest) return `must be no more than ${longest} characters`;
  return form.test(text) ? undefined : fault;
}

/** What is wrong with `name`, or undefined. */
export function nameFault(name: string, rule: NameRule): string | undefined {
  switch (rule) {
    case 'subdomain':
      return check(name, patterns.subdomain, 253);
    case 'label':
      return name.length <= 63 && name.includes('.') && patterns.subdomain.form.test(name)
        ? 'must not contain dots'
        : check(name, patterns.label, 63);
    case 'label1035':
      return check(name, patterns.label1035, 63);
    case 'path':
      return name === '.' || name === '..' || /[/%]/.test(name)
        ? "may not be '.' or '..' and may not contain '/' or '%'"
        : undefined;
  }
}

/** What is wrong with a key of a ConfigMap or Secret. */
export function dataKeyFault(key: string): string | undefined {
  return check(key, patterns.dataKey, 253);
}

/** What is wrong with a qualified name, such as the key of a label: an optional subdomain, a slash, and a name. */
function keyFaults(key: string): string[] {
  const faults: string[] = [];
  const slash = key.indexOf('/');
  const name = key.slice(slash + 1);
  if (slash === 0) faults.push('prefix part must be non-empty');
  else if (slash > 0) {
    const fault = nameFault(key.slice(0, slash), 'subdomain');
    if (fault !== undefined) faults.push(`prefix part ${fault}`);
  }
  if (name === '') faults.push('name part must be non-empty');
  const fault = check(name, patterns.qualified, 63);
  if (fault !== undefined) faults.push(`name part ${fault}`);
  return faults;
}

export function validateLabels(labels: Json | undefined, field: string, faults: Faults): void {
  if (labels === undefined || labels === null) return;
  if (!isObject(labels)) {
    faults.typeInvalid(field, labels, 'must be a map of strings');
    return;
  }
  for (const [key, value] of Object.entries(labels)) {
    for (const fault of keyFaults(key)) faults.invalid(field, key, fault);
    if (typeof value !== 'string') faults.typeInvalid(field, value, 'must be a string');
    else {
      const fault = check(value, patterns.labelValue, 63);
      if (fault !== undefined) faults.invalid(field, value, fault);
    }
  }
}

/** Sum of all keys and values of the annotations of one object. */
const annotationBytes = 256 * 1024;

/** @param ownFinalizers finalizers need no domain: of kinds that the server itself did not bring */
export function validateMetadata(
  object: KubeObject,
  { rule, ownFinalizers }: { rule: NameRule; ownFinalizers: boolean },
  faults: Faults,
): void {
  const { metadata } = object;
  if (typeof metadata.name !== 'string' || metadata.name === '') {
    faults.required('metadata.name', 'name or generateName is required');
  } else {
    const fault = nameFault(metadata.name, rule);
    if (fault !== undefined) faults.invalid('metadata.name', metadata.name, fault);
  }
  validateLabels(metadata['labels'], 'metadata.labels', faults);
  const annotations = metadata['annotations'];
  let size = 0;
  for (const [key, value] of Object.entries(isObject(annotations) ? annotations : {})) {
    for (const fault of keyFaults(key.toLowerCase())) faults.invalid('metadata.annotations', key, fault);
    if (typeof value !== 'string') faults.typeInvalid('metadata.annotations', value, 'must be a string');
    else size += key.length + Buffer.byteLength(value);
  }
  if (size > annotationBytes) {
    faults.invalid('metadata.annotations', size, `must have at most ${annotationBytes} bytes`);
  }
  for (const [index, finalizer] of listAt(metadata, 'finalizers').entries()) {
    validateFinalizer(finalizer, { field: `metadata.finalizers[${index}]`, ownFinalizers }, faults);
  }
  const owners = listAt(metadata, 'ownerReferences');
  const controllers = owners.filter((owner) => at(owner, 'controller') === true);
  if (controllers.length > 1) {
    const [first, second] = controllers.map((owner) => `${textAt(owner, 'kind')}/${textAt(owner, 'name')}`);
    const why = `Only one reference can have Controller set to true. Found "true" in references for ${first} and ${second}`;
    faults.invalid('metadata.ownerReferences', owners, why);
  }
  for (const owner of owners) {
    for (const member of ['apiVersion', 'kind', 'name', 'uid']) {
      if ((textAt(owner, member) ?? '') === '') {
        faults.invalid(`metadata.ownerReferences.${member}`, '', 'must not be empty');
      }
    }
  }
}

const standardFinalizers: ReadonlySet<string> = new Set(['kubernetes', 'orphan', 'foregroundDeletion']);

function validateFinalizer(
  finalizer: Json,
  { field, ownFinalizers }: { field: string; ownFinalizers: boolean },
  faults: Faults,
): void {
  const name = typeof finalizer === 'string' ? finalizer : '';
  for (const fault of keyFaults(name)) faults.invalid(field, finalizer, fault);
  if (!ownFinalizers && !name.includes('/') && !standardFinalizers.has(name)) {
    faults.invalid(field, finalizer, 'name is neither a standard finalizer name nor is it fully qualified');
  }
}
