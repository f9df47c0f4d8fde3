/** create, update, patch, delete and deletecollection: from the request to the Writer and back. */
import type { Clock } from '@mesh/clock/clock';
import type { LimitLedger } from '@mesh/limits/limits';
import { applyConfiguration } from './apply.ts';
import { mediaType, readBody, type Body } from './body.ts';
import { sendText, type ResourceExchange } from './exchange.ts';
import { applyJsonPatch } from './json-patch.ts';
import { clone, textAt, type Json } from './json.ts';
import type { ApiserverLimit } from './limits.ts';
import { topologyOf } from './managed-fields.ts';
import { applyMergePatch } from './merge-patch.ts';
import { asObject, timestamp, type KubeObject } from './object.ts';
import { protobufType } from './protobuf.ts';
import type { ReadApi } from './read-api.ts';
import { Representation } from './representation.ts';
import {
  checkPatched,
  decodeIntent,
  decodeObject,
  reportDuplicates,
  requireVersion,
} from './request-object.ts';
import { groupVersion, type ResourceInfo } from './resources.ts';
import { scaleOf, withScale } from './scale.ts';
import {
  ApiError,
  badRequest,
  invalidOptions,
  success,
  unprocessable,
  unsupportedMediaType,
} from './status.ts';
import { applyStrategicMerge } from './strategic-merge.ts';
import { deleteOptions, type Change, type Target, type WriteContext, type Writer } from './writer.ts';

const jsonTypes = ['application/json', protobufType];
const yamlTypes = ['application/yaml', 'application/x-yaml', 'text/yaml'];
const patchTypes = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

interface WriteApiOptions {
  writer: Writer;
  reads: ReadApi;
  clock: Clock;
  limits: LimitLedger<ApiserverLimit>;
}

export class WriteApi {
  readonly #writer: Writer;
  readonly #reads: ReadApi;
  readonly #clock: Clock;
  readonly #limits: LimitLedger<ApiserverLimit>;

  constructor({ writer, reads, clock, limits }: WriteApiOptions) {
    this.#writer = writer;
    this.#reads = reads;
    this.#clock = clock;
    this.#limits = limits;
  }

  async create(exchange: ResourceExchange): Promise<void> {
    const body = await this.#body(exchange);
    const object = decodeObject(exchange, body);
    const created = await this.#writer.create(targetOf(exchange), object, contextOf(exchange));
    this.#answer(exchange, 201, created);
  }

