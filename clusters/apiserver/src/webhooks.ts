/** Admission webhooks, admission.k8s.io/v1: which ones a request matches, the call, and what their answers mean. */
import { randomUUID } from 'node:crypto';
import { request as httpsRequest } from 'node:https';
import { isIP, type Socket } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import type { Clock } from '@mesh/clock/clock';
import type { LimitLedger } from '@mesh/limits/limits';
import type { AdmissionRequest } from './admission-request.ts';
import { applyJsonPatch } from './json-patch.ts';
import {
  at,
  deepEqual,
  isObject,
  listAt,
  numberAt,
  objectAt,
  textAt,
  textsAt,
  type Json,
  type JsonObject,
} from './json.ts';
import type { ApiserverLimit } from './limits.ts';
import { asObject, type KubeObject } from './object.ts';
import { labelSelectorMatches } from './selectors.ts';
import { ApiError, internalError } from './status.ts';
import type { Store } from './store.ts';
import { dialThroughNode, resolveService } from './webhook-dial.ts';

const group = 'admissionregistration.k8s.io';

interface WebhooksOptions {
  store: Store;
  clock: Clock;
  limits: LimitLedger<ApiserverLimit>;
  /** Unix socket of the node's relay; undefined dials endpoints directly. */
  relayPath: string | undefined;
}

interface Verdict {
  readonly patch: Json | undefined;
}

export class Webhooks {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #limits: LimitLedger<ApiserverLimit>;
  readonly #relayPath: string | undefined;

  constructor({ store, clock, limits, relayPath }: WebhooksOptions) {
    this.#store = store;
    this.#clock = clock;
    this.#limits = limits;
    this.#relayPath = relayPath;
  }

  /**
   * One after the other, in the order of their configurations' names; then once more those that ask for it, where a
   * later one changed what they saw.
   */
  async mutate(
    request: AdmissionRequest,
    object: KubeObject,
    afterChange: (changed: KubeObject) => void,
  ): Promise<KubeObject> {
    const matching = (seen: KubeObject): Json[] =>
      this.#matching('mutatingwebhookconfigurations', request, seen);
    const left = new Map<Json, KubeObject>();
    const first = matching(object);
    const result = await this.#mutateBy(first, request, { object, afterChange, left });
    const again = matching(result).filter(
      (webhook) =>
        textAt(webhook, 'reinvocationPolicy') === 'IfNeeded' &&
        left.has(webhook) &&
        !deepEqual(left.get(webhook), result),
    );
    return await this.#mutateBy(again, request, { object: result, afterChange, left });
  }

