/**
 * Structural schemas of custom kinds (the subset of OpenAPI v3 that apiextensions.k8s.io/v1 allows): validation,
 * defaulting and pruning. CEL rules are not evaluated: see kinds/validation-rules.ts.
 */
import type { Faults } from './faults.ts';
import {
  clone,
  deepEqual,
  isObject,
  listAt,
  numberAt,
  textAt,
  textsAt,
  type Json,
  type JsonObject,
} from './json.ts';

const embedded: ReadonlySet<string> = new Set(['apiVersion', 'kind', 'metadata']);

function preservesUnknown(schema: JsonObject): boolean {
  return schema['x-kubernetes-preserve-unknown-fields'] === true;
}

function memberSchema(schema: JsonObject, name: string): JsonObject | undefined {
  const properties = schema['properties'];
  if (isObject(properties) && Object.hasOwn(properties, name)) {
    const found = properties[name];
    return isObject(found) ? found : undefined;
  }
  const additional = schema['additionalProperties'];
  return isObject(additional) ? additional : additional === true ? {} : undefined;
}

/** Removes, in place, members the schema does not know. Returns their paths. */
export function prune(schema: JsonObject, value: Json | undefined, path = '', root = true): string[] {
  const unknown: string[] = [];
  if (Array.isArray(value)) {
    const items = schema['items'];
    if (!isObject(items)) return unknown;
    for (const [index, item] of value.entries()) {
      unknown.push(...prune(items, item, `${path}[${index}]`, false));
    }
    return unknown;
  }
  if (!isObject(value)) return unknown;
  const whole = root || schema['x-kubernetes-embedded-resource'] === true;
  for (const [name, member] of Object.entries(value)) {
    if (whole && embedded.has(name)) continue;
    const here = path === '' ? name : `${path}.${name}`;
    const known = memberSchema(schema, name);
    if (known !== undefined) {
      // Below additionalProperties: true nothing is specified, so nothing is pruned.
      if (Object.keys(known).length > 0) unknown.push(...prune(known, member, here, false));
    } else if (!preservesUnknown(schema)) {
      delete value[name];
      unknown.push(here);
    }
  }
  return unknown;
}

/**
 * Removes, in place, members that are null where the schema allows no null and has no default: programs in Go send
 * their empty lists and maps so.
 */
export function dropNulls(schema: JsonObject, value: Json | undefined): void {
  if (Array.isArray(value)) {
    const items = schema['items'];
    if (isObject(items)) for (const item of value) dropNulls(items, item);
    return;
  }
  if (!isObject(value)) return;
  for (const [name, member] of Object.entries(value)) {
    const known = memberSchema(schema, name);
    if (known === undefined) continue;
    if (member !== null) dropNulls(known, member);
    else if (isTyped(known) && known['nullable'] !== true && known['default'] === undefined) {
      delete value[name];
    }
  }
}

/** Whether a schema says anything about its values: `{}` takes all, null among them. */
function isTyped(schema: JsonObject): boolean {
  return schema['type'] !== undefined || schema['x-kubernetes-int-or-string'] === true;
}

/** Fills in defaults, in place, wherever the parent exists. */
export function applyDefaults(schema: JsonObject, value: Json | undefined): void {
  if (Array.isArray(value)) {
    const items = schema['items'];
    if (isObject(items)) for (const item of value) applyDefaults(items, item);
    return;
  }
  if (!isObject(value)) return;
  const properties = schema['properties'];
  for (const [name, property] of Object.entries(isObject(properties) ? properties : {})) {
    if (!isObject(property) || property['default'] === undefined) continue;
    if (value[name] === undefined || (value[name] === null && property['nullable'] !== true)) {
      value[name] = clone(property['default']);
    }
  }
  for (const [name, member] of Object.entries(value)) {
    const known = memberSchema(schema, name);
    if (known !== undefined) applyDefaults(known, member);
  }
}

