/** Byte tunnels through two sidecars and a gateway: upgrades, CONNECT, extended CONNECT, TLS that is not ours. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request as httpRequest } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { connect as connectTcp, createServer as createTcpServer, type Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { listening } from '@mesh/testkit/servers';
import { startTwoClusters } from './testing/two-clusters.ts';

const authority = 'cart.shop.svc.cluster.local:80';

interface Tunnel {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly socket: Socket;
}

type Accepted = [response: IncomingMessage, socket: Socket, head: Buffer];

function tunnelOf(t: TestContext, [response, socket, head]: Accepted): Tunnel {
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  if (head.length > 0) socket.unshift(head);
  return { status: response.statusCode ?? 0, headers: response.headers, socket };
}

type Opener = (t: TestContext, port: number, path?: string) => Promise<Tunnel>;

const upgrade: Opener = async (t, port, path = '/') => {
  const asked = httpRequest({
    host: '127.0.0.1',
    port,
    path,
    agent: false,
    headers: { connection: 'upgrade', upgrade: 'bytes' },
  });
  asked.end();
  return tunnelOf(t, (await once(asked, 'upgrade')) as Accepted);
};

const connect: Opener = async (t, port, path = authority) => {
  const asked = httpRequest({
    host: '127.0.0.1',
    port,
    agent: false,
    method: 'CONNECT',
    path,
    headers: { host: path },
  });
  asked.end();
  return tunnelOf(t, (await once(asked, 'connect')) as Accepted);
};

async function everything(from: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  from.on('data', (chunk: Buffer) => chunks.push(chunk));
  from.resume();
  await once(from, 'end');
  return Buffer.concat(chunks);
}

/** An application whose tunnels do what `serve` says, for upgrades and CONNECT alike. */
async function tunnelApplication(t: TestContext, serve: (socket: Socket) => void): Promise<number> {
  const server = createServer();
  server.on('upgrade', (_: IncomingMessage, socket: Socket) => {
    socket.on('error', () => {});
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: bytes\r\nx-app: one\r\n\r\n',
    );
    serve(socket);
  });
  server.on('connect', (_: IncomingMessage, socket: Socket) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 200 Established\r\nx-app: one\r\n\r\n');
    serve(socket);
  });
  return await listening(t, server);
}

for (const [name, open, status] of [
  ['upgrade', upgrade, 101],
  ['CONNECT', connect, 200],
] as const) {
  test(`${name}: either end may finish first, and the other goes on`, async (t) => {
    const data = randomBytes(300_000);
    const { port } = await startTwoClusters(t, {
      app: await tunnelApplication(t, (socket) => {
        // Answers only after the client has finished, then finishes itself.
        void everything(socket).then((bytes) => socket.end(bytes));
      }),
    });
    const first = await open(t, port);
    assert.equal(first.status, status);
    assert.equal(first.headers['x-app'], 'one');
    assert.equal(first.headers['l5d-orig-proto'], undefined);
    const answer = everything(first.socket);
    first.socket.end(data);
    assert.deepEqual(await answer, data);
  });

  test(`${name}: the application finishes first`, async (t) => {
    const data = randomBytes(300_000);
    let rest: Promise<Buffer> | undefined;
    const { port } = await startTwoClusters(t, {
      app: await tunnelApplication(t, (socket) => {
        socket.end('that is all');
        rest = everything(socket);
      }),
    });
    const { socket } = await open(t, port);
    socket.allowHalfOpen = true;
    assert.equal((await everything(socket)).toString(), 'that is all');
    socket.end(data);
    assert.deepEqual(await rest, data);
  });
}

test('an application that ignores the upgrade, as it may (RFC 9110 §7.8), answers as usual', async (t) => {
  const server = createServer((request, response) => {
    response.setHeader('x-upgrade', String(request.headers.upgrade));
    response.end(`plain ${request.url}`);
  });
  const { port } = await startTwoClusters(t, { app: await listening(t, server) });
  for (const path of ['/one', '/two']) {
    const asked = httpRequest({
      host: '127.0.0.1',
      port,
      path,
      agent: false,
      headers: { connection: 'upgrade', upgrade: 'bytes' },
    });
    asked.end();
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    assert.equal(response.statusCode, 200);
    assert.equal((await everything(response)).toString(), `plain ${path}`);
  }
});

test('CONNECT through a gateway leads to its exports alone', async (t) => {
  const { port, gateway } = await startTwoClusters(t, { app: await tunnelApplication(t, () => {}) });
  // The sidecar goes by the address that was dialled, not by what the request claims.
  assert.equal((await connect(t, port, '10.0.0.9:22')).status, 200);
  assert.deepEqual(gateway.asked, [authority]);
});

test('extended CONNECT of an HTTP/2 client reaches an HTTP/2 application as such', async (t) => {
  const application = createHttp2Server({ settings: { enableConnectProtocol: true } });
  let seen: unknown;
  application.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    seen = [headers[':method'], headers[':protocol'], headers[':path']];
    stream.respond({ ':status': 200 });
    stream.on('data', (chunk: Buffer) => stream.write(chunk));
    stream.on('end', () => stream.end('bye'));
  });
  const app = await listening(t, application);
  const { port } = await startTwoClusters(t, { app });
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  t.after(() => session.destroy());
  await once(session, 'remoteSettings');
  const stream = session.request({
    ':method': 'CONNECT',
    ':protocol': 'websocket',
    ':scheme': 'http',
    ':path': '/chat',
    ':authority': authority,
  });
  const [head] = (await once(stream, 'response')) as [Record<string, unknown>];
  assert.equal(head[':status'], 200);
  const data = randomBytes(100_000);
  const answer = everything(stream);
  stream.end(data);
  assert.deepEqual(await answer, Buffer.concat([data, Buffer.from('bye')]));
  assert.deepEqual(seen, ['CONNECT', 'websocket', '/chat']);
});

test('a server that speaks first is reached by its opaque port, through the transport header of each hop', async (t) => {
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    socket.write('220 ready\r\n');
    void everything(socket).then((bytes) => socket.end(bytes));
  });
  const { port, server: sidecar } = await startTwoClusters(t, {
    app: await listening(t, server),
    opaque: true,
  });
  const socket = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true });
  const [greeting] = (await once(socket, 'data')) as [Buffer];
  assert.equal(greeting.toString(), '220 ready\r\n');
  const data = randomBytes(1_000_000);
  const answer = everything(socket);
  socket.end(data);
  assert.deepEqual(await answer, data);
  assert.match(
    await sidecar.metrics(),
    /inbound_tcp_transport_header_connections_total\{session_protocol="opaque",[^}]*\} 1/,
  );
});