  /** @param left gets the object as each webhook left it */
  async #mutateBy(
    webhooks: readonly Json[],
    request: AdmissionRequest,
    {
      object,
      afterChange,
      left,
    }: {
      object: KubeObject;
      afterChange: (changed: KubeObject) => void;
      left: Map<Json, KubeObject>;
    },
  ): Promise<KubeObject> {
    let current = object;
    for (const webhook of webhooks) {
      left.set(webhook, current);
      const verdict = await this.#consult(webhook, request, current);
      if (verdict?.patch === undefined) continue;
      const patched = applyJsonPatch(current, verdict.patch);
      const changed = patched.kind === 'ok' ? asObject(patched.value) : undefined;
      if (patched.kind !== 'ok' || changed === undefined) {
        const fault = patched.kind === 'ok' ? 'the patch leaves no object' : patched.fault;
        throw internalError(
          `failed calling webhook ${JSON.stringify(textAt(webhook, 'name'))}: cannot apply its patch: ${fault}`,
        );
      }
      afterChange(changed);
      current = changed;
      left.set(webhook, current);
    }
    return current;
  }

  async validate(request: AdmissionRequest, object: KubeObject | undefined): Promise<void> {
    const webhooks = this.#matching('validatingwebhookconfigurations', request, object ?? request.oldObject);
    await Promise.all(webhooks.map((webhook) => this.#consult(webhook, request, object)));
  }

  #matching(plural: string, request: AdmissionRequest, object: KubeObject | undefined): Json[] {
    // Webhooks cannot stop the removal of webhooks.
    if (request.info.group === group) return [];
    const configurations = this.#store.list(`${group}/${plural}`);
    return configurations
      .flatMap((configuration) => listAt(configuration, 'webhooks'))
      .filter((webhook) => this.#matches(webhook, request, object));
  }

  #matches(webhook: Json, request: AdmissionRequest, object: KubeObject | undefined): boolean {
    const { info, namespace, name } = request;
    if (!listAt(webhook, 'rules').some((rule) => ruleMatches(rule, request))) return false;
    const labels = objectAt(object, 'metadata', 'labels') ?? {};
    const oldLabels = objectAt(request.oldObject, 'metadata', 'labels') ?? {};
    const objectSelector = at(webhook, 'objectSelector');
    if (
      !labelSelectorMatches(objectSelector, labels) &&
      !(request.oldObject !== undefined && labelSelectorMatches(objectSelector, oldLabels))
    ) {
      return false;
    }
    const selector = at(webhook, 'namespaceSelector');
    if (info.kind === 'Namespace' && info.group === '') return labelSelectorMatches(selector, labels);
    if (!info.namespaced) return true;
    const found = this.#store.get('/namespaces', '', namespace === '' ? name : namespace);
    return labelSelectorMatches(selector, objectAt(found, 'metadata', 'labels') ?? {});
  }

  /** Undefined when the webhook failed and its policy is Ignore. @throws ApiError */
  async #consult(
    webhook: Json,
    request: AdmissionRequest,
    object: KubeObject | undefined,
  ): Promise<Verdict | undefined> {
    const name = textAt(webhook, 'name') ?? '';
    const uid = randomUUID();
    let response: JsonObject;
    try {
      const review = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' };
      const answer = await this.#call(webhook, { ...review, request: reviewOf(request, object, uid) });
      const found = objectAt(answer, 'response');
      if (found === undefined || textAt(found, 'uid') !== uid || typeof found['allowed'] !== 'boolean') {
        throw new Error('expected an AdmissionReview response with the uid of the request');
      }
      response = found;
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      if (textAt(webhook, 'failurePolicy') === 'Ignore') return undefined;
      throw internalError(`failed calling webhook ${JSON.stringify(name)}: failed to call webhook: ${why}`);
    }
    for (const warning of textsAt(response, 'warnings')) request.warn(warning);
    if (response['allowed'] !== true) throw denial(name, response);
    const patch = textAt(response, 'patch');
    if (patch === undefined) return { patch: undefined };
    try {
      return { patch: JSON.parse(Buffer.from(patch, 'base64').toString('utf8')) as Json };
    } catch {
      throw internalError(`failed calling webhook ${JSON.stringify(name)}: its patch is not JSON`);
    }
  }

  async #call(webhook: Json, body: Json): Promise<Json> {
    const config = at(webhook, 'clientConfig');
    const timeoutMs = (numberAt(webhook, 'timeoutSeconds') ?? 10) * 1000;
    const bundle = textAt(config, 'caBundle');
    const ca = bundle === undefined ? undefined : Buffer.from(bundle, 'base64').toString('utf8');
    const service = at(config, 'service');
    const deadline = new AbortController();
    const timer = this.#clock.after(timeoutMs, () =>
      deadline.abort(new Error(`context deadline exceeded after ${timeoutMs / 1000}s`)),
    );
    try {
      if (!isObject(service)) {
        return await this.#post(new URL(textAt(config, 'url') ?? ''), {
          ca,
          body,
          deadline,
          socket: undefined,
        });
      }
      const reference = {
        namespace: textAt(service, 'namespace') ?? '',
        name: textAt(service, 'name') ?? '',
        port: numberAt(service, 'port') ?? 443,
      };
      const url = new URL(`https://${reference.name}.${reference.namespace}.svc:${reference.port}`);
      const [path = '', query] = (textAt(service, 'path') ?? '/').split('?');
      url.pathname = path;
      if (query !== undefined) url.search = query;
      const endpoint = resolveService(this.#store, reference);
      if ('fault' in endpoint) throw new Error(`Post "${url.href}": ${endpoint.fault}`);
      const socket =
        this.#relayPath === undefined
          ? undefined
          : await abortable(
              dialThroughNode(this.#relayPath, endpoint.address, endpoint.port),
              deadline.signal,
            );
      return await this.#post(url, { ca, body, deadline, socket, endpoint });
    } finally {
      timer.cancel();
    }
  }

  #post(
    url: URL,
    options: {
      ca: string | undefined;
      body: Json;
      deadline: AbortController;
      socket: Socket | undefined;
      endpoint?: { address: string; port: number };
    },
  ): Promise<Json> {
    const { ca, body, deadline, socket, endpoint } = options;
    const text = JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        const why = deadline.signal.aborted ? deadline.signal.reason : error;
        reject(new Error(`Post "${url.href}": ${why instanceof Error ? why.message : String(why)}`));
      };
      const tls = {
        ...(ca === undefined ? {} : { ca }),
        ...(isIP(url.hostname) === 0 ? { servername: url.hostname } : {}),
      };
      const request = httpsRequest(
        {
          method: 'POST',
          path: `${url.pathname}${url.search}`,
          host: endpoint?.address ?? url.hostname,
          port: endpoint?.port ?? (url.port === '' ? 443 : Number(url.port)),
          headers: {
            host: url.host,
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(text),
          },
          signal: deadline.signal,
          ...tls,
          ...(socket === undefined
            ? { agent: false as const }
            : { createConnection: () => tlsConnect({ socket, ...tls }) }),
        },
        (response) => {
          const chunks: Buffer[] = [];
          let size = 0;
          response.on('data', (chunk: Buffer) => {
            size += chunk.length;
            if (size > this.#limits.values.apiserver_webhook_response_bytes) {
              this.#limits.hit('apiserver_webhook_response_bytes');
              response.destroy(new Error('the response is too large'));
            } else chunks.push(chunk);
          });
          response.on('error', fail);
          response.on('end', () => {
            if (response.statusCode !== 200) {
              fail(new Error(`unexpected status ${response.statusCode}`));
              return;
            }
            try {
              resolve(JSON.parse(Buffer.concat(chunks).toString('utf8')) as Json);
            } catch {
              fail(new Error('the response is not JSON'));
            }
          });
        },
      );
      request.on('error', fail);
      request.end(text);
    });
  }
}