const formats: Readonly<Record<string, RegExp>> = {
  'date-time': /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/,
  date: /^\d{4}-\d\d-\d\d$/,
  ipv4: /^((25[0-5]|2[0-4]\d|1?\d?\d)(\.|$)){4}$/,
  cidr: /^[0-9a-fA-F.:]+\/\d{1,3}$/,
  duration: /^-?((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))+$/,
  uuid: /^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$/,
  byte: /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/,
};

function typeOf(value: Json): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

function isOfType(value: Json, type: string): boolean {
  const actual = typeOf(value);
  return actual === type || (type === 'number' && actual === 'integer');
}

export function validate(schema: JsonObject, value: Json, path: string, faults: Faults, root = false): void {
  if (value === null && schema['nullable'] === true) return;
  if (schema['x-kubernetes-int-or-string'] === true) {
    if (typeOf(value) !== 'integer' && typeof value !== 'string') {
      faults.typeInvalid(
        path,
        value,
        `${path} in body must be of type integer,string: ${JSON.stringify(typeOf(value))}`,
      );
    }
  } else {
    const type = textAt(schema, 'type');
    if (type !== undefined && !isOfType(value, type)) {
      faults.typeInvalid(
        path,
        typeOf(value),
        `${path} in body must be of type ${type}: ${JSON.stringify(typeOf(value))}`,
      );
      return;
    }
  }
  const allowed = listAt(schema, 'enum');
  if (allowed.length > 0 && !allowed.some((item) => deepEqual(item, value))) {
    faults.unsupported(path, value, allowed.map(String));
  }
  if (typeof value === 'number') validateNumber(schema, value, path, faults);
  else if (typeof value === 'string') validateText(schema, value, path, faults);
  else if (Array.isArray(value)) validateList(schema, value, path, faults);
  else if (isObject(value)) validateObject(schema, value, path, faults, root);
  validateJunctors(schema, value, path, faults);
}

function validateNumber(schema: JsonObject, value: number, path: string, faults: Faults): void {
  const least = numberAt(schema, 'minimum');
  const most = numberAt(schema, 'maximum');
  const multiple = numberAt(schema, 'multipleOf');
  if (least !== undefined) {
    const exclusive = schema['exclusiveMinimum'] === true;
    if (exclusive ? value <= least : value < least) {
      const bound = exclusive ? 'greater than' : 'greater than or equal to';
      faults.invalid(path, value, `${path} in body should be ${bound} ${least}`);
    }
  }
  if (most !== undefined) {
    const exclusive = schema['exclusiveMaximum'] === true;
    if (exclusive ? value >= most : value > most) {
      const bound = exclusive ? 'less than' : 'less than or equal to';
      faults.invalid(path, value, `${path} in body should be ${bound} ${most}`);
    }
  }
  if (multiple !== undefined && value % multiple !== 0) {
    faults.invalid(path, value, `${path} in body should be a multiple of ${multiple}`);
  }
  const bits = { int32: 31, int64: 63 }[textAt(schema, 'format') ?? ''];
  if (bits !== undefined && (value >= 2 ** bits || value < -(2 ** bits))) {
    faults.invalid(path, value, `${path} in body must be of type ${textAt(schema, 'format')}`);
  }
}

/** Compiled patterns; undefined for those that are none here. */
const patterns: Map<string, RegExp | undefined> = new Map();
const mostPatterns = 1000;

/** A pattern of a schema, which is one of Go (RE2): flags may stand in front, and any punctuation may be escaped. */
export function patternOf(text: string): RegExp | undefined {
  if (patterns.has(text)) return patterns.get(text);
  const [whole = '', given = ''] = /^\(\?([ims]+)\)/.exec(text) ?? [];
  let pattern: RegExp | undefined;
  for (const flags of [`${given}u`, given]) {
    try {
      pattern ??= new RegExp(text.slice(whole.length), flags);
    } catch {
      // Without the flag `u` more is taken, such as `[\w-]`.
    }
  }
  if (patterns.size >= mostPatterns) patterns.clear();
  patterns.set(text, pattern);
  return pattern;
}

