/** An API server of a few collections that can be listed and watched from the start; nothing else. */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import { listening } from '@mesh/testkit/servers';
import type { KubeObject } from '@mesh/kube/types';

export class ListServer {
  /** Path of a collection to its objects. What is not here is 404. */
  readonly collections: Map<string, KubeObject[]> = new Map();
  readonly #watches: Map<string, Set<ServerResponse>> = new Map();
  readonly #server: Server;
  url = '';
  #version = 1;

  private constructor() {
    this.#server = createServer((request, response) => {
      const url = new URL(request.url ?? '/', 'http://localhost');
      const items = this.collections.get(url.pathname);
      response.setHeader('content-type', 'application/json');
      if (items === undefined) {
        response.statusCode = 404;
        response.end(JSON.stringify({ kind: 'Status', code: 404, reason: 'NotFound' }));
      } else if (url.searchParams.get('watch') === 'true') {
        response.flushHeaders();
        const watches = this.#watches.get(url.pathname) ?? new Set();
        this.#watches.set(url.pathname, watches.add(response));
        response.on('close', () => watches.delete(response));
      } else {
        response.end(JSON.stringify({ metadata: { resourceVersion: String(this.#version) }, items }));
      }
    });
  }

  static async start(test: TestContext): Promise<ListServer> {
    const server = new ListServer();
    server.url = `http://127.0.0.1:${await listening(test, server.#server)}`;
    return server;
  }

  watchers(path: string): number {
    return this.#watches.get(path)?.size ?? 0;
  }

  /** Tells the watchers of a collection. */
  emit(path: string, type: 'ADDED' | 'MODIFIED' | 'DELETED', object: KubeObject): void {
    const metadata = { ...object.metadata, resourceVersion: String(++this.#version) };
    for (const watch of this.#watches.get(path) ?? []) {
      watch.write(`${JSON.stringify({ type, object: { ...object, metadata } })}\n`);
    }
  }
}
