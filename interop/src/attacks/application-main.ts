/**
 * The application behind the attacked proxy, on HTTP/1 and HTTP/2, as the attacks of both expect it. It counts the requests of others
 * than the victim, whose path is `/victim`, and tells their number on a Unix socket. Arguments: that socket, ports.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { badBackends, hangUp } from '@mesh/dataplane/testing/bad-backends';

let requests = 0;
const piece = Buffer.alloc(16_384, 'x');

function pour(to: ServerHttp2Stream | ServerResponse): void {
  const more = (): void => {
    while (!to.destroyed && to.write(piece));
  };
  to.on('drain', more);
  more();
}

/** Fields that proxies write, in whatever spelling. */
function ofProxies(raw: readonly string[]): [name: string, value: string][] {
  const found: [string, string][] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const [name = '', value = ''] = raw.slice(at, at + 2);
    if (/^l5d[-_]/i.test(name)) found.push([name.toLowerCase(), value]);
  }
  return found;
}

/** What breaks the rules of HTTP/1, past the server that keeps them. */
function sayBadly(socket: Socket, index: number): void {
  const says = Object.values(badBackends)[index]?.says ?? hangUp;
  socket.write(says.replace(hangUp, ''), 'latin1');
  if (says.endsWith(hangUp)) socket.end();
}

function onHttp1(request: IncomingMessage, response: ServerResponse): void {
  const path = request.url ?? '';
  request.on('error', () => {});
  response.on('error', () => {});
  request.resume();
  if (path === '/victim') {
    response.end('served');
    return;
  }
  request.on('end', () => {
    requests++;
    const { trailers } = request;
    const script = /^\/bad\/(\d+)$/.exec(path)?.[1];
    if (script !== undefined) sayBadly(request.socket, Number(script));
    else if (path === '/endless') pour(response);
    else if (path === '/fields') response.end(JSON.stringify(ofProxies(request.rawHeaders)));
    else if (Object.keys(trailers).length > 0) response.end(JSON.stringify(trailers));
    else if (path !== '/silent') response.end(path);
  });
}

function onHttp2(stream: ServerHttp2Stream, headers: { [':path']?: string; [':method']?: string }): void {
  const path = headers[':path'] ?? '';
  requests++;
  stream.on('error', () => {});
  stream.resume();
  if (path === '/silent') return;
  stream.respond({ ':status': 200, 'content-type': 'text/plain' });
  if (path === '/endless') pour(stream);
  else stream.end(path);
}

const http1 = createServer({ maxHeaderSize: 131_072 }, onHttp1);
http1.keepAliveTimeout = 60_000;
const http2 = createHttp2Server({
  maxHeaderListPairs: 1000,
  settings: { maxConcurrentStreams: 10_000, maxHeaderListSize: 131_072, enableConnectProtocol: true },
});
http2.on('sessionError', () => {});
http2.on('stream', onHttp2);

/** HTTP/2 begins with `P` of its preface, and no method that is used here does but POST, by its second letter another. */
function serve(socket: Socket): void {
  socket.on('error', () => {});
  socket.setNoDelay();
  socket.once('readable', () => {
    const first = socket.read() as Buffer | null;
    if (first === null) return;
    socket.unshift(first);
    const server = first.toString('latin1', 0, 3) === 'PRI' ? http2 : http1;
    server.emit('connection', socket);
  });
}

const [socket, ...ports] = process.argv.slice(2);
for (const port of ports) createTcpServer(serve).listen(Number(port), '0.0.0.0');
createServer((_request, response) => response.end(String(requests))).listen(socket);
