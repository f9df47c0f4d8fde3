/** Clients that send exactly the bytes they are told, at each of the three places where a request enters a proxy. */
import { once } from 'node:events';
import { type ClientHttp2Session, connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { systemClock as clock } from '@mesh/clock/system';
import { credentialsOf, workload } from '@mesh/proxy/testing/mesh';
import { encodeTransportHeader, transportHeaderAlpn } from '@mesh/transport/transport-header';
import type { CredentialStore } from '@mesh/trust/credentials';
import { dialTls } from '@mesh/trust/dial';
import type { TwoClusters } from './two-clusters.ts';

/** Opens a connection whose bytes are a request of HTTP/1. */
export type Entry = (path: TwoClusters) => Promise<Socket>;

const cartName = 'cart.shop.svc.cluster.local';
export const frontend: string = workload('frontend', 'east');
/** A pod of the server's own cluster, beside it. */
export const neighbour: string = workload('neighbour', 'west');

const issued: WeakMap<TwoClusters, Map<string, CredentialStore>> = new WeakMap();

/** Issued once for each identity: a test may dial hundreds of times. */
function credentialsFor(path: TwoClusters, identity: string): CredentialStore {
  const known = issued.get(path) ?? new Map<string, CredentialStore>();
  issued.set(path, known);
  const credentials =
    known.get(identity) ?? credentialsOf(path.trust, identity, identity.split('.').at(-3) ?? '');
  known.set(identity, credentials);
  return credentials;
}

/** A connection of the mesh as the workload `as`. */
export function dialAs(
  path: TwoClusters,
  to: { port: number; identity: string },
  as: string,
  alpn: string[],
): Promise<Socket> {
  return dialTls({
    host: '127.0.0.1',
    ...to,
    alpn,
    credentials: credentialsFor(path, as),
    clock,
    timeoutMs: 2000,
  });
}

/** The application's own connection: into the outbound side of its sidecar. */
export const asApplication: Entry = async ({ port }) => {
  const socket = connectTcp({ port, host: '127.0.0.1' });
  await once(socket, 'connect');
  return socket;
};

/** A meshed workload of a linked cluster, straight to the gateway. */
export const asPeer: Entry = async (path) => {
  const socket = await dialAs(path, path.gateway, frontend, [transportHeaderAlpn]);
  const header = { port: 80, name: cartName, sessionProtocol: 'http1', clientId: '', hops: 0 } as const;
  socket.write(encodeTransportHeader(header));
  return socket;
};

/** A meshed workload of the same cluster, straight to the server's sidecar. */
export const asNeighbour: Entry = (path) =>
  dialAs(path, { port: path.server.ports.inbound, identity: path.server.identity }, neighbour, []);

/** A pod without a sidecar, straight to the server's. */
export const asStranger: Entry = async ({ server }) => {
  const socket = connectTcp({ port: server.ports.inbound, host: '127.0.0.1' });
  await once(socket, 'connect');
  return socket;
};

/** Sends `text` and gives what came back until the connection ended; `connection: close` in it is the caller's part. */
export async function exchange(socket: Socket, text: string): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.resume();
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.on('end', () => socket.destroy());
  socket.write(Buffer.from(text, 'latin1'));
  await closed;
  return Buffer.concat(chunks).toString('latin1');
}

/** An HTTP/2 session over a mesh connection, as `as`. */
export async function http2Session(
  test: TestContext,
  path: TwoClusters,
  to: 'gateway' | 'server',
): Promise<ClientHttp2Session> {
  const socket =
    to === 'gateway'
      ? await dialAs(path, path.gateway, frontend, ['h2'])
      : await dialAs(
          path,
          { port: path.server.ports.inbound, identity: path.server.identity },
          neighbour,
          [],
        );
  const session = connectHttp2('http://mesh', { createConnection: () => socket });
  session.on('error', () => {});
  test.after(() => session.destroy());
  return session;
}

/** Status of one HTTP/2 request; 0 when its stream was reset. */
export function ask(
  session: ClientHttp2Session,
  headers: Record<string, string | string[]>,
  trailers?: Record<string, string>,
): Promise<{ status: number; headers: IncomingHttpHeaders }> {
  return new Promise((resolve) => {
    const path = headers[':method'] === 'CONNECT' ? {} : { ':path': '/' };
    const stream = session.request(
      { ':method': 'POST', ...path, ':authority': `${cartName}:80`, ...headers },
      { endStream: trailers === undefined, waitForTrailers: trailers !== undefined },
    );
    let head: IncomingHttpHeaders = {};
    stream.on('response', (received) => {
      head = received;
    });
    stream.on('wantTrailers', () => stream.sendTrailers(trailers ?? {}));
    stream.on('error', () => {});
    stream.on('close', () => resolve({ status: Number(head[':status'] ?? 0), headers: head }));
    stream.resume();
    if (trailers !== undefined) stream.end('x');
  });
}
