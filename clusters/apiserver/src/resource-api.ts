/** Requests for resources: which handler answers which verb and subresource. */
import { readBody } from './body.ts';
import { offers } from './discovery.ts';
import { sendJson, sendText, type ResourceExchange } from './exchange.ts';
import { textAt, type Json } from './json.ts';
import type { LimitLedger } from '@mesh/limits/limits';
import type { ApiserverLimit } from './limits.ts';
import { asObject, type KubeObject } from './object.ts';
import type { KubeletLogs } from './kubelet-logs.ts';
import { protobufType } from './protobuf.ts';
import type { ReadApi } from './read-api.ts';
import { groupVersion } from './resources.ts';
import type { Reviews } from './reviews.ts';
import { scaleOf } from './scale.ts';
import { badRequest, methodNotAllowed, noSuchPath, success } from './status.ts';
import { contextOf, dryRunOf, type WriteApi } from './write-api.ts';
import { deleteOptions, type Writer } from './writer.ts';

interface ResourceApiOptions {
  reads: ReadApi;
  writes: WriteApi;
  writer: Writer;
  reviews: Reviews;
  logs: KubeletLogs;
  limits: LimitLedger<ApiserverLimit>;
}

export class ResourceApi {
  readonly #reads: ReadApi;
  readonly #writes: WriteApi;
  readonly #writer: Writer;
  readonly #reviews: Reviews;
  readonly #logs: KubeletLogs;
  readonly #limits: LimitLedger<ApiserverLimit>;

  constructor({ reads, writes, writer, reviews, logs, limits }: ResourceApiOptions) {
    this.#reads = reads;
    this.#writes = writes;
    this.#writer = writer;
    this.#reviews = reviews;
    this.#logs = logs;
    this.#limits = limits;
  }

  /** @throws ApiError */
  async serve(exchange: ResourceExchange): Promise<void> {
    const { resource, target, info } = exchange;
    if (resource.review) {
      if (info.verb !== 'create' || target.name !== '') throw methodNotAllowed();
      await this.#review(exchange);
      return;
    }
    // Lists and watches over all namespaces have none; everything else of a namespaced kind does.
    const acrossNamespaces = info.verb === 'list' || info.verb === 'watch';
    if (resource.namespaced && target.namespace === '' && !acrossNamespaces) throw methodNotAllowed();
    if (!resource.namespaced && target.namespace !== '') throw noSuchPath();
    switch (target.subresource) {
      case '':
        return await this.#main(exchange);
      case 'status':
        if (!resource.status) throw noSuchPath();
        return await this.#half(exchange);
      case 'scale':
        if (resource.scale === undefined) throw noSuchPath();
        if (info.verb === 'get') {
          sendJson(exchange.response, 200, scaleOf(this.#read(exchange), resource.scale));
          return;
        }
        return await this.#half(exchange);
      default:
        if (!resource.extra.some(({ name }) => name === target.subresource)) throw noSuchPath();
        return await this.#extra(exchange);
    }
  }

  async #main(exchange: ResourceExchange): Promise<void> {
    const { info, target } = exchange;
    switch (info.verb) {
      case 'get':
        return this.#reads.get(exchange);
      case 'list':
        return this.#reads.list(exchange);
      case 'watch':
        return this.#reads.watch(exchange);
      case 'create':
        if (target.name !== '') throw methodNotAllowed();
        return await this.#writes.create(exchange);
      case 'deletecollection':
        if (!offers(exchange.resource, info.verb)) throw methodNotAllowed();
        return await this.#writes.deleteCollection(exchange);
    }
    if (target.name === '') throw methodNotAllowed();
    switch (info.verb) {
      case 'update':
        return await this.#writes.update(exchange);
      case 'patch':
        return await this.#writes.patch(exchange);
      case 'delete':
        return await this.#writes.delete(exchange);
      default:
        throw methodNotAllowed();
    }
  }

  /** Subresources that show or change a part of the object. */
  async #half(exchange: ResourceExchange): Promise<void> {
    switch (exchange.info.verb) {
      case 'get':
        return this.#reads.get(exchange);
      case 'update':
        return await this.#writes.update(exchange);
      case 'patch':
        return await this.#writes.patch(exchange);
      default:
        throw methodNotAllowed();
    }
  }

  async #extra(exchange: ResourceExchange): Promise<void> {
    const { info, target, response } = exchange;
    switch (`${info.verb} ${target.subresource}`) {
      case 'get log':
        return await this.#logs.serve(exchange, this.#read(exchange));
      case 'update finalize':
        return await this.#writes.update(exchange);
      case 'create token': {
        const request = await this.#object(exchange);
        sendJson(response, 201, this.#reviews.token(request, target.namespace, target.name));
        return;
      }
      case 'create binding':
        return await this.#bind(exchange);
      case 'create eviction':
        return await this.#evict(exchange);
      default:
        throw methodNotAllowed();
    }
  }

  async #review(exchange: ResourceExchange): Promise<void> {
    const { resource, target, user, response } = exchange;
    const review = await this.#object(exchange);
    if (review.apiVersion !== groupVersion(resource) || review.kind !== resource.kind) {
      throw badRequest(`the object in the body is ${review.apiVersion} ${review.kind}`);
    }
    sendJson(response, 201, this.#reviews.answer(review, user, target.namespace));
  }

  /** Assigns a pod to a node: the only way in which `spec.nodeName` of an existing pod is set. */
  async #bind(exchange: ResourceExchange): Promise<void> {
    const { resource, target, response } = exchange;
    const binding = await this.#object(exchange);
    const node = textAt(binding, 'target', 'name') ?? '';
    if (node === '') throw badRequest('target.name is required');
    const { namespace, name } = target;
    this.#writer.bindPod({ info: resource, namespace, name, subresource: 'binding' }, node, binding);
    sendJson(response, 201, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 });
  }

  async #evict(exchange: ResourceExchange): Promise<void> {
    const { resource, target, info, response } = exchange;
    const eviction = await this.#object(exchange);
    const options: Json | undefined = eviction['deleteOptions'];
    const { namespace, name } = target;
    if ((eviction.metadata.name ?? name) !== name) {
      throw badRequest(`name in URL does not match name in Eviction object: ${name}`);
    }
    await this.#writer.delete(
      { info: resource, namespace, name, subresource: '' },
      deleteOptions(options, info.query),
      { ...contextOf(exchange), ...dryRunOf(exchange, options) },
    );
    sendText(response, 201, JSON.stringify({ ...success({ name, kind: 'pods' }), code: 201 }));
  }

  async #object(exchange: ResourceExchange): Promise<KubeObject> {
    const { value } = await readBody(exchange.request, this.#limits, {
      json: ['application/json', protobufType],
      yaml: ['application/yaml'],
    });
    const object = asObject(value);
    if (object === undefined)
      throw badRequest('the object in the body has no apiVersion, kind or metadata object');
    return object;
  }

  #read({ resource, target }: ResourceExchange): KubeObject {
    return this.#writer.read({ info: resource, namespace: target.namespace, name: target.name });
  }
}
