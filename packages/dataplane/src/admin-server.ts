/**
 * The admin page of every program: `/live`, `/ready`, `/metrics` and what a program adds.
 *
 * Read-only and small on purpose: GET and HEAD, no request body, bounded connections, so that a scraper can
 * neither change nor exhaust the program beside it. It is served by our own codec: `node:http` would be a megabyte of each sidecar.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import type { Clock, Timer } from '@mesh/clock/clock';
import type { RequestHead, ServerConnection, ServerStream } from '@mesh/http/message';
import { http1Limits, type Http1LimitName } from '@mesh/http1/limits';
import { serveHttp1 } from '@mesh/http1/server';
import { LimitLedger } from '@mesh/limits/limits';
import { TokenBucket } from '@mesh/limits/token-bucket';
import { type AdminLimit, adminLimits } from '@mesh/telemetry/limits';
import { isLoopback } from '@mesh/transport/loopback';
import { Discard } from './discard.ts';

export interface AdminRequest {
  readonly path: string;
  readonly query: URLSearchParams;
}

export interface AdminResponse {
  readonly status: number;
  /** Media type of `body`. */
  readonly type: string;
  /** Bytes, where one page is sent to several. */
  readonly body: string | Buffer;
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

/** Counted like those of the data plane, so that the page says which of its own were reached. */
export interface AdminLedgers {
  readonly page: LimitLedger<AdminLimit>;
  readonly http1: LimitLedger<Http1LimitName>;
}

export function adminLedgers(overrides: Partial<Record<AdminLimit, number>> = {}): AdminLedgers {
  const page = new LimitLedger<AdminLimit>(adminLimits, overrides);
  return {
    page,
    http1: new PageHttp1Limits(page),
  };
}

/** Limits of HTTP/1 that the page has of its own: under the data plane's names, scrapers would pass for its clients. */
const ownNames: Partial<Record<Http1LimitName, AdminLimit>> = {
  http1_head_bytes: 'admin_head_bytes',
  http1_idle_ms: 'admin_idle_ms',
  http1_stall_ms: 'admin_stall_ms',
};

class PageHttp1Limits extends LimitLedger<Http1LimitName> {
  readonly #page: LimitLedger<AdminLimit>;

  constructor(page: LimitLedger<AdminLimit>) {
    const {
      admin_head_bytes: http1_head_bytes,
      admin_idle_ms: http1_idle_ms,
      admin_stall_ms: http1_stall_ms,
    } = page.values;
    super(http1Limits, { http1_head_bytes, http1_idle_ms, http1_stall_ms });
    this.#page = page;
  }

  override hit(name: Http1LimitName): void {
    const own = ownNames[name];
    if (own === undefined) super.hit(name);
    else this.#page.hit(own);
  }
}

export interface AdminOptions {
  clock: Clock;
  /** 0 takes a free port. */
  port: number;
  /** Default: all IPv4 addresses. */
  host?: string;
  registry: MetricsPage;
  ready: () => Readiness;
  /** Default: one that nobody reads. */
  limits?: AdminLedgers;
  /** Exact path to handler. */
  extra?: Readonly<Record<string, AdminRoute>>;
  /** Exact path to what a POST from loopback does; everybody else gets 403. */
  actions?: Readonly<Record<string, AdminRoute>>;
}

export interface AdminServer {
  readonly port: number;
  close(): Promise<void>;
}

const text = (status: number, body: string): AdminResponse => ({
  status,
  type: 'text/plain; charset=utf-8',
  body,
});

