/** get, list and watch. */
import type { Clock, Random } from '@mesh/clock/clock';
import type { LimitLedger } from '@mesh/limits/limits';
import { sendText, type ResourceExchange } from './exchange.ts';
import type { JsonObject } from './json.ts';
import type { ApiserverLimit } from './limits.ts';
import { namespaceOf, objectKey, type KubeObject } from './object.ts';
import { Representation } from './representation.ts';
import { storageName } from './resources.ts';
import { parseFieldSelector, parseLabelSelector, type Matcher } from './selectors.ts';
import { ApiError, badRequest, expired, invalidOptions, notFound } from './status.ts';
import type { Store } from './store.ts';
import { serveWatch } from './watch.ts';

interface ReadApiOptions {
  store: Store;
  clock: Clock;
  random: Random;
  limits: LimitLedger<ApiserverLimit>;
}

/** Where the next page begins: after `key`, in the list as it was at `version`. */
interface Continuation {
  readonly version: number;
  readonly key: string;
}

export class ReadApi {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #limits: LimitLedger<ApiserverLimit>;

  constructor({ store, clock, random, limits }: ReadApiOptions) {
    this.#store = store;
    this.#clock = clock;
    this.#random = random;
    this.#limits = limits;
  }

  get(exchange: ResourceExchange): void {
    const { resource, target, response } = exchange;
    const object = this.#store.get(storageName(resource), target.namespace, target.name);
    if (object === undefined) {
      throw notFound({ group: resource.group, kind: resource.plural, name: target.name });
    }
    sendText(response, 200, this.#representation(exchange).one(object));
  }

  list(exchange: ResourceExchange): void {
    const { resource, target, response, info } = exchange;
    const matches = selectorOf(exchange);
    const { query } = info;
    const limit = wholeNumber(query, 'limit') ?? 0;
    const continued = query.get('continue') ?? '';
    const start = continued === '' ? undefined : parseContinuation(continued);
    const version = start?.version ?? this.#listVersion(query);
    const all = this.#store.listAt(storageName(resource), target.namespace, version);
    if (all === undefined) {
      throw expired(
        'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.',
      );
    }
    const selected = all.filter(matches).filter((object) => start === undefined || keyOf(object) > start.key);
    const page = limit > 0 ? selected.slice(0, limit) : selected;
    const last = page.at(-1);
    const remaining = selected.length - page.length;
    const selective = query.get('labelSelector') ?? query.get('fieldSelector') ?? '';
    const listMeta: JsonObject = {
      resourceVersion: String(version),
      ...(remaining > 0 && last !== undefined
        ? { continue: formatContinuation({ version, key: keyOf(last) }) }
        : {}),
      ...(remaining > 0 && selective === '' ? { remainingItemCount: remaining } : {}),
    };
    sendText(response, 200, this.#representation(exchange).list(page, listMeta));
  }

  watch(exchange: ResourceExchange): void {
    const { resource, target, response, info } = exchange;
    const { query } = info;
    const initialEvents = query.get('sendInitialEvents') === 'true';
    if (initialEvents && query.get('resourceVersionMatch') !== 'NotOlderThan') {
      throw invalidOptions('ListOptions', (faults) =>
        faults.forbidden(
          'resourceVersionMatch',
          'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
        ),
      );
    }
    const version = versionOf(query, (message) => new ApiError({ code: 500, reason: '', message })) ?? 0;
    const byField = target.name === '' ? undefined : target.name;
    const matches = selectorOf(exchange);
    const representation = this.#representation(exchange);
    serveWatch(response, {
      store: this.#store,
      clock: this.#clock,
      random: this.#random,
      limits: this.#limits,
      info: resource,
      namespace: target.namespace,
      matches: (object) => matches(object) && (byField === undefined || object.metadata.name === byField),
      version: version === 0 || initialEvents ? undefined : version,
      bookmarks: ['true', '1'].includes(query.get('allowWatchBookmarks') ?? ''),
      initialEvents,
      timeoutSeconds: wholeNumber(query, 'timeoutSeconds'),
      encode: (object) => representation.one(object),
    });
  }

  /** Objects that a deletecollection names, as they are now. */
  selected(exchange: ResourceExchange): KubeObject[] {
    const { resource, target } = exchange;
    return this.#store.list(storageName(resource), target.namespace).filter(selectorOf(exchange));
  }

  #representation({ resource, request, info }: ResourceExchange): Representation {
    const { accept } = request.headers;
    return new Representation(resource, { accept, query: info.query, nowMs: () => this.#clock.wall() });
  }

  /** The version a list is answered at; everything is as new as the last write unless an exact one is asked for. */
  #listVersion(query: URLSearchParams): number {
    const given = versionOf(query, (message) => badRequest(`invalid resource version: ${message}`));
    const match = query.get('resourceVersionMatch');
    if (match !== null && given === undefined) {
      throw invalidOptions('ListOptions', (faults) =>
        faults.forbidden(
          'resourceVersionMatch',
          'resourceVersionMatch is forbidden unless resourceVersion is provided',
        ),
      );
    }
    const wanted = given ?? 0;
    if (match !== null && match !== 'Exact' && match !== 'NotOlderThan') {
      throw badRequest(`resourceVersionMatch ${JSON.stringify(match)} is not one of Exact, NotOlderThan`);
    }
    if (wanted > this.#store.version) {
      throw new ApiError({
        code: 504,
        reason: 'Timeout',
        message: `Timeout: Too large resource version: ${wanted}, current: ${this.#store.version}`,
        details: {
          retryAfterSeconds: 1,
          causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
        },
      });
    }
    return match === 'Exact' ? wanted : this.#store.version;
  }
}

function keyOf(object: KubeObject): string {
  return objectKey(namespaceOf(object), object.metadata.name);
}

function formatContinuation({ version, key }: Continuation): string {
  return Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: version, start: key })).toString('base64url');
}

function parseContinuation(text: string): Continuation {
  try {
    const { rv, start } = JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as Record<
      string,
      unknown
    >;
    if (typeof rv === 'number' && typeof start === 'string') return { version: rv, key: start };
  } catch {
    // Falls through to the refusal below.
  }
  throw badRequest('continue key is not valid');
}

function wholeNumber(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === '') return undefined;
  if (!/^\d{1,15}$/.test(text))
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}

/** `refusal` words what is no version as the operation does. */
function versionOf(query: URLSearchParams, refusal: (message: string) => ApiError): number | undefined {
  const text = query.get('resourceVersion') ?? '';
  if (text === '') return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const shown = JSON.stringify(text);
  throw refusal(
    `resourceVersion: Invalid value: ${shown}: strconv.ParseUint: parsing ${shown}: invalid syntax`,
  );
}

function selectorOf({ info, resource }: ResourceExchange): Matcher {
  const labels = parseLabelSelector(info.query.get('labelSelector') ?? '');
  if ('fault' in labels) throw badRequest(labels.fault);
  const fields = parseFieldSelector(
    info.query.get('fieldSelector') ?? '',
    resource.custom === undefined ? resource.kind : '',
    resource.custom?.selectableFields,
  );
  if ('fault' in fields) throw badRequest(fields.fault);
  return (object) => labels.matches(object) && fields.matches(object);
}
