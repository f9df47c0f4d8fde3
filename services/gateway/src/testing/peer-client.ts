/** What a workload of another cluster sends to a gateway: mutual TLS, then HTTP/2 by node:http2. */
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { TestContext } from 'node:test';
import { systemClock as clock } from '@mesh/clock/system';
import { dialTls } from '@mesh/trust/dial';
import { cart, type TestWest, workload } from './test-west.ts';

export const frontend = workload('frontend', 'east');
export async function dial(
  context: TestContext,
  west: TestWest,
  { as = frontend, alpn = 'h2', lifetimeMs }: { as?: string; alpn?: string; lifetimeMs?: number } = {},
): Promise<TLSSocket> {
  const socket = await dialTls({
    host: '127.0.0.1',
    port: west.port,
    identity: west.identity,
    alpn: [alpn],
    credentials: west.trust.credentials(as, lifetimeMs),
    clock,
    timeoutMs: 2000,
  });
  socket.on('error', () => {});
  context.after(() => socket.destroy());
  return socket;
}

export async function session(
  context: TestContext,
  west: TestWest,
  as: string = frontend,
  lifetimeMs?: number,
): Promise<ClientHttp2Session> {
  const socket = await dial(context, west, lifetimeMs === undefined ? { as } : { as, lifetimeMs });
  const made = connectHttp2('http://gateway', { createConnection: () => socket });
  made.on('error', () => {});
  context.after(() => made.destroy());
  return made;
}

export interface Answer {
  status: number;
  headers: Record<string, unknown>;
  body: string;
  /** HTTP/2 error code of the stream's end. */
  reset: number;
}

/** What came back; status 0 when the stream or the connection was cut. */
export function ask(
  on: ClientHttp2Session,
  headers: Record<string, string> = {},
  body?: string,
): Promise<Answer> {
  return new Promise((resolve) => {
    const stream = on.request(
      { ':method': 'GET', ':path': '/', ':authority': cart, 'l5d-orig-proto': 'HTTP/1.1', ...headers },
      { endStream: body === undefined },
    );
    let head: Record<string, unknown> = {};
    const chunks: Buffer[] = [];
    stream.on('response', (received) => {
      head = received;
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', () => {});
    stream.on('close', () =>
      resolve({
        status: Number(head[':status'] ?? 0),
        headers: head,
        body: Buffer.concat(chunks).toString(),
        reset: stream.rstCode,
      }),
    );
    if (body !== undefined) stream.end(body);
  });
}
