/**
 * Schemas of built-in kinds, as far as member names and types go: what a real server checks when it decodes an
 * object into its Go type. Values are checked by the rules of each kind.
 */
import { Faults } from './faults.ts';
import { fieldTypes } from './gen/field-types.ts';
import { isObject, type Json, type JsonObject } from './json.ts';
import type { KubeObject } from './object.ts';
import { prune, validate } from './schema.ts';

const anything: JsonObject = { 'x-kubernetes-preserve-unknown-fields': true, nullable: true };

const simple: Readonly<Record<string, JsonObject>> = {
  string: { type: 'string', nullable: true },
  boolean: { type: 'boolean', nullable: true },
  number: { type: 'number', nullable: true },
  integer: { type: 'integer', nullable: true },
  Date: { type: 'string', nullable: true },
  V1MicroTime: { type: 'string', nullable: true },
  IntOrString: { 'x-kubernetes-int-or-string': true, nullable: true },
};

/** Quantities may be written as numbers. */
const quantities: ReadonlySet<string> = new Set([
  'allocatable',
  'capacity',
  'divisor',
  'hard',
  'limits',
  'overhead',
  'requests',
  'sizeLimit',
]);

const schemas: Map<string, JsonObject> = new Map();

function schemaOf(type: string): JsonObject {
  const known = simple[type] ?? schemas.get(type);
  if (known !== undefined) return known;
  const list = /^Array<(.+)>$/.exec(type);
  if (list !== null) return { type: 'array', nullable: true, items: schemaOf(list[1] ?? '') };
  const map = /^\{ \[key: string\]: (.+); \}$/.exec(type);
  if (map !== null) return { type: 'object', nullable: true, additionalProperties: schemaOf(map[1] ?? '') };
  const members = fieldTypes[type];
  if (members === undefined) return anything;
  const properties: JsonObject = {};
  const schema: JsonObject = { type: 'object', nullable: true, properties };
  schemas.set(type, schema);
  for (const [name, member] of Object.entries(members)) {
    properties[name] = quantities.has(name) ? anything : schemaOf(member);
  }
  return schema;
}

/** Undefined for kinds whose answer is computed. */
export function builtinSchema(kind: string): JsonObject | undefined {
  const model = kind === 'Event' ? 'CoreV1Event' : `V1${kind}`;
  return fieldTypes[model] === undefined ? undefined : schemaOf(model);
}

export interface Decoded {
  /** Members that no version of the kind has; they are removed. */
  readonly unknown: readonly string[];
  /** The first value of a wrong type, as `.spec.replicas: ...`. */
  readonly fault: string | undefined;
}

/** Removes unknown members, in place, and checks the types of the others. */
export function decodeBuiltin(object: KubeObject): Decoded {
  const schema = builtinSchema(object.kind);
  if (schema === undefined) return { unknown: [], fault: undefined };
  const unknown = prune(schema, object, '', false);
  const faults = new Faults();
  validate(schema, object, '', faults);
  const [first] = faults.causes;
  dropEmpty(schema, object);
  return { unknown, fault: first && `json: cannot unmarshal .${first.field ?? ''}: ${first.message}` };
}

/** Lists that are written even when they are empty. */
const keptWhenEmpty: ReadonlySet<string> = new Set([
  ...['addresses', 'conditions', 'containers', 'endpoints', 'rules', 'storedVersions', 'versions'],
]);

/** Removes empty lists and maps, in place: to Kubernetes they are the same as none. Empty structures stay. */
function dropEmpty(schema: JsonObject, value: Json | undefined): void {
  if (Array.isArray(value)) {
    const items = schema['items'];
    if (isObject(items)) for (const item of value) dropEmpty(items, item);
    return;
  }
  const properties = schema['properties'];
  if (!isObject(value) || !isObject(properties)) return;
  for (const [name, member] of Object.entries(value)) {
    const known = properties[name];
    if (!isObject(known)) continue;
    const empty =
      (Array.isArray(member) && member.length === 0) ||
      (isObject(member) && known['additionalProperties'] !== undefined && Object.keys(member).length === 0);
    if (empty && !keptWhenEmpty.has(name)) delete value[name];
    else dropEmpty(known, member);
  }
}