  async update(exchange: ResourceExchange): Promise<void> {
    const { resource, target } = exchange;
    const body = await this.#body(exchange);
    const scale = target.subresource === 'scale' ? resource.scale : undefined;
    const sent = scale === undefined ? decodeObject(exchange, body) : decodeScale(body.value, target.name);
    if (scale === undefined) requireVersion(resource, sent);
    const updated = await this.#writer.update(
      targetOf(exchange),
      (current) => ({ object: scale === undefined ? sent : withScale(current, sent, scale) }),
      contextOf(exchange),
    );
    this.#answer(exchange, 200, updated);
  }

  async patch(exchange: ResourceExchange): Promise<void> {
    const type = mediaType(exchange.request);
    if (type === patchTypes.apply) {
      await this.#apply(exchange);
      return;
    }
    const { resource, info } = exchange;
    if (info.query.get('force') !== null) {
      throw invalidOptions('PatchOptions', (faults) =>
        faults.forbidden('force', 'may not be specified for non-apply patch'),
      );
    }
    const supported = [patchTypes.json, patchTypes.merge];
    const strategic = resource.custom === undefined ? [patchTypes.strategic] : [];
    if (type === patchTypes.strategic && strategic.length === 0) {
      throw unsupportedMediaType([...supported, patchTypes.apply]);
    }
    if (!(Object.values(patchTypes) as string[]).includes(type)) {
      throw new ApiError({
        code: 415,
        reason: 'UnsupportedMediaType',
        message: '415: Unsupported Media Type',
      });
    }
    const body = await readBody(exchange.request, this.#limits, {
      json: [...supported, ...strategic],
      yaml: [],
    });
    reportDuplicates(exchange, body);
    const scale = exchange.target.subresource === 'scale' ? resource.scale : undefined;
    const updated = await this.#writer.update(
      targetOf(exchange),
      (current): Change => {
        const base = scale === undefined ? clone(served(current, resource)) : scaleOf(current, scale);
        const patched = this.#patched(type, base, body.value ?? {}, resource);
        if (scale !== undefined) return { object: withScale(current, patched, scale) };
        // A patch is against the version it was computed on only if it says so itself.
        const named = patched.metadata.resourceVersion !== current.metadata.resourceVersion;
        if (!named && !mentionsVersion(body.value)) patched.metadata.resourceVersion = '';
        checkPatched(exchange, patched);
        return { object: patched };
      },
      contextOf(exchange),
    );
    this.#answer(exchange, 200, updated);
  }

  async delete(exchange: ResourceExchange): Promise<void> {
    const { resource, target } = exchange;
    const body = await this.#body(exchange);
    const options = deleteOptions(body.value, exchange.info.query);
    const { object, removed } = await this.#writer.delete(targetOf(exchange), options, {
      ...contextOf(exchange),
      ...dryRunOf(exchange, body.value),
    });
    if (!removed || resource.kind === 'Pod') {
      this.#answer(exchange, 200, object);
      return;
    }
    const { group, plural } = resource;
    const details = {
      name: target.name,
      ...(group === '' ? {} : { group }),
      kind: plural,
      uid: object.metadata.uid,
    };
    sendText(exchange.response, 200, JSON.stringify(success(details)));
  }

  async deleteCollection(exchange: ResourceExchange): Promise<void> {
    const body = await this.#body(exchange);
    const options = deleteOptions(body.value, exchange.info.query);
    const context = { ...contextOf(exchange), ...dryRunOf(exchange, body.value) };
    const objects = this.#reads.selected(exchange);
    for (const object of objects) {
      const target = {
        ...targetOf(exchange),
        name: object.metadata.name,
        namespace: object.metadata.namespace ?? '',
      };
      try {
        await this.#writer.delete(target, options, context);
      } catch (thrown) {
        // Somebody else deleted it first, which is what was wanted.
        if (!(thrown instanceof ApiError) || thrown.code !== 404) throw thrown;
      }
    }
    const list = new Representation(exchange.resource, {
      accept: exchange.request.headers.accept,
      query: exchange.info.query,
      nowMs: () => this.#clock.wall(),
    });
    sendText(exchange.response, 200, list.list(objects, {}));
  }

  async #apply(exchange: ResourceExchange): Promise<void> {
    const { info, resource, target } = exchange;
    const body = await readBody(exchange.request, this.#limits, { json: [], yaml: [patchTypes.apply] });
    reportDuplicates(exchange, body);
    const manager = info.query.get('fieldManager') ?? '';
    if (manager === '') {
      throw invalidOptions('PatchOptions', (faults) =>
        faults.required('fieldManager', 'is required for apply patch'),
      );
    }
    if (target.subresource === 'scale') throw unsupportedMediaType([patchTypes.json, patchTypes.merge]);
    const config = decodeIntent(exchange, body.value);
    const options = {
      info: resource,
      manager,
      apiVersion: groupVersion(resource),
      subresource: target.subresource,
      time: timestamp(this.#clock.wall()),
      force: info.query.get('force') === 'true',
    };
    const context = contextOf(exchange);
    try {
      const updated = await this.#writer.update(
        targetOf(exchange),
        (current): Change => {
          const object = applyConfiguration(served(current, resource), config, options);
          object.metadata.resourceVersion = textAt(config, 'metadata', 'resourceVersion') ?? '';
          return { object, tracked: true };
        },
        context,
      );
      this.#answer(exchange, 200, updated);
      return;
    } catch (thrown) {
      if (!(thrown instanceof ApiError) || thrown.code !== 404 || target.subresource !== '') throw thrown;
    }
    const object = applyConfiguration(undefined, config, options);
    object.metadata.name = target.name;
    const created = await this.#writer.create(targetOf(exchange), object, context, { tracked: true });
    this.#answer(exchange, 201, created);
  }

  #patched(type: string, base: KubeObject, patch: Json, resource: ResourceInfo): KubeObject {
    let value: Json;
    if (type === patchTypes.json) {
      if (Array.isArray(patch) && patch.length > this.#limits.values.apiserver_patch_operations) {
        this.#limits.hit('apiserver_patch_operations');
        throw new ApiError({
          code: 413,
          reason: 'RequestEntityTooLarge',
          message: `The allowed maximum operations in a JSON patch is ${this.#limits.values.apiserver_patch_operations}, got ${patch.length}`,
        });
      }
      const result = applyJsonPatch(base, patch);
      if (result.kind === 'malformed') throw badRequest(`error decoding patch: ${result.fault}`);
      if (result.kind === 'failed') {
        throw unprocessable('the server rejected our request due to an error in our request');
      }
      value = result.value;
    } else if (type === patchTypes.merge) value = applyMergePatch(base, patch);
    else value = applyStrategicMerge(base, patch, topologyOf(resource));
    const object = asObject(value);
    if (object === undefined) throw unprocessable('the patch leaves no object');
    return object;
  }

  async #body(exchange: ResourceExchange): Promise<Body> {
    const body = await readBody(exchange.request, this.#limits, { json: jsonTypes, yaml: yamlTypes });
    reportDuplicates(exchange, body);
    return body;
  }

  #answer(
    { resource, request, info, response, target }: ResourceExchange,
    code: number,
    object: KubeObject,
  ): void {
    if (target.subresource === 'scale' && resource.scale !== undefined) {
      sendText(response, code, JSON.stringify(scaleOf(object, resource.scale)));
      return;
    }
    const form = new Representation(resource, {
      accept: request.headers.accept,
      query: info.query,
      nowMs: () => this.#clock.wall(),
    });
    sendText(response, code, form.one(object));
  }
}

