/**
 * The admin page of every program: `/live`, `/ready`, `/metrics` and what a program adds.
 *
 * Read-only and small on purpose: GET and HEAD, no request body, bounded connections, so that a scraper can
 * neither change nor exhaust the program beside it.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { LimitLedger } from '@mesh/limits/limits';
import { capConnections } from '@mesh/sockets/connection-cap';
import { type AdminLimit, adminLimits } from './limits.ts';

export interface AdminRequest {
  readonly path: string;
  readonly query: URLSearchParams;
}

export interface AdminResponse {
  readonly status: number;
  /** Media type of `body`. */
  readonly type: string;
  readonly body: string;
}

export type AdminRoute = (request: AdminRequest) => AdminResponse | Promise<AdminResponse>;

export interface Readiness {
  readonly ready: boolean;
  /** What is missing, for the person who asks; shown with a 503. */
  readonly reason: string;
  /** What is not as it should be even so; shown with a 200. */
  readonly note?: string;
}

/** A registry, or what gathers the registries of several processes. */
export interface MetricsPage {
  render(): string | Promise<string>;
}

export interface AdminOptions {
  /** 0 takes a free port. */
  port: number;
  /** Default: all IPv4 addresses. */
  host?: string;
  registry: MetricsPage;
  ready: () => Readiness;
  /** Default: one that nobody reads. */
  limits?: LimitLedger<AdminLimit>;
  /** Exact path to handler. */
  extra?: Readonly<Record<string, AdminRoute>>;
  /** Exact path to what a POST from loopback does; everybody else gets 403. */
  actions?: Readonly<Record<string, AdminRoute>>;
}

export interface AdminServer {
  readonly port: number;
  close(): Promise<void>;
}

const maxHeaderBytes = 8192;
const requestTimeoutMs = 10_000;

const text = (status: number, body: string): AdminResponse => ({
  status,
  type: 'text/plain; charset=utf-8',
  body,
});

/** Resolves once the port listens; rejects with the system error when it cannot. */
export async function startAdmin(options: AdminOptions): Promise<AdminServer> {
  const routes = new Map<string, AdminRoute>([
    ['/live', () => text(200, 'live\n')],
    ['/ready', () => readyPage(options.ready())],
    [
      '/metrics',
      async () => ({
        status: 200,
        type: 'text/plain; version=0.0.4; charset=utf-8',
        body: await options.registry.render(),
      }),
    ],
    ...Object.entries(options.extra ?? {}),
  ]);
  const actions = new Map<string, AdminRoute>(Object.entries(options.actions ?? {}));
  const server = createServer(
    { maxHeaderSize: maxHeaderBytes, headersTimeout: requestTimeoutMs, requestTimeout: requestTimeoutMs },
    (request, response) => void answer(routes, actions, request, response),
  );
  const limits = options.limits ?? new LimitLedger(adminLimits);
  capConnections(server, limits.values.admin_connections, () => limits.hit('admin_connections'));
  server.listen(options.port, options.host ?? '0.0.0.0');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function readyPage({ ready, reason, note = '' }: Readiness): AdminResponse {
  if (!ready) return text(503, `not ready: ${reason}\n`);
  return text(200, note === '' ? 'ready\n' : `ready, but ${note}\n`);
}

async function answer(
  routes: ReadonlyMap<string, AdminRoute>,
  actions: ReadonlyMap<string, AdminRoute>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const page = await respond(routes, actions, request).catch(() => text(500, 'the page failed\n'));
  response.writeHead(page.status, {
    'content-type': page.type,
    'content-length': Buffer.byteLength(page.body),
  });
  response.end(request.method === 'HEAD' ? undefined : page.body);
}

async function respond(
  routes: ReadonlyMap<string, AdminRoute>,
  actions: ReadonlyMap<string, AdminRoute>,
  request: IncomingMessage,
): Promise<AdminResponse> {
  const target = request.url ?? '/';
  const mark = target.indexOf('?');
  const path = mark === -1 ? target : target.slice(0, mark);
  const query = new URLSearchParams(mark === -1 ? '' : target.slice(mark + 1));
  const action = actions.get(path);
  if (action !== undefined) {
    if (request.method !== 'POST') return text(405, 'only POST\n');
    if (!isLoopback(request.socket.remoteAddress ?? '')) return text(403, 'only from loopback\n');
    return action({ path, query });
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') return text(405, 'only GET and HEAD\n');
  const route = routes.get(path);
  if (route === undefined) return text(404, `no page here; pages: ${[...routes.keys()].join(' ')}\n`);
  return route({ path, query });
}

function isLoopback(address: string): boolean {
  return address === '::1' || /^(?:::ffff:)?127\./.test(address);
}
