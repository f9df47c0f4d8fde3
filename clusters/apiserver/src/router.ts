/**
 * The way of every request: read what it asks, authenticate, authorize, hand over. Also the one place that turns an
 * error into a response.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describeError } from '@mesh/errors/mesh-error';
import type { Logger } from '@mesh/telemetry/log';
import { authenticate, type User } from './authentication.ts';
import {
  coreVersions,
  groupList,
  oneGroup,
  openApiDocument,
  openApiRoot,
  resourceList,
} from './discovery.ts';
import { sendJson, sendText, type Exchange } from './exchange.ts';
import { sendOpenApiV2 } from './openapi-v2.ts';
import { impersonate } from './impersonation.ts';
import type { JsonObject } from './json.ts';
import { denial, type Attributes, type RbacAuthorizer } from './rbac.ts';
import { parseRequest, type RequestInfo } from './request-info.ts';
import type { ResourceApi } from './resource-api.ts';
import type { ResourceRegistry } from './resources.ts';
import { ApiError, badRequest, forbidden, internalError, methodNotAllowed, noSuchPath } from './status.ts';
import { tokenIssuer, type ServiceAccountTokens } from './tokens.ts';
import { serverVersion } from './version.ts';

interface RouterOptions {
  registry: ResourceRegistry;
  tokens: ServiceAccountTokens;
  authorizer: RbacAuthorizer;
  resources: ResourceApi;
  log: Logger;
  /** `host:port` as clients on the host reach it. */
  address: () => string;
}

export class Router {
  readonly #registry: ResourceRegistry;
  readonly #tokens: ServiceAccountTokens;
  readonly #authorizer: RbacAuthorizer;
  readonly #resources: ResourceApi;
  readonly #log: Logger;
  readonly #address: () => string;

  constructor({ registry, tokens, authorizer, resources, log, address }: RouterOptions) {
    this.#registry = registry;
    this.#tokens = tokens;
    this.#authorizer = authorizer;
    this.#resources = resources;
    this.#log = log;
    this.#address = address;
  }

  /** Never rejects. */
  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const info = parseRequest(request.method ?? 'GET', request.url ?? '/');
      if (info === undefined) throw badRequest('the path cannot be decoded');
      const presented = authenticate(request, this.#tokens);
      const user = impersonate(request, presented, this.#authorizer);
      this.#authorize(user, info);
      const warnings = new Set<string>();
      const warn = (message: string): void => {
        warnings.add(`299 - "${message.replace(/["\\]/g, '\\$&').replace(/[^\t\x20-\x7e]/g, '?')}"`);
        response.setHeader('warning', [...warnings]);
      };
      await this.#dispatch({ request, response, info, user, warn });
    } catch (thrown) {
      this.#fail(request, response, thrown);
    }
  }

  #authorize(user: User, info: RequestInfo): void {
    const { resource, verb, path } = info;
    const wanted: Attributes =
      resource === undefined
        ? { verb, path }
        : {
            verb,
            group: resource.group,
            resource: resource.plural,
            subresource: resource.subresource,
            // A Namespace is authorized inside itself.
            namespace: resource.plural === 'namespaces' ? resource.name : resource.namespace,
            name: resource.name === '' ? selectedName(info) : resource.name,
          };
    if (this.#authorizer.authorize(user, wanted).allowed) return;
    if (resource === undefined) {
      throw new ApiError({
        code: 403,
        reason: 'Forbidden',
        message: `forbidden: ${denial(user, wanted)}`,
        details: {},
      });
    }
    const { group, plural, name } = resource;
    throw forbidden(
      { group, kind: plural, ...(name === '' ? {} : { name }) },
      denial(user, { ...wanted, namespace: resource.namespace }),
    );
  }

  async #dispatch(exchange: Exchange): Promise<void> {
    const { info, response } = exchange;
    const target = info.resource;
    if (target === undefined) {
      if (info.method !== 'GET' && info.method !== 'HEAD') throw methodNotAllowed();
      if (info.path === '/openapi/v2') {
        sendOpenApiV2(response, exchange.request.headers.accept ?? '');
        return;
      }
      const document = this.#document(info.path, info.query);
      if (document === undefined) {
        sendPageNotFound(response);
        return;
      }
      if (typeof document === 'string') sendText(response, 200, document, 'text/plain; charset=utf-8');
      else sendJson(response, 200, document);
      return;
    }
    const resource = this.#registry.find(target.group, target.version, target.plural);
    if (resource === undefined) {
      if (this.#registry.groups().get(target.group)?.includes(target.version) === true) throw noSuchPath();
      sendPageNotFound(response);
      return;
    }
    await this.#resources.serve({ ...exchange, resource, target });
  }

  /** Discovery and the other fixed paths. Text is sent as text. */
  #document(path: string, query: URLSearchParams): JsonObject | string | undefined {
    switch (path) {
      case '/healthz':
      case '/livez':
      case '/readyz':
        return query.has('verbose') ? `[+]ping ok\n${path.slice(1)} check passed\n` : 'ok';
      case '/version':
      case '/version/':
        return serverVersion;
      case '/api':
        return coreVersions(this.#address());
      case '/apis':
        return groupList(this.#registry);
      case '/openapi/v3':
        return openApiRoot(this.#registry);
      case '/openid/v1/jwks':
        return this.#tokens.keySet;
      case '/.well-known/openid-configuration':
        return {
          issuer: tokenIssuer,
          jwks_uri: `${tokenIssuer}/openid/v1/jwks`,
          response_types_supported: ['id_token'],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: ['ES256'],
        };
    }
    const openApi = /^\/openapi\/v3\/(.+)$/.exec(path);
    if (openApi !== null) return openApiDocument(this.#registry, openApi[1] ?? '');
    const [, prefix, first = '', second, beyond] = path.replace(/\/$/, '').split('/');
    if (beyond !== undefined) return undefined;
    if (prefix === 'api' && second === undefined) return resourceList(this.#registry, '', first);
    if (prefix !== 'apis') return undefined;
    return second === undefined
      ? oneGroup(this.#registry, first)
      : resourceList(this.#registry, first, second);
  }

  #fail(request: IncomingMessage, response: ServerResponse, thrown: unknown): void {
    let error: ApiError;
    if (thrown instanceof ApiError) error = thrown;
    else {
      this.#log.error('request failed unexpectedly', {
        method: request.method,
        path: request.url?.split('?')[0],
        error: describeError(thrown),
        stack: thrown instanceof Error ? thrown.stack : undefined,
      });
      error = internalError('unexpected fault in the server; its log has the details');
    }
    if (response.headersSent) {
      response.destroy();
      return;
    }
    if (error.code === 401) response.setHeader('www-authenticate', 'Bearer');
    // What is left of a body that was not read must not be taken for the next request.
    if (!request.complete) response.setHeader('connection', 'close');
    sendJson(response, error.code, error.status);
  }
}

/** The one name that a list or watch is about; a role that names objects may allow these, too. */
function selectedName({ verb, query }: RequestInfo): string {
  if (verb !== 'list' && verb !== 'watch') return '';
  const terms = (query.get('fieldSelector') ?? '').split(',');
  const names = terms.map((term) => /^\s*metadata\.name\s*==?\s*([^\s=]+)\s*$/.exec(term)?.[1]);
  return names.find((name) => name !== undefined) ?? '';
}

/** Where no API is, there is no Status either. */
function sendPageNotFound(response: ServerResponse): void {
  sendText(response, 404, '404 page not found\n', 'text/plain; charset=utf-8');
}
