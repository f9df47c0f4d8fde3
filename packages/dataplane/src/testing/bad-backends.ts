/** What servers say that break the rules of HTTP/1, each as a script for one connection. For tests. */
import type { Socket } from 'node:net';

const ok = 'HTTP/1.1 200 OK\r\n';
const poison = `${ok}content-length: 6\r\n\r\npoison`;

export interface BadBackend {
  /** Sent at once when a request's head has arrived; `\x04` stands for the end of the connection. */
  readonly says: string;
  /** Status that the client gets; undefined when it got a status before it went wrong, and its response breaks off. */
  readonly client: number | undefined;
}

/** End of the connection in `says`. */
export const hangUp = '\x04';

export const badBackends: Record<string, BadBackend> = {
  'a second response behind the first': { says: `${ok}content-length: 2\r\n\r\nok${poison}`, client: 200 },
  'a second response behind chunks': {
    says: `${ok}transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n${poison}`,
    client: 200,
  },
  'a second response behind 204': { says: `HTTP/1.1 204 No Content\r\n\r\n${poison}`, client: 204 },
  'a second response behind 304': { says: `HTTP/1.1 304 Not Modified\r\n\r\n${poison}`, client: 304 },
  'a body longer than its length': { says: `${ok}content-length: 2\r\n\r\nokpoison`, client: 200 },
  'a body behind 204': { says: `HTTP/1.1 204 No Content\r\n\r\npoison`, client: 204 },
  'length and chunked': {
    says: `${ok}content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${poison}`,
    client: 502,
  },
  'two lengths': { says: `${ok}content-length: 2\r\ncontent-length: 8\r\n\r\nokpoison`, client: 502 },
  'a signed length': { says: `${ok}content-length: +2\r\n\r\nok${poison}`, client: 502 },
  'a list of lengths': { says: `${ok}content-length: 2, 2\r\n\r\nok${poison}`, client: 502 },
  'a coding of its own': { says: `${ok}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n${poison}`, client: 502 },
  'gzip before chunked': {
    says: `${ok}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n${poison}`,
    client: 502,
  },
  '204 with a length': { says: `HTTP/1.1 204 No Content\r\ncontent-length: 6\r\n\r\npoison`, client: 502 },
  'a line feed in the head': { says: `${ok}x: 1\ncontent-length: 0\r\n\r\n${poison}`, client: 502 },
  'a folded field': { says: `${ok}x: 1\r\n content-length: 0\r\n\r\n${poison}`, client: 502 },
  'a space before a colon': { says: `${ok}content-length : 0\r\n\r\n${poison}`, client: 502 },
  'a NUL in a value': { says: `${ok}x: \0\r\ncontent-length: 0\r\n\r\n`, client: 502 },
  'no HTTP': { says: '220 smtp.a ESMTP\r\n\r\n', client: 502 },
  'HTTP/2': { says: '\0\0\x12\x04\0\0\0\0\0\0\0\x03\0\0\0\x64\r\n\r\n', client: 502 },
  '101 that nobody asked for': {
    says: `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n${poison}`,
    client: 502,
  },
  'a flood of 1xx': { says: 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(1000), client: 502 },
  '1xx with a length': { says: `HTTP/1.1 103 x\r\ncontent-length: 6\r\n\r\npoison${ok}\r\n`, client: 502 },
  'a head without end': { says: `${ok}x: ${'y'.repeat(70_000)}`, client: 502 },
  'too many fields': { says: `${ok}${'x: 1\r\n'.repeat(200)}\r\n`, client: 502 },
  'nothing at all': { says: hangUp, client: 502 },
  'half a head': { says: `${ok}content-le${hangUp}`, client: 502 },
  'half a body': { says: `${ok}content-length: 9\r\n\r\nhalf${hangUp}`, client: undefined },
  'half a chunk': { says: `${ok}transfer-encoding: chunked\r\n\r\n9\r\nhalf${hangUp}`, client: undefined },
  'no last chunk': {
    says: `${ok}transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n${hangUp}`,
    client: undefined,
  },
  'a bad chunk size': {
    says: `${ok}transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n-4\r\n${poison}`,
    client: undefined,
  },
  'a bad end of a chunk': {
    says: `${ok}transfer-encoding: chunked\r\n\r\n2\r\nhalf\r\n${poison}`,
    client: undefined,
  },
  'an endless chunk extension': {
    says: `${ok}transfer-encoding: chunked\r\n\r\n4;${'x'.repeat(5000)}\r\nhalf\r\n`,
    client: undefined,
  },
};

/**
 * Serves requests for `/bad/NUMBER` by the script of that number, everything else by a response whose body is its path,
 * on the same connection.
 */
export function serveBadly(socket: Socket): void {
  const scripts = Object.values(badBackends);
  let asked = '';
  socket.on('data', (chunk: Buffer) => {
    asked += chunk.toString('latin1');
    for (let end = asked.indexOf('\r\n\r\n'); end !== -1; end = asked.indexOf('\r\n\r\n')) {
      const path = asked.split(' ', 2)[1] ?? '';
      asked = asked.slice(end + 4);
      const script = /^\/bad\/(\d+)$/.exec(path)?.[1];
      if (script === undefined) {
        socket.write(`${ok}content-length: ${path.length}\r\n\r\n${path}`);
        continue;
      }
      const { says } = scripts[Number(script)] as BadBackend;
      const hangs = says.endsWith(hangUp);
      socket.write(says.replace(hangUp, ''), 'latin1');
      if (hangs) socket.end();
    }
  });
}