function served(object: KubeObject, resource: ResourceInfo): KubeObject {
  const apiVersion = groupVersion(resource);
  return object.apiVersion === apiVersion ? object : { ...object, apiVersion };
}

function decodeScale(value: Json | undefined, name: string): KubeObject {
  const scale = asObject(value);
  if (scale?.kind !== 'Scale') throw badRequest('the object in the body is not a Scale');
  if ((scale.metadata.name ?? name) !== name)
    throw badRequest('the name of the Scale does not match the URL');
  return scale;
}

/** Whether a patch touches metadata.resourceVersion. */
function mentionsVersion(patch: Json | undefined): boolean {
  if (Array.isArray(patch)) {
    return patch.some((operation) => textAt(operation, 'path') === '/metadata/resourceVersion');
  }
  return textAt(patch, 'metadata', 'resourceVersion') !== undefined;
}

function targetOf({ resource, target }: ResourceExchange): Target {
  return {
    info: resource,
    namespace: target.namespace,
    name: target.name,
    subresource: target.subresource,
  };
}

/** Whether the query or the DeleteOptions in `body` ask for no effect. */
export function dryRunOf(exchange: ResourceExchange, body: Json | undefined): { dryRun: boolean } {
  const inBody =
    typeof body === 'object' && body !== null && !Array.isArray(body) ? body['dryRun'] : undefined;
  return { dryRun: contextOf(exchange).dryRun || (Array.isArray(inBody) && inBody.includes('All')) };
}

const optionsOf = {
  create: 'CreateOptions',
  update: 'UpdateOptions',
  patch: 'PatchOptions',
  delete: 'DeleteOptions',
  deletecollection: 'DeleteOptions',
} as const;

export function contextOf({ info, user, request, warn }: ResourceExchange): WriteContext {
  const options = optionsOf[info.verb as keyof typeof optionsOf] ?? 'CreateOptions';
  const dryRun = info.query.get('dryRun') ?? '';
  if (dryRun !== '' && dryRun !== 'All') {
    throw invalidOptions(options, (faults) => faults.unsupported('dryRun', [dryRun], ['All']));
  }
  const validation = info.query.get('fieldValidation') ?? '';
  const allowed = ['', 'Ignore', 'Strict', 'Warn'];
  if (!allowed.includes(validation)) {
    throw invalidOptions(options, (faults) => faults.unsupported('fieldValidation', validation, allowed));
  }
  const agent = (request.headers['user-agent'] ?? 'unknown').split('/')[0] ?? 'unknown';
  const fieldManager = info.query.get('fieldManager') ?? '';
  return {
    user,
    dryRun: dryRun === 'All',
    fieldManager: fieldManager === '' ? agent : fieldManager,
    warn,
  };
}