function abortable(dialing: Promise<Socket>, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    dialing.then((socket) => {
      if (signal.aborted) socket.destroy();
      resolve(socket);
    }, reject);
  });
}

function ruleMatches(rule: Json, { info, operation, subresource }: AdmissionRequest): boolean {
  const has = (member: string, value: string): boolean => {
    const list = textsAt(rule, member);
    return list.includes('*') || list.includes(value);
  };
  if (!has('operations', operation) || !has('apiGroups', info.group) || !has('apiVersions', info.version)) {
    return false;
  }
  const scope = textAt(rule, 'scope') ?? '*';
  if (scope !== '*' && scope !== (info.namespaced ? 'Namespaced' : 'Cluster')) return false;
  return textsAt(rule, 'resources').some((pattern) => {
    const [resource, sub = ''] = pattern.split('/');
    return (resource === '*' || resource === info.plural) && (sub === '*' || sub === subresource);
  });
}

function reviewOf(request: AdmissionRequest, object: KubeObject | undefined, uid: string): Json {
  const { info, namespace, name, subresource, operation, user, dryRun, oldObject } = request;
  const kind = { group: info.group, version: info.version, kind: info.kind };
  const resource = { group: info.group, version: info.version, resource: info.plural };
  return {
    uid,
    kind,
    resource,
    ...(subresource === '' ? {} : { subResource: subresource }),
    requestKind: kind,
    requestResource: resource,
    name,
    ...(namespace === '' ? {} : { namespace }),
    operation,
    userInfo: {
      username: user.name,
      uid: user.uid,
      groups: [...user.groups],
      extra: Object.fromEntries(Object.entries(user.extra).map(([key, values]) => [key, [...values]])),
    },
    object: object ?? null,
    oldObject: oldObject ?? null,
    dryRun,
    options: null,
  };
}

function denial(name: string, response: JsonObject): ApiError {
  const message = textAt(response, 'status', 'message');
  const reason = textAt(response, 'status', 'reason');
  const code = numberAt(response, 'status', 'code') ?? 403;
  const why = message ?? reason;
  return new ApiError({
    code: code >= 400 && code < 600 ? code : 403,
    reason: reason ?? 'Forbidden',
    message: `admission webhook "${name}" denied the request${why === undefined ? ' without explanation' : `: ${why}`}`,
  });
}