/** Resolves once the port listens; rejects with the system error when it cannot. */
export async function startAdmin(options: AdminOptions): Promise<AdminServer> {
  const limits = options.limits ?? adminLedgers();
  const { page } = limits;
  const routes = new Map<string, AdminRoute>([
    ['/live', () => text(200, 'live\n')],
    ['/ready', () => readyPage(options.ready())],
    ['/metrics', metricsRoute(options, page)],
    ...Object.entries(options.extra ?? {}),
  ]);
  const actions = new Map<string, AdminRoute>(Object.entries(options.actions ?? {}));
  // Longest without a request first.
  const connections = new Set<ServerConnection>();
  const server = createServer((socket) => {
    const local = isLoopback(socket.remoteAddress ?? '');
    const [idlest] = connections;
    if (idlest !== undefined && connections.size >= page.values.admin_connections) {
      page.hit('admin_connections');
      connections.delete(idlest);
      idlest.destroy();
    }
    const connection = serveHttp1(
      socket,
      {
        onRequest(stream, head, end) {
          connections.delete(connection);
          connections.add(connection);
          void answer(routes, actions, { stream, head, local });
          return end ? new Discard(stream) : new BoundedBody(stream, { clock: options.clock, page });
        },
        onClose: () => void connections.delete(connection),
      },
      { clock: options.clock, limits: limits.http1 },
    );
    connections.add(connection);
  });
  server.listen(options.port, options.host ?? '0.0.0.0');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const connection of connections) connection.destroy();
      await closed;
    },
  };
}

/** How long the last metrics page is kept. */
const keptMs = 1000;

/** Made anew as often as `admin_renders` allows; whoever asks more often than that gets the last one. */
function metricsRoute({ clock, registry }: AdminOptions, page: LimitLedger<AdminLimit>): AdminRoute {
  const renders = new TokenBucket(page.values.admin_renders, clock.now());
  let last: Promise<Buffer> | undefined;
  let forgetting: Timer | undefined;
  const render = async (): Promise<Buffer> => Buffer.from(await registry.render());
  return async () => {
    const fresh = renders.take(clock.now());
    if (!fresh) page.hit('admin_renders');
    if (fresh || last === undefined) {
      last = render();
      forgetting?.cancel();
      // By then another may be made, and a page is large.
      forgetting = clock.after(keptMs, () => (last = undefined), true);
    }
    return { status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: await last };
  };
}

/** A body that nobody asked for; who sends it byte by byte may not hold one of the few places. */
class BoundedBody extends Discard {
  readonly #timer: Timer;

  constructor(stream: ServerStream, { clock, page }: { clock: Clock; page: LimitLedger<AdminLimit> }) {
    super(stream);
    this.#timer = clock.after(
      page.values.admin_body_ms,
      () => {
        page.hit('admin_body_ms');
        stream.reset('timeout');
      },
      true,
    );
  }

  override onEnd(): void {
    this.#timer.cancel();
  }

  override onReset(): void {
    this.#timer.cancel();
  }
}

function readyPage({ ready, reason, note = '' }: Readiness): AdminResponse {
  if (!ready) return text(503, `not ready: ${reason}\n`);
  return text(200, note === '' ? 'ready\n' : `ready, but ${note}\n`);
}

interface Question {
  readonly stream: ServerStream;
  readonly head: RequestHead;
  /** The client is on this machine, or in this pod. */
  readonly local: boolean;
}

async function answer(
  routes: ReadonlyMap<string, AdminRoute>,
  actions: ReadonlyMap<string, AdminRoute>,
  question: Question,
): Promise<void> {
  const { stream, head } = question;
  const page = await respond(routes, actions, question).catch(() => text(500, 'the page failed\n'));
  const body = typeof page.body === 'string' ? Buffer.from(page.body) : page.body;
  const headers = ['content-type', page.type, 'content-length', String(body.length)];
  const bodiless = head.method === 'HEAD' || body.length === 0;
  stream.respond({ status: page.status, headers }, bodiless);
  if (bodiless) return;
  stream.write(body);
  stream.end(null);
}

async function respond(
  routes: ReadonlyMap<string, AdminRoute>,
  actions: ReadonlyMap<string, AdminRoute>,
  { head, local }: Question,
): Promise<AdminResponse> {
  const { method, path: target } = head;
  const mark = target.indexOf('?');
  const path = mark === -1 ? target : target.slice(0, mark);
  const query = new URLSearchParams(mark === -1 ? '' : target.slice(mark + 1));
  const action = actions.get(path);
  if (action !== undefined) {
    if (method !== 'POST') return text(405, 'only POST\n');
    if (!local) return text(403, 'only from loopback\n');
    return action({ path, query });
  }
  if (method !== 'GET' && method !== 'HEAD') return text(405, 'only GET and HEAD\n');
  const route = routes.get(path);
  if (route === undefined) return text(404, `no page here; pages: ${[...routes.keys()].join(' ')}\n`);
  return route({ path, query });
}
