import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

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
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  test.after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const origin: RecordingOrigin = { port: (server.address() as AddressInfo).port, requests: 0 };
  return origin;
}
