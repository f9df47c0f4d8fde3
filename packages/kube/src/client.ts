import type { Clock } from '@mesh/clock/clock';
import { MeshError } from '@mesh/errors/mesh-error';
import { LimitLedger } from '@mesh/limits/limits';
import { isNotFound, KubeApiError } from './api-error.ts';
import type { KubeConfig } from './config.ts';
import { type KubeLimit, kubeLimits } from './limits.ts';
import type { ObjectRef } from './objects.ts';
import { apiVersionOf, type ResourceType, resourcePath, serviceAccounts, tokenReviews } from './resources.ts';
import { Transport, type TransportResponse, describe } from './transport.ts';
import type { KubeObject, ObjectList, Stored, TokenRequest, TokenReview } from './types.ts';
import { type Watch, type WatchEvent, WatchReader } from './watch.ts';

export interface KubeClientOptions extends KubeConfig {
  readonly clock: Clock;
  /** Overrides of `kubeLimits`. */
  readonly limits?: LimitLedger<KubeLimit>;
}

export interface RequestOptions {
  signal?: AbortSignal | undefined;
  timeoutMs?: number | undefined;
}

export interface ListOptions extends RequestOptions {
  /** All namespaces when absent. */
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  /** Objects per page. */
  limit?: number | undefined;
  continue?: string | undefined;
  resourceVersion?: string | undefined;
}

export interface WatchOptions {
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  /** Events after this version. */
  resourceVersion: string;
  /** The server ends the watch after this long. Default 300. */
  timeoutSeconds?: number;
}

export interface WriteOptions extends RequestOptions {
  /** `status`, `scale`, `binding`, … */
  subresource?: string | undefined;
  fieldManager?: string | undefined;
  /** Validate and answer, store nothing. */
  dryRun?: boolean | undefined;
}

/** Bodies: `merge` RFC 7386, `json` RFC 6902, `apply` server-side apply (fieldManager required). */
export type Patch =
  | { type: 'merge'; body: object }
  | { type: 'json'; body: readonly object[] }
  | { type: 'apply'; body: object; fieldManager: string; force?: boolean };

export interface DeleteOptions extends RequestOptions {
  propagationPolicy?: 'Background' | 'Foreground' | 'Orphan' | undefined;
  gracePeriodSeconds?: number | undefined;
  preconditions?: { uid?: string; resourceVersion?: string } | undefined;
}

export interface RawRequest extends RequestOptions {
  body?: string | undefined;
  contentType?: string | undefined;
  accept?: string | undefined;
}

const patchTypes: Readonly<Record<Patch['type'], string>> = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
};

/**
 * A Kubernetes API client that knows how to ask and nothing else: no cache, no retry, no defaulting.
 *
 * Every method throws KubeApiError for a refusal, MeshError `kube-unreachable` when there was no answer and
 * `kube-limit` when the answer was too large.
 */
export class KubeClient {
  /** Namespace of the kubeconfig context, or of the pod. */
  readonly namespace: string;
  readonly server: string;
  readonly limits: LimitLedger<KubeLimit>;
  readonly #clock: Clock;
  readonly #transport: Transport;

  constructor({ clock, limits, ...config }: KubeClientOptions) {
    this.namespace = config.namespace;
    this.server = config.server;
    this.limits = limits ?? new LimitLedger(kubeLimits);
    this.#clock = clock;
    this.#transport = new Transport(config, clock, this.limits);
  }

  /** Closes all connections, watches included. */
  close(): void {
    this.#transport.close();
  }

  async get<T extends KubeObject>(
    type: ResourceType<T>,
    ref: ObjectRef,
    { subresource, ...options }: RequestOptions & { subresource?: string } = {},
  ): Promise<Stored<T>> {
    return await this.#json('GET', resourcePath(type, { ...pick(ref), subresource }), undefined, options);
  }

  /** As `get`, with undefined for an object that does not exist. */
  async find<T extends KubeObject>(
    type: ResourceType<T>,
    ref: ObjectRef,
    options: RequestOptions = {},
  ): Promise<Stored<T> | undefined> {
    try {
      return await this.get(type, ref, options);
    } catch (thrown) {
      if (isNotFound(thrown)) return undefined;
      throw thrown;
    }
  }

