/**
 * The application behind the proxies, cheap enough that the proxies and not the application are the load. It listens on the
 * ports of every kind of traffic.
 *
 * HTTP/1: a fixed response written in one piece; `GET /bytes/N` answers N bytes. gRPC: any method echoes its message. TCP: `P`
 * is answered by `P`, `S` by bytes without end.
 */
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { createServer, type Socket } from 'node:net';
import { appPorts } from './contestants/contestant.ts';

const responses = new Map<string, Buffer>();
const endOfHead = Buffer.from('\r\n\r\n');

function responseTo(target: string): Buffer {
  const known = responses.get(target);
  if (known !== undefined) return known;
  const size = Number(/^\/bytes\/(\d{1,8})$/.exec(target)?.[1] ?? 12);
  const head = `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${size}\r\n\r\n`;
  const response = Buffer.from(head + 'x'.repeat(size), 'latin1');
  if (responses.size < 20) responses.set(target, response);
  return response;
}

function serveHttp1(socket: Socket): void {
  let waiting: Buffer = Buffer.alloc(0);
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    waiting = waiting.length === 0 ? chunk : Buffer.concat([waiting, chunk]);
    for (;;) {
      const end = waiting.indexOf(endOfHead);
      if (end < 0) return;
      const target = waiting.toString(
        'latin1',
        waiting.indexOf(32) + 1,
        waiting.indexOf(' HTTP/', 0, 'latin1'),
      );
      socket.write(responseTo(target));
      waiting = waiting.subarray(end + endOfHead.length);
      if (waiting.length === 0) return;
    }
  });
}

function serveGrpc(stream: ServerHttp2Stream): void {
  const chunks: Buffer[] = [];
  stream.on('error', () => {});
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('end', () => {
    // Who called has gone; answering would end this process.
    if (stream.destroyed) return;
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks));
  });
}

const endless = Buffer.alloc(64 * 1024, 'x');

function serveTcp(socket: Socket): void {
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    if (chunk[0] === 0x50) {
      socket.write('P');
      return;
    }
    const pour = (): void => {
      while (!socket.destroyed && socket.write(endless));
    };
    socket.on('drain', pour);
    pour();
  });
}

for (const port of appPorts.http) createServer({ noDelay: true }, serveHttp1).listen(port, '0.0.0.0');
for (const port of appPorts.tcp)
  createServer({ noDelay: true, highWaterMark: 512 * 1024 }, serveTcp).listen(port, '0.0.0.0');
for (const port of appPorts.grpc) {
  const server = createHttp2Server({ settings: { maxConcurrentStreams: 10_000 } });
  server.on('sessionError', () => {});
  server.on('stream', serveGrpc);
  server.listen(port, '0.0.0.0');
}
