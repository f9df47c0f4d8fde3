/**
 * The application behind the proxies. Arguments: HTTP/1 ports separated by commas.
 *
 * It answers each request with a fixed response written in one piece, so that the proxies and not the application are the
 * load. `GET /bytes/N` answers N bytes.
 */
import { createServer, type Socket } from 'node:net';

const responses = new Map<string, Buffer>();
const endOfHead = Buffer.from('\r\n\r\n');

function responseTo(target: string): Buffer {
  const known = responses.get(target);
  if (known !== undefined) return known;
  const size = Number(/^\/bytes\/(\d{1,8})$/.exec(target)?.[1] ?? 12);
  const head = `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${size}\r\n\r\n`;
  const response = Buffer.from(head + 'x'.repeat(size), 'latin1');
  if (responses.size < 100) responses.set(target, response);
  return response;
}

function serve(socket: Socket): void {
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

for (const port of (process.argv[2] ?? '8080').split(',')) {
  createServer({ noDelay: true }, serve).listen(Number(port), '0.0.0.0');
}
