/** Names, labels and annotations: RFC 1123, RFC 1035 and the rules of metadata. */
import type { Faults } from './faults.ts';
import { isObject, listAt, textAt, type Json } from './json.ts';
import type { KubeObject } from './object.ts';
import type { NameRule } from './resources.ts';

const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const label1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const qualifiedName = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;

/** What is wrong with `name`, or undefined. */
export function nameFault(name: string, rule: NameRule): string | undefined {
  switch (rule) {
    case 'subdomain':
      if (name.length > 253) return 'must be no more than 253 characters';
      return subdomain.test(name)
        ? undefined
        : "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
    case 'label':
      if (name.length > 63) return 'must be no more than 63 characters';
      return label.test(name)
        ? undefined
        : "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
    case 'label1035':
      if (name.length > 63) return 'must be no more than 63 characters';
      return label1035.test(name)
        ? undefined
        : "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
    case 'path':
      return name === '.' || name === '..' || /[/%]/.test(name)
        ? "may not be '.' or '..' and may not contain '/' or '%'"
        : undefined;
  }
}

function keyFault(key: string): string | undefined {
  const slash = key.indexOf('/');
  const prefix = slash === -1 ? undefined : key.slice(0, slash);
  const name = key.slice(slash + 1);
  if (prefix !== undefined && nameFault(prefix, 'subdomain') !== undefined) {
    return 'prefix part must be a lowercase RFC 1123 subdomain';
  }
  if (name.length === 0) return 'name part must be non-empty';
  if (name.length > 63) return 'name part must be no more than 63 characters';
  return qualifiedName.test(name)
    ? undefined
    : "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
}

export function validateLabels(labels: Json | undefined, field: string, faults: Faults): void {
  if (labels === undefined || labels === null) return;
  if (!isObject(labels)) {
    faults.typeInvalid(field, labels, 'must be a map of strings');
    return;
  }
  for (const [key, value] of Object.entries(labels)) {
    const fault = keyFault(key);
    if (fault !== undefined) faults.invalid(field, key, fault);
    if (typeof value !== 'string') faults.typeInvalid(field, value, 'must be a string');
    else if (value.length > 63) faults.invalid(field, value, 'must be no more than 63 characters');
    else if (value !== '' && !qualifiedName.test(value)) {
      faults.invalid(
        field,
        value,
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
      );
    }
  }
}

/** Sum of all keys and values of the annotations of one object. */
const annotationBytes = 256 * 1024;

export function validateMetadata(object: KubeObject, rule: NameRule, faults: Faults): void {
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
    const fault = keyFault(key.toLowerCase());
    if (fault !== undefined) faults.invalid('metadata.annotations', key, fault);
    if (typeof value !== 'string') faults.typeInvalid('metadata.annotations', value, 'must be a string');
    else size += key.length + Buffer.byteLength(value);
  }
  if (size > annotationBytes) {
    faults.invalid('metadata.annotations', size, `must have at most ${annotationBytes} bytes`);
  }
  for (const finalizer of listAt(metadata, 'finalizers')) {
    if (typeof finalizer !== 'string' || keyFault(finalizer) !== undefined) {
      faults.invalid('metadata.finalizers', finalizer, 'name is not a qualified name');
    }
  }
  for (const [index, owner] of listAt(metadata, 'ownerReferences').entries()) {
    for (const member of ['apiVersion', 'kind', 'name', 'uid']) {
      if ((textAt(owner, member) ?? '') === '') {
        faults.required(`metadata.ownerReferences[${index}].${member}`, 'must not be empty');
      }
    }
  }
}
