import { createServer } from 'node:http';
import type { TestContext } from 'node:test';
import { listening } from '@mesh/testkit/servers';

export interface RecordingOrigin {
  readonly port: number;
  /** Requests seen so far, on all connections; complete or not. */
  requests: number;
}

/** What proxies forward to: node:http, a parser that is not ours. Answers once it has the whole request. */
export async function startRecordingOrigin(test: TestContext): Promise<RecordingOrigin> {
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    origin.requests++;
    request.on('end', () => response.end('ok\n'));
    request.on('error', () => {});
    request.resume();
  });
  server.on('connect', (_request, socket) => {
    origin.requests++;
    socket.on('error', () => {});
    socket.end('HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
  });
  const origin: RecordingOrigin = { port: await listening(test, server), requests: 0 };
  return origin;
}
