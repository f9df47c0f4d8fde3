import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Clock } from '@mesh/clock/clock';
import { type DataplaneLimit, dataplaneLimits } from '@mesh/dataplane/limits';
import { PeerLog } from '@mesh/dataplane/peer-log';
import { describeError } from '@mesh/errors/mesh-error';
import { LimitLedger } from '@mesh/limits/limits';
import type { Logger } from '@mesh/telemetry/log';
import type { Counter, Family } from '@mesh/telemetry/metrics';
import { type InjectorLimit, injectorLimits } from './limits.ts';
import type { ServingMaterial } from './serving-certificate.ts';
import { type Cluster, review } from './webhook.ts';

interface Options {
  port: number;
  cluster: Cluster;
  log: Logger;
  clock: Clock;
  reviews: Family<Counter>;
  /** Other values than the defaults. */
  limits?: Partial<Record<InjectorLimit, number>>;
}

/** The same of a TLS socket and of the one that it is on. */
function clientOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/**
 * Longer than API servers keep idle connections (90 s), so that it is they who close them: a review that meets our end of one
 * fails, and its pod gets no sidecar.
 */
const keepAliveTimeout = 120_000;

/** The HTTPS side of the webhook; its certificate can be swapped while it serves. */
export class InjectorServer {
  readonly limits: LimitLedger<InjectorLimit>;
  readonly peerLimits: LimitLedger<DataplaneLimit> = new LimitLedger(dataplaneLimits);
  readonly #options: Options;
  readonly #log: PeerLog;
  /** Bytes that came of reviews which are not complete. */
  readonly #pending: Map<IncomingMessage, number> = new Map();
  #pendingBytes = 0;
  /** Those in a handshake, too, of which the HTTP server does not know, by the client's end; longest without a request first. */
  readonly #open: Map<string, Socket> = new Map();
  #server: Server | undefined;

  constructor(options: Options) {
    this.#options = options;
    this.limits = new LimitLedger(injectorLimits, options.limits);
    this.#log = new PeerLog({ ...options, limits: this.peerLimits });
  }

  get serving(): boolean {
    return this.#server !== undefined;
  }

  /** What is held of reviews that have not arrived whole. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  get port(): number {
    const address = this.#server?.address() as AddressInfo | null | undefined;
    return address?.port ?? this.#options.port;
  }

  async use({ certificate, key }: ServingMaterial): Promise<void> {
    const context = { cert: certificate, key, minVersion: 'TLSv1.2' } as const;
    if (this.#server !== undefined) {
      this.#server.setSecureContext(context);
      return;
    }
    const server = createServer(
      { ...context, requestTimeout: 15_000, keepAliveTimeout },
      (request, response) => {
        this.#answer(request, response).catch((failure: unknown) => {
          this.#log.warn('admission review failed', { error: describeError(failure) });
          response.writeHead(400, { 'content-type': 'text/plain' }).end(`${describeError(failure)}\n`);
        });
      },
    );
    server.on('connection', (socket: Socket) => this.#accepted(socket));
    server.listen(this.#options.port);
    await once(server, 'listening');
    this.#server = server;
  }

  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of this.#open.values()) socket.destroy();
    await closed;
  }

  #accepted(socket: Socket): void {
    const client = clientOf(socket);
    this.#open.set(client, socket);
    socket.once('close', () => {
      if (this.#open.get(client) === socket) this.#open.delete(client);
    });
    const [idlest] = this.#open.values();
    if (this.#open.size <= this.limits.values.injector_connections || idlest === undefined) return;
    this.limits.hit('injector_connections');
    idlest.destroy();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const client = clientOf(request.socket);
    const raw = this.#open.get(client);
    if (raw !== undefined) {
      this.#open.delete(client);
      this.#open.set(client, raw);
    }
    if (request.method !== 'POST' || request.url?.split('?')[0] !== '/inject') {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('only POST /inject is served\n');
      return;
    }
    const body = await this.#read(request);
    if (body === undefined) {
      const limit = this.limits.values.injector_review_bytes;
      response.writeHead(413, { connection: 'close' }).end(`a review has at most ${limit} bytes\n`);
      return;
    }
    const { answer, outcome } = await review(JSON.parse(body.toString('utf8')), this.#options.cluster);
    this.#options.reviews.with({ outcome }).add();
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  }

  /** Undefined for one that is too large. Rejects when the client leaves, or is cut off. */
  async #read(request: IncomingMessage): Promise<Buffer | undefined> {
    const { injector_review_bytes: most } = this.limits.values;
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > most) {
          this.limits.hit('injector_review_bytes');
          return undefined;
        }
        chunks.push(chunk);
        this.#pending.set(request, bytes);
        this.#pendingBytes += chunk.length;
        if (this.#pendingBytes > this.limits.values.injector_pending_bytes) this.#cutLargest();
      }
      return Buffer.concat(chunks);
    } finally {
      this.#forget(request);
    }
  }

  #cutLargest(): void {
    this.limits.hit('injector_pending_bytes');
    let largest: IncomingMessage | undefined;
    let most = 0;
    for (const [request, bytes] of this.#pending) {
      if (bytes <= most) continue;
      largest = request;
      most = bytes;
    }
    if (largest === undefined) return;
    this.#forget(largest);
    largest.socket.destroy();
  }

  #forget(request: IncomingMessage): void {
    this.#pendingBytes -= this.#pending.get(request) ?? 0;
    this.#pending.delete(request);
  }
}
