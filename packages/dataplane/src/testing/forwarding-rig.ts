/** An application's proxy with one destination, real servers as its endpoints, and a client. For tests. */
import {
  type Agent,
  createServer,
  type IncomingMessage,
  request as httpRequest,
  type ServerResponse,
} from 'node:http';
import {
  connect as connectHttp2,
  createServer as createHttp2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { TestContext } from 'node:test';
import { RetryBudget } from '@mesh/balance/retry-budget';
import type { Clock } from '@mesh/clock/clock';
import { seededRandom } from '@mesh/clock/seeded';
import { systemClock } from '@mesh/clock/system';
import type { RequestHead, RequestListener, ServerStream, StreamHandler } from '@mesh/http/message';
import { serveHttp1 } from '@mesh/http1/server';
import { serveHttp2 } from '@mesh/http2/server';
import { LimitLedger } from '@mesh/limits/limits';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { listen, listening } from '@mesh/testkit/servers';
import { type Connector, connectTcp } from '../connector.ts';
import { outboundLabels } from '../endpoint.ts';
import { EndpointPool } from '../endpoint-pool.ts';
import type { EndpointSpec } from '../endpoint-spec.ts';
import type { ForwardContext } from '../exchange.ts';
import { ApplicationListener } from '../http-forwarder.ts';
import { HttpMetrics } from '../http-metrics.ts';
import { type DataplaneLimit, dataplaneLimits } from '../limits.ts';
import { type Codecs, defaultCodecs } from '../peer.ts';
import { PeerPool } from '../peer-pool.ts';

export interface Rig {
  /** Where the application's client connects. */
  readonly port: number;
  readonly pool: EndpointPool;
  readonly peers: PeerPool;
  readonly registry: MetricRegistry;
  readonly limits: LimitLedger<DataplaneLimit>;
  readonly codecs: Codecs;
}

export interface RigOptions {
  /** What the application's client speaks; default HTTP/1. */
  serves?: 'http1' | 'http2';
  /** Sees each request before it is forwarded. */
  onRequest?: (head: RequestHead) => void;
  failfastMs?: number;
  /** Default: the process clock. */
  clock?: Clock;
  limits?: Partial<Record<DataplaneLimit, number>>;
  /** Default: plain TCP, given up after a second. */
  connector?: Connector;
  /** Changes what the proxy's connections have in common. */
  context?: Partial<ForwardContext>;
}

/** Connections are plain TCP, so that forwarding is tested apart from TLS. */
export async function rig(
  test: TestContext,
  {
    serves = 'http1',
    onRequest,
    failfastMs = 300,
    clock = systemClock,
    limits: overrides = {},
    connector = { connect: (target) => connectTcp(target, { clock, timeoutMs: 1000 }) },
    context: changes = {},
  }: RigOptions = {},
): Promise<Rig> {
  const registry = new MetricRegistry();
  const metrics = new HttpMetrics(registry);
  const limits = new LimitLedger<DataplaneLimit>(dataplaneLimits, {
    failfast_outbound_ms: failfastMs,
    ...overrides,
  });
  const codecs = defaultCodecs();
  const peers = new PeerPool({
    clock,
    random: seededRandom(4),
    connector,
    limits,
    ...codecs,
  });
  const pool = new EndpointPool({
    name: 'cart:80',
    peers,
    limits,
    failfast: 'failfast_outbound_ms',
    cells: (spec) => metrics.cells(outboundLabels(spec)),
  });
  const context: ForwardContext = {
    clock,
    pool,
    budget: new RetryBudget(clock),
    limits,
    proxyName: 'outbound web',
    refuseUnsent: false,
    cells: metrics.cells({ direction: 'outbound' }),
    countBy: 'endpoint',
    retries: metrics.retries({ direction: 'outbound', outcome: 'sent' }),
    retriesDenied: metrics.retries({ direction: 'outbound', outcome: 'no_budget' }),
    ...changes,
  };
  const { port } = await listen(test, (socket) => {
    const listener = new ObservedListener(new ApplicationListener(context, () => {}), onRequest);
    if (serves === 'http1') serveHttp1(socket, listener, { clock, limits: codecs.http1Limits });
    else
      serveHttp2(socket, listener, { clock, limits: codecs.http2Limits, windowBudget: codecs.windowBudget });
  });
  test.after(() => {
    pool.close();
    peers.close();
  });
  return { port, pool, peers, registry, limits, codecs };
}

class ObservedListener implements RequestListener {
  readonly #listener: RequestListener;
  readonly #onRequest: ((head: RequestHead) => void) | undefined;

  constructor(listener: RequestListener, onRequest: ((head: RequestHead) => void) | undefined) {
    this.#listener = listener;
    this.#onRequest = onRequest;
  }

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): StreamHandler {
    this.#onRequest?.(head);
    return this.#listener.onRequest(stream, head, end);
  }

  onClose(): void {
    this.#listener.onClose();
  }
}

export function spec(port: number, facts: Partial<EndpointSpec> = {}): EndpointSpec {
  return {
    key: `127.0.0.1:${port}`,
    host: '127.0.0.1',
    port,
    identity: undefined,
    protocol: 'unknown',
    transportPort: 0,
    authorityOverride: '',
    tier: 0,
    weight: 1,
    labels: {},
    ...facts,
  };
}

/** A gateway speaks HTTP/2 whatever the client speaks; without identity it is reached in plain text here. */
export function carried(port: number, facts: Partial<EndpointSpec> = {}): EndpointSpec {
  return spec(port, { identity: 'peer', protocol: 'h2', ...facts });
}

export async function app(
  test: TestContext,
  handle: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<number> {
  return await listening(test, createServer(handle));
}

export async function http2App(
  test: TestContext,
  handle: (stream: ServerHttp2Stream, headers: Record<string, unknown>) => void,
): Promise<number> {
  const server = createHttp2Server();
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    handle(stream, headers);
  });
  return await listening(test, server);
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  readonly trailers: IncomingMessage['trailers'];
}

export function send(
  port: number,
  options: {
    method?: string;
    path?: string;
    body?: string | Buffer;
    headers?: Record<string, string>;
    agent?: Agent;
  } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(
      {
        host: '127.0.0.1',
        port,
        agent: options.agent ?? false,
        method: options.method ?? 'GET',
        path: options.path ?? '/',
        headers: { host: 'cart', ...options.headers },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString(),
            trailers: response.trailers,
          }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(options.body);
  });
}

export interface Http2Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: string;
}

/** A request on an HTTP/2 connection of its own. Rejects when the stream is reset. */
export function sendHttp2(
  port: number,
  headers: Record<string, string> = {},
  body?: string,
): Promise<Http2Answer> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    session.on('error', reject);
    const stream = session.request(
      { ':authority': 'cart', ':path': '/', ...headers },
      { endStream: body === undefined },
    );
    let response: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders = {};
    let received = '';
    stream.on('response', (got) => {
      response = got;
    });
    stream.on('trailers', (got) => {
      trailers = got;
    });
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      received += text;
    });
    stream.on('error', (error) => {
      session.destroy();
      reject(error);
    });
    stream.on('end', () => {
      session.destroy();
      resolve({ status: Number(response[':status']), headers: response, trailers, body: received });
    });
    if (body !== undefined) stream.end(body);
  });
}
