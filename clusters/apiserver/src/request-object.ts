/** The object in the body of a write: is it what the path says, and has it the members and types of its kind? */
import type { Body } from './body.ts';
import { decodeBuiltin } from './builtin-schema.ts';
import { unknownFields } from './custom-object.ts';
import type { ResourceExchange } from './exchange.ts';
import { Faults } from './faults.ts';
import { clone, isObject, textAt, type Json } from './json.ts';
import { asObject, type KubeObject } from './object.ts';
import { groupVersion, type ResourceInfo } from './resources.ts';
import { ApiError, badRequest, invalid } from './status.ts';

export function reportDuplicates(exchange: ResourceExchange, { duplicates }: Body): void {
  const found = duplicates.map((field) => `duplicate field ${JSON.stringify(field)}`);
  report(exchange, found);
}

/** @throws ApiError 400 for values of a wrong type, and for unknown members under Strict */
function checkFields(exchange: ResourceExchange, object: KubeObject): void {
  const { kind, version } = exchange.resource;
  const fault = decodeFields(exchange, object);
  if (fault === undefined) return;
  throw badRequest(`${kind} in version "${version}" cannot be handled as a ${kind}: ${fault}`);
}

/**
 * Checks, in place, what a patch made of an object.
 * @throws ApiError 422 for values of a wrong type, 400 for another name or kind and for unknown members under Strict
 */
export function checkPatched(exchange: ResourceExchange, object: KubeObject): void {
  checkIdentity(exchange, object);
  checkName(exchange, object);
  const fault = decodeFields(exchange, object);
  if (fault === undefined) return;
  const faults = new Faults();
  faults.invalid('patch', JSON.stringify(object), fault);
  throw invalid({}, faults.causes);
}

function decodeFields(exchange: ResourceExchange, object: KubeObject): string | undefined {
  const { custom } = exchange.resource;
  let unknown: readonly string[];
  if (custom === undefined) {
    const decoded = decodeBuiltin(object);
    if (decoded.fault !== undefined) return decoded.fault;
    unknown = decoded.unknown;
  } else unknown = unknownFields(custom, object);
  report(
    exchange,
    unknown.map((field) => `unknown field ${JSON.stringify(field)}`),
  );
  return undefined;
}

export function decodeObject(exchange: ResourceExchange, { value }: Body): KubeObject {
  const object = identified(exchange, value);
  checkFields(exchange, object);
  return object;
}

/** The object in the body, which must be what the path says it is. */
function identified(exchange: ResourceExchange, value: Json | undefined): KubeObject {
  const { resource, target, info } = exchange;
  if (value === undefined) throw unrecognized(resource, 'unexpected end of JSON input (<empty>)');
  const object = asObject(named(value, resource));
  if (object === undefined) throw badRequest('the object in the body has no metadata object');
  checkIdentity(exchange, object);
  if (info.verb !== 'create') {
    if (object.metadata.name === undefined) object.metadata.name = target.name;
    checkName(exchange, object);
  }
  if (resource.namespaced && (object.metadata.namespace ?? '') === '') {
    object.metadata.namespace = target.namespace;
  }
  return object;
}

/**
 * What a manager applies, which must be of the kind of the path.
 * @throws ApiError 400, and 500 for a field that the kind does not have
 */
export function decodeIntent(exchange: ResourceExchange, value: Json | undefined): KubeObject {
  const stated = textAt(value, 'metadata', 'namespace') ?? '';
  const sent = asObject(value);
  const { kind } = exchange.resource;
  const expected = groupVersion(exchange.resource);
  if (sent !== undefined && (sent.kind !== kind || sent.apiVersion !== expected)) {
    const [group, version] = sent.apiVersion.includes('/')
      ? sent.apiVersion.split('/')
      : ['', sent.apiVersion];
    throw badRequest(`invalid object type: ${group}/${version}, Kind=${sent.kind}`);
  }
  const config = identified(exchange, value);
  if (config.metadata['managedFields'] !== undefined && config.metadata['managedFields'] !== null) {
    throw badRequest('metadata.managedFields must be nil');
  }
  checkDeclared(exchange, config, stated);
  return config;
}

/** @throws ApiError 500 for a field that the kind does not have: nobody could own it */
function checkDeclared(exchange: ResourceExchange, config: KubeObject, stated: string): void {
  const builtin = exchange.resource.custom === undefined;
  const [field] = builtin ? decodeBuiltin(clone(config)).unknown : [];
  if (field === undefined) {
    checkFields(exchange, config);
    return;
  }
  throw new ApiError({
    code: 500,
    reason: '',
    message: `failed to create typed patch object (${stated}/${exchange.target.name}; ${config.apiVersion}, Kind=${config.kind}): .${field}: field not declared in schema`,
  });
}

function checkName({ target }: ResourceExchange, { metadata: { name } }: KubeObject): void {
  if (name === target.name) return;
  throw badRequest(`the name of the object (${name}) does not match the name on the URL (${target.name})`);
}

function checkIdentity({ resource, target }: ResourceExchange, object: KubeObject): void {
  const expected = groupVersion(resource);
  const { kind } = resource;
  if (object.kind !== kind) {
    throw badRequest(
      `${object.kind} in version ${JSON.stringify(object.apiVersion)} cannot be handled as a ${kind}: it is another kind`,
    );
  }
  if (object.apiVersion !== expected) {
    throw badRequest(
      `${kind} in version ${JSON.stringify(object.apiVersion)} cannot be handled as a ${kind}: no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(object.apiVersion)}`,
    );
  }
  const namespace = object.metadata.namespace ?? '';
  if (resource.namespaced && namespace !== '' && namespace !== target.namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
}

/** @throws ApiError 400 under Strict */
function report(exchange: ResourceExchange, faults: readonly string[]): void {
  if (faults.length === 0) return;
  const validation = exchange.info.query.get('fieldValidation') || 'Warn';
  if (validation === 'Ignore') return;
  if (validation === 'Warn') {
    for (const fault of faults) exchange.warn(fault);
    return;
  }
  throw badRequest(
    `${exchange.resource.kind} in version "${exchange.resource.version}" cannot be handled as a ${exchange.resource.kind}: strict decoding error: ${faults.join(', ')}`,
  );
}

/** Built-in kinds that nobody may replace without having read them. Custom kinds are all so. */
const readFirst: ReadonlySet<string> = new Set([
  ...['CustomResourceDefinition', 'Lease', 'MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'],
]);

/** @throws ApiError 422 */
export function requireVersion(resource: ResourceInfo, { metadata }: KubeObject): void {
  if ((metadata.resourceVersion ?? '') !== '') return;
  if (resource.custom === undefined && !readFirst.has(resource.kind)) return;
  const faults = new Faults();
  faults.invalid('metadata.resourceVersion', 0, 'must be specified for an update');
  throw invalid({ name: metadata.name, group: resource.group, kind: resource.plural }, faults.causes);
}

/** A body may leave out what the path says already. */
function named(value: Json, resource: ResourceInfo): Json {
  if (!isObject(value)) return value;
  const missing = (name: string): boolean => (value[name] ?? '') === '';
  if (resource.custom !== undefined || !missing('kind') || !missing('apiVersion')) return value;
  return { ...value, apiVersion: groupVersion(resource), kind: resource.kind };
}

function unrecognized({ kind }: ResourceInfo, why: string): ApiError {
  return badRequest(
    `the object provided is unrecognized (must be of type ${kind}): couldn't get version/kind; json parse error: ${why}`,
  );
}
