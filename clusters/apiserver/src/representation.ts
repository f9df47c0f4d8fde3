/** The form in which a client wants objects: plain, as a Table, or metadata only, by its Accept header. */
import type { Json, JsonObject } from './json.ts';
import type { KubeObject } from './object.ts';
import { groupVersion, type ResourceInfo } from './resources.ts';
import { badRequest, notAcceptable } from './status.ts';
import { partialMetadata, tableOf, type IncludeObject } from './table.ts';

export type Form = 'plain' | 'table' | 'metadata';

/** @throws ApiError 406 when nothing the client accepts can be produced */
function formFor(accept: string | undefined): Form {
  if (accept === undefined || accept.trim() === '') return 'plain';
  for (const choice of accept.split(',')) {
    const [type = '', ...parameters] = choice.split(';').map((part) => part.trim());
    if (!['application/json', 'application/*', '*/*'].includes(type)) continue;
    const as = parameters.find((parameter) => parameter.startsWith('as='))?.slice(3);
    const meta = parameters.includes('g=meta.k8s.io') && parameters.includes('v=v1');
    if (as === undefined) return 'plain';
    if (as === 'Table' && meta) return 'table';
    if ((as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList') && meta) return 'metadata';
  }
  throw notAcceptable();
}

function includeObject(query: URLSearchParams): IncludeObject {
  const wanted = query.get('includeObject') ?? 'Metadata';
  if (wanted === 'None' || wanted === 'Metadata' || wanted === 'Object') return wanted;
  throw badRequest(`includeObject ${JSON.stringify(wanted)} is not one of None, Metadata, Object`);
}

const texts: WeakMap<KubeObject, string> = new WeakMap();

/** JSON of a stored object, which never changes, made once for all its readers. */
function textOf(object: KubeObject): string {
  let text = texts.get(object);
  if (text === undefined) {
    text = JSON.stringify(object);
    if (Object.isFrozen(object)) texts.set(object, text);
  }
  return text;
}

const items: WeakMap<KubeObject, string> = new WeakMap();

/** One kind in the form one client asked for. */
export class Representation {
  readonly #info: ResourceInfo;
  readonly #form: Form;
  readonly #include: IncludeObject;
  readonly #nowMs: () => number;

  constructor(
    info: ResourceInfo,
    { accept, query, nowMs }: { accept: string | undefined; query: URLSearchParams; nowMs: () => number },
  ) {
    this.#info = info;
    this.#form = formFor(accept);
    this.#include = includeObject(query);
    this.#nowMs = nowMs;
  }

  one(object: KubeObject): string {
    const apiVersion = groupVersion(this.#info);
    if (this.#form === 'metadata') return JSON.stringify(partialMetadata(object));
    if (this.#form === 'table') {
      const listMeta = { resourceVersion: object.metadata.resourceVersion };
      return JSON.stringify(this.#table([this.#served(object)], listMeta));
    }
    return object.apiVersion === apiVersion ? textOf(object) : JSON.stringify(this.#served(object));
  }

  list(objects: readonly KubeObject[], listMeta: JsonObject): string {
    const { kind, apiVersion, items } = this.#list(objects);
    if (items === undefined)
      return JSON.stringify(
        this.#table(
          objects.map((o) => this.#served(o)),
          listMeta,
        ),
      );
    return `{"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(apiVersion)},"metadata":${JSON.stringify(listMeta)},"items":[${items.join(',')}]}`;
  }

  #list(objects: readonly KubeObject[]): { kind: string; apiVersion: string; items: string[] | undefined } {
    if (this.#form === 'table') return { kind: '', apiVersion: '', items: undefined };
    if (this.#form === 'metadata') {
      const items = objects.map((object) => JSON.stringify(partialMetadata(object)));
      return { kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1', items };
    }
    return {
      kind: this.#info.listKind,
      apiVersion: groupVersion(this.#info),
      items: objects.map((object) => this.#item(object)),
    };
  }

  /** Items of a list do not say what the list says; those of custom kinds do. */
  #item(object: KubeObject): string {
    if (this.#info.custom !== undefined) return this.one(object);
    let item = items.get(object);
    if (item === undefined) {
      const { kind: _, apiVersion: __, ...rest } = object;
      item = JSON.stringify(rest);
      if (Object.isFrozen(object)) items.set(object, item);
    }
    return item;
  }

  #table(objects: readonly KubeObject[], listMeta: JsonObject): Json {
    return tableOf(this.#info, objects, { listMeta, include: this.#include, nowMs: this.#nowMs() });
  }

  #served(object: KubeObject): KubeObject {
    const apiVersion = groupVersion(this.#info);
    return object.apiVersion === apiVersion ? object : { ...object, apiVersion };
  }
}
