/** An application that notes what reaches it, on HTTP/1 and HTTP/2, down to the spelling. */
import { createServer, type IncomingMessage } from 'node:http';
import { createServer as createHttp2Server, type IncomingHttpHeaders } from 'node:http2';
import type { TestContext } from 'node:test';
import { listening } from '@mesh/testkit/servers';
import { victimPath } from './victim-request.ts';

interface Witnessed {
  readonly path: string;
  readonly host: string;
  /** Names as they were written, with their values; trailers too. */
  readonly fields: readonly (readonly [name: string, value: string])[];
}

export interface Witness {
  readonly port: number;
  /** Requests of others than victims. */
  readonly seen: Witnessed[];
}

function pairs(raw: readonly string[]): [string, string][] {
  const found: [string, string][] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) found.push([raw[at] ?? '', raw[at + 1] ?? '']);
  return found;
}

export async function startWitness(test: TestContext): Promise<Witness> {
  const seen: Witnessed[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    request.on('error', () => {});
    request.resume();
    request.on('end', () => {
      const { url = '', headers, rawHeaders, rawTrailers } = request;
      if (url !== victimPath) {
        seen.push({ path: url, host: headers.host ?? '', fields: pairs([...rawHeaders, ...rawTrailers]) });
      }
      response.end('seen');
    });
  });
  return { port: await listening(test, server), seen };
}

export async function startHttp2Witness(test: TestContext): Promise<Witness> {
  const seen: Witnessed[] = [];
  const server = createHttp2Server();
  server.on('sessionError', () => {});
  server.on('stream', (stream, headers: IncomingHttpHeaders, _flags, rawHeaders: string[]) => {
    let trailers: string[] = [];
    stream.on('error', () => {});
    stream.on('trailers', (received: IncomingHttpHeaders) => {
      trailers = Object.entries(received).flatMap(([name, value]) => [name, String(value)]);
    });
    stream.resume();
    stream.on('end', () => {
      const { ':path': path, ':authority': host } = headers;
      if (path !== victimPath) {
        seen.push({ path: String(path), host: String(host), fields: pairs([...rawHeaders, ...trailers]) });
      }
      stream.respond({ ':status': 200 });
      stream.end('seen');
    });
  });
  return { port: await listening(test, server), seen };
}