function validateText(schema: JsonObject, value: string, path: string, faults: Faults): void {
  const length = [...value].length;
  const least = numberAt(schema, 'minLength');
  const most = numberAt(schema, 'maxLength');
  if (most !== undefined && length > most) {
    faults.tooLong(path, most);
    return;
  }
  if (least !== undefined && length < least) {
    faults.invalid(path, value, `${path} in body should be at least ${least} chars long`);
    return;
  }
  const pattern = textAt(schema, 'pattern');
  if (pattern !== undefined && patternOf(pattern)?.test(value) === false) {
    faults.invalid(path, value, `${path} in body should match '${pattern}'`);
  }
  const format = textAt(schema, 'format');
  if (format !== undefined && formats[format]?.test(value) === false) {
    faults.invalid(path, value, `${path} in body must be of type ${format}: ${JSON.stringify(value)}`);
  }
}

function validateList(schema: JsonObject, value: Json[], path: string, faults: Faults): void {
  const least = numberAt(schema, 'minItems');
  const most = numberAt(schema, 'maxItems');
  let tooMany: number | undefined;
  if (least !== undefined && value.length < least) {
    faults.invalid(path, value.length, `${path} in body should have at least ${least} items`);
  }
  if (most !== undefined && value.length > most) {
    tooMany = most;
  }
  const items = schema['items'];
  if (isObject(items)) {
    for (const [index, item] of value.entries()) validate(items, item, `${path}[${index}]`, faults);
  }
  if (tooMany !== undefined) faults.tooMany(path, value.length, tooMany);
  const listType = textAt(schema, 'x-kubernetes-list-type');
  const keys = textsAt(schema, 'x-kubernetes-list-map-keys');
  const unique = listType === 'set' || listType === 'map' || schema['uniqueItems'] === true;
  if (!unique) return;
  const seen = new Set<string>();
  for (const [index, item] of value.entries()) {
    const identity: Json =
      listType === 'map' && isObject(item)
        ? Object.fromEntries(keys.map((key) => [key, item[key] ?? null]))
        : item;
    const text = JSON.stringify(identity);
    if (seen.has(text)) faults.duplicate(`${path}[${index}]`, identity);
    seen.add(text);
  }
}

function validateObject(
  schema: JsonObject,
  value: JsonObject,
  path: string,
  faults: Faults,
  root: boolean,
): void {
  const below = (name: string): string => (path === '' ? name : `${path}.${name}`);
  for (const name of textsAt(schema, 'required')) {
    if (value[name] === undefined) faults.required(below(name));
  }
  const count = Object.keys(value).length;
  const least = numberAt(schema, 'minProperties');
  const most = numberAt(schema, 'maxProperties');
  if (least !== undefined && count < least) {
    faults.invalid(path, count, `${path} in body should have at least ${least} properties`);
  }
  if (most !== undefined && count > most) {
    faults.invalid(path, count, `${path} in body should have at most ${most} properties`);
  }
  // In the order of their names, as Kubernetes reports them.
  for (const [name, member] of Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1))) {
    if (root && embedded.has(name)) continue;
    const known = memberSchema(schema, name);
    if (known !== undefined) validate(known, member, below(name), faults);
  }
}

function validateJunctors(schema: JsonObject, value: Json, path: string, faults: Faults): void {
  const holds = (part: Json): boolean => {
    if (!isObject(part)) return true;
    const probe: Faults = Object.create(faults, { causes: { value: [] } }) as Faults;
    validate(part, value, path, probe);
    return probe.causes.length === 0;
  };
  for (const part of listAt(schema, 'allOf')) if (isObject(part)) validate(part, value, path, faults);
  const any = listAt(schema, 'anyOf');
  if (any.length > 0 && !any.some(holds)) {
    faults.invalid(path, value, `${path} in body must validate at least one schema (anyOf)`);
  }
  const one = listAt(schema, 'oneOf');
  if (one.length > 0 && one.filter(holds).length !== 1) {
    faults.invalid(path, value, `${path} in body must validate one and only one schema (oneOf)`);
  }
  const not = schema['not'];
  if (isObject(not) && holds(not)) {
    faults.invalid(path, value, `${path} in body must not validate the schema (not)`);
  }
}
