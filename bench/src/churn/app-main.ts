/**
 * The application of the churn, on HTTP/1, HTTP/2 and opaque TCP. `GET /bytes/N` answers N bytes, at most 1 MiB; `POST /count`
 * how many it got; `/break` half of what it promised, then no more. TCP is echoed.
 */
import { createServer as createHttp1 } from 'node:http';
import { constants, createServer as createHttp2 } from 'node:http2';
import { createServer } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { appPorts } from '../contestants/contestant.ts';
import { largestBody } from './client-actions.ts';

const source = Buffer.alloc(largestBody, 'x');
const broken = 10_000;

/** What both versions have in common. */
interface Exchange {
  readonly path: string | undefined;
  readonly request: Readable;
  readonly response: Writable;
  head(length: number): void;
  /** Ends the answer before its end. */
  fail(): void;
}

function answer({ path, request, response, head, fail }: Exchange): void {
  request.on('error', () => {});
  response.on('error', () => {});
  if (path === '/count') {
    let bytes = 0;
    request.on('data', (chunk: Buffer) => (bytes += chunk.length));
    request.on('end', () => {
      const text = String(bytes);
      head(text.length);
      response.end(text);
    });
    return;
  }
  request.resume();
  if (path === '/break') {
    head(broken);
    response.write(source.subarray(0, broken / 2), fail);
    return;
  }
  const size = Math.min(largestBody, Number(/^\/bytes\/(\d+)$/.exec(path ?? '')?.[1] ?? 0));
  head(size);
  response.end(source.subarray(0, size));
}

createHttp1((request, response) => {
  const head = (length: number): void => void response.writeHead(200, { 'content-length': length });
  answer({ path: request.url, request, response, head, fail: () => response.destroy() });
}).listen(appPorts.http[0], '0.0.0.0');

// Answers that wait for slow readers are held here; the default of 10 MB would refuse streams of others.
const http2 = createHttp2({ maxSessionMemory: 1000 }, (request, response) => {
  const head = (length: number): void => void response.writeHead(200, { 'content-length': length });
  const { stream } = response;
  answer({
    path: request.url,
    request,
    response: stream,
    head,
    fail: () => stream.close(constants.NGHTTP2_INTERNAL_ERROR),
  });
});
http2.on('sessionError', () => {});
http2.listen(appPorts.grpc[0], '0.0.0.0');

createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  socket.pipe(socket);
}).listen(appPorts.tcp[0], '0.0.0.0');