  /** One page. Items carry apiVersion and kind, which the server leaves out of lists. */
  async list<T extends KubeObject>(type: ResourceType<T>, options: ListOptions = {}): Promise<ObjectList<T>> {
    const { namespace, signal, timeoutMs, ...selection } = options;
    const path = resourcePath(type, { namespace }) + query(selection);
    const page = await this.#json<{ metadata?: ObjectList<T>['metadata']; items?: Stored<T>[] | null }>(
      'GET',
      path,
      undefined,
      { signal, timeoutMs },
    );
    const items = page.items ?? [];
    for (const item of items) {
      item.apiVersion = apiVersionOf(type);
      item.kind = type.kind;
    }
    return { metadata: page.metadata ?? { resourceVersion: '' }, items };
  }

  /** All pages, one after the other; the resourceVersion is that of the first page, which all pages share. */
  async listAll<T extends KubeObject>(
    type: ResourceType<T>,
    options: ListOptions = {},
  ): Promise<{ resourceVersion: string; items: Stored<T>[] }> {
    const items: Stored<T>[] = [];
    let next: string | undefined = options.continue;
    for (;;) {
      const page: ObjectList<T> = await this.list(type, { limit: 500, ...options, continue: next });
      for (const item of page.items) items.push(item);
      next = page.metadata.continue;
      if (next === undefined || next === '') return { resourceVersion: page.metadata.resourceVersion, items };
    }
  }

  async create<T extends KubeObject>(
    type: ResourceType<T>,
    object: T,
    options: WriteOptions = {},
  ): Promise<Stored<T>> {
    const { namespace, name } = this.#refOf(type, object);
    const { subresource } = options;
    const path = resourcePath(type, {
      namespace,
      subresource,
      name: subresource === undefined ? undefined : name,
    });
    return await this.#json('POST', path + writeQuery(options), withType(type, object), options);
  }

  /** Replaces the object. A stale `metadata.resourceVersion` is a conflict. */
  async update<T extends KubeObject>(
    type: ResourceType<T>,
    object: T,
    options: WriteOptions = {},
  ): Promise<Stored<T>> {
    const path = resourcePath(type, { ...this.#refOf(type, object), subresource: options.subresource });
    return await this.#json('PUT', path + writeQuery(options), withType(type, object), options);
  }

  /** Replaces the status alone. A stale `metadata.resourceVersion` is a conflict. */
  async updateStatus<T extends KubeObject>(
    type: ResourceType<T>,
    object: T,
    options: RequestOptions = {},
  ): Promise<Stored<T>> {
    return await this.update(type, object, { ...options, subresource: 'status' });
  }

  async patch<T extends KubeObject>(
    type: ResourceType<T>,
    ref: ObjectRef,
    { patch, ...options }: WriteOptions & { patch: Patch },
  ): Promise<Stored<T>> {
    const apply = patch.type === 'apply' ? { fieldManager: patch.fieldManager, force: patch.force } : {};
    const path = resourcePath(type, { ...pick(ref), subresource: options.subresource });
    const body = patch.type === 'apply' ? withType(type, patch.body) : patch.body;
    return await this.#json('PATCH', path + writeQuery({ ...options, ...apply }), body, {
      ...options,
      contentType: patchTypes[patch.type],
    });
  }

  /** Asks for deletion; finalizers and grace may keep the object for a while. */
  async delete(type: ResourceType, ref: ObjectRef, options: DeleteOptions = {}): Promise<void> {
    const { propagationPolicy, gracePeriodSeconds, preconditions } = options;
    const body = {
      kind: 'DeleteOptions',
      apiVersion: 'v1',
      propagationPolicy,
      gracePeriodSeconds,
      preconditions,
    };
    await this.#json('DELETE', resourcePath(type, pick(ref)), body, options);
  }

  /** Streams changes after `resourceVersion`, with bookmarks. An expired version ends it with a 410 KubeApiError. */
  watch<T extends KubeObject>(
    type: ResourceType<T>,
    { namespace, ...selection }: WatchOptions,
    onEvent: (event: WatchEvent<T>) => void,
  ): Watch {
    const reader = new WatchReader<T>({ clock: this.#clock, limits: this.limits, onEvent });
    const abort = new AbortController();
    const path =
      resourcePath(type, { namespace }) +
      query({ timeoutSeconds: 300, ...selection, watch: true, allowWatchBookmarks: true });
    this.#transport.open({ method: 'GET', path, signal: abort.signal }).then(
      (response) => reader.read(response),
      (error: unknown) => reader.end({ kind: 'failed', error }),
    );
    return {
      opened: reader.opened,
      done: reader.done,
      stop: () => {
        reader.stop();
        abort.abort(new Error('watch stopped'));
      },
    };
  }

  /** A token of a ServiceAccount. `expirationTimestamp` is RFC 3339. */
  async tokenRequest(
    serviceAccount: ObjectRef,
    spec: TokenRequest['spec'],
    options: RequestOptions = {},
  ): Promise<{ token: string; expirationTimestamp: string }> {
    const path = resourcePath(serviceAccounts, { ...pick(serviceAccount), subresource: 'token' });
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec };
    const answer = await this.#json<TokenRequest>('POST', path, body, options);
    if (answer.status === undefined) throw new MeshError('kube-api', `POST ${path}: the answer has no token`);
    return answer.status;
  }

  /** Asks the API server whose token it is, and whether it is meant for one of `audiences`. */
  async reviewToken(
    token: string,
    audiences: string[],
    options: RequestOptions = {},
  ): Promise<NonNullable<TokenReview['status']>> {
    const review = await this.create<TokenReview>(tokenReviews, { spec: { token, audiences } }, options);
    return review.status ?? { authenticated: false };
  }

  /** Any request, for discovery, logs and probes; the answer is given back whatever its status. */
  async raw(method: string, path: string, request: RawRequest = {}): Promise<TransportResponse> {
    return await this.#transport.send({ method, path, ...request });
  }

  /** A GET whose answer streams, such as followed logs. @throws KubeApiError when the status is not 2xx */
  async stream(
    path: string,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<AsyncIterable<Buffer> & { destroy(): void }> {
    const response = await this.#transport.open({ method: 'GET', path, accept: '*/*', signal });
    signal?.addEventListener('abort', () => response.destroy(), { once: true });
    return response;
  }

  async #json<Result>(
    method: string,
    path: string,
    body: object | undefined,
    { signal, timeoutMs, contentType }: RequestOptions & { contentType?: string },
  ): Promise<Result> {
    const request = {
      method,
      path,
      signal,
      timeoutMs,
      contentType,
      body: body === undefined ? undefined : JSON.stringify(body),
    };
    const response = await this.#transport.send(request);
    const { status, headers } = response;
    if (status < 200 || status > 299) {
      throw new KubeApiError({
        status,
        request: describe(request),
        body: response.body,
        retryAfter: headers['retry-after'],
      });
    }
    try {
      return JSON.parse(response.body) as Result;
    } catch (cause) {
      throw new MeshError('kube-api', `${describe(request)}: the answer is not JSON`, { cause });
    }
  }

  #refOf(type: ResourceType, object: KubeObject): ObjectRef {
    const namespace = type.namespaced ? (object.metadata?.namespace ?? this.namespace) : undefined;
    return { namespace, name: object.metadata?.name ?? '' };
  }
}

function pick({ namespace, name }: ObjectRef): ObjectRef {
  if (name === '') throw new Error('an object reference has an empty name');
  return { namespace, name };
}

function withType(type: ResourceType, object: object): object {
  return { ...object, apiVersion: apiVersionOf(type), kind: type.kind };
}

function writeQuery(options: WriteOptions & { force?: boolean | undefined }): string {
  const { fieldManager, dryRun, force } = options;
  return query({ fieldManager, force, dryRun: dryRun === true ? 'All' : undefined });
}

function query(values: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined) params.set(name, String(value));
  }
  const text = params.toString();
  return text === '' ? '' : `?${text}`;
}
