/**
 * A server for one collection of ConfigMaps: lists in pages, streams watches from a bounded history, and can be told
 * to misbehave as networks and API servers do.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import { listening } from '@mesh/testkit/servers';
import type { ConfigMap, Stored } from '../types.ts';

/** An event that ends a watch. */
export const expired = `${JSON.stringify({
  type: 'ERROR',
  object: { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' },
})}\n`;

interface HistoryEntry {
  version: number;
  line: string;
}

export class CollectionServer {
  readonly objects: Map<string, Stored<ConfigMap>> = new Map();
  /** Requests to answer with this status, in place of the real answer. */
  failNext: { status: number; headers?: Record<string, string>; body?: string }[] = [];
  /** So many watches are accepted and then refused, as an API server does that finds their version expired. */
  expireNext = 0;
  listed = 0;
  watched = 0;
  #version = 100;
  #oldest = 0;
  #history: HistoryEntry[] = [];
  readonly #watches: Set<ServerResponse> = new Set();
  readonly #server: Server;
  url = '';

  private constructor() {
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  static async start(test: TestContext): Promise<CollectionServer> {
    const server = new CollectionServer();
    server.url = `http://127.0.0.1:${await listening(test, server.#server)}`;
    return server;
  }

  get openWatches(): number {
    return this.#watches.size;
  }

  put(name: string, value: string): void {
    const version = ++this.#version;
    const known = this.objects.has(name);
    const object: Stored<ConfigMap> = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name,
        namespace: 'default',
        uid: `uid-${name}`,
        resourceVersion: String(version),
        creationTimestamp: '2026-01-01T00:00:00Z',
      },
      data: { value },
    };
    this.objects.set(name, object);
    this.#emit(known ? 'MODIFIED' : 'ADDED', object);
  }

  remove(name: string): void {
    const object = this.objects.get(name);
    if (object === undefined) return;
    this.objects.delete(name);
    const version = ++this.#version;
    this.#emit('DELETED', { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } });
  }

  bookmark(): void {
    for (const watch of this.#watches) this.#bookmark(watch);
  }

  /** Bytes to every open watch, as they are. */
  write(bytes: string | Buffer): void {
    for (const watch of this.#watches) watch.write(bytes);
  }

  /** Forgets the history, so that watches from before now are refused with 410. */
  compact(): void {
    this.#oldest = this.#version;
    this.#history = [];
  }

  /** Breaks every open watch, after `lastBytes`. */
  cut(lastBytes = ''): void {
    for (const watch of this.#watches) {
      if (lastBytes === '') watch.destroy();
      else watch.write(lastBytes, () => watch.destroy());
    }
    this.#watches.clear();
  }

  /** Ends every open watch in good order. */
  end(): void {
    for (const watch of this.#watches) watch.end();
    this.#watches.clear();
  }

  /** What the collection holds, as name to value. */
  contents(): Record<string, string> {
    return contentsOf(this.objects.values());
  }

  #bookmark(watch: ServerResponse): void {
    const object = { metadata: { resourceVersion: String(this.#version) } };
    watch.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
  }

  #emit(type: string, object: Stored<ConfigMap>): void {
    const line = `${JSON.stringify({ type, object })}\n`;
    this.#history.push({ version: Number(object.metadata.resourceVersion), line });
    this.write(line);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const failure = this.failNext.shift();
    if (failure !== undefined) {
      response.writeHead(failure.status, failure.headers).end(failure.body ?? '');
    } else if (url.searchParams.get('watch') === 'true') {
      this.#watch(url, response);
    } else {
      this.#list(url, response);
    }
  }

  #list(url: URL, response: ServerResponse): void {
    this.listed++;
    const from = Number(url.searchParams.get('continue') ?? 0);
    const limit = Number(url.searchParams.get('limit') ?? 500);
    const all = [...this.objects.values()];
    const metadata = {
      resourceVersion: String(this.#version),
      ...(from + limit < all.length && { continue: String(from + limit) }),
    };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ kind: 'ConfigMapList', metadata, items: all.slice(from, from + limit) }));
  }

  #watch(url: URL, response: ServerResponse): void {
    this.watched++;
    const since = Number(url.searchParams.get('resourceVersion'));
    response.on('error', () => {});
    if (since < this.#oldest) {
      response.statusCode = 410;
      response.end(JSON.stringify({ kind: 'Status', code: 410, reason: 'Expired', message: 'too old' }));
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    if (this.expireNext > 0) {
      this.expireNext--;
      this.#bookmark(response);
      response.end(expired);
      return;
    }
    for (const { version, line } of this.#history) if (version > since) response.write(line);
    this.#watches.add(response);
    response.on('close', () => this.#watches.delete(response));
  }
}

/** Name to value of some ConfigMaps, sorted by name. */
export function contentsOf(objects: Iterable<Stored<ConfigMap>>): Record<string, string> {
  const pairs = [...objects].map((object): [string, string] => [
    object.metadata.name,
    object.data?.['value'] ?? '',
  ]);
  return Object.fromEntries(pairs.sort(([left], [right]) => (left < right ? -1 : 1)));
}
