/** What a sidecar does from the moment it is told to stop. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, createServer, request as httpRequest, type ServerResponse } from 'node:http';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import { eventually } from '@mesh/testkit/eventually';
import { listening } from '@mesh/testkit/servers';
import { dialTls } from '@mesh/trust/dial';
import {
  credentialsOf,
  startApp,
  startCluster,
  startEcho,
  startProxy,
  type TestCluster,
  type TestProxy,
} from './testing/mesh.ts';

const grace = { MESH_SHUTDOWN_GRACE: '5s' };

interface Answer {
  readonly status: number;
  readonly connection: string | undefined;
  readonly body: string;
}

function get(port: number, path: string, agent: Agent | false = false): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(
      { host: '127.0.0.1', port, path, agent, headers: { host: 'cart.shop' } },
      (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => (body += text));
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, connection: response.headers.connection, body }),
        );
      },
    );
    sent.on('error', reject);
    sent.end();
  });
}

/** An application whose `/slow` answers when told to. */
async function startSlowApp(test: TestContext) {
  const waiting: ServerResponse[] = [];
  const server = createServer((request, response) => {
    if (request.url === '/slow') waiting.push(response);
    else response.end('quick');
  });
  return {
    port: await listening(test, server),
    waiting,
    answer(): void {
      for (const response of waiting.splice(0)) response.end('late');
    },
  };
}

async function startStoppable(test: TestContext): Promise<{
  cluster: TestCluster;
  app: Awaited<ReturnType<typeof startSlowApp>>;
  server: TestProxy;
}> {
  const cluster = await startCluster(test);
  const app = await startSlowApp(test);
  const server = await startProxy(test, cluster, {
    serviceAccount: 'cart',
    app: app.port,
    environment: grace,
  });
  return { cluster, app, server };
}

async function open(test: TestContext, port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => {});
  test.after(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** A client of the mesh with its own HTTP/2 connection. */
async function meshClient(
  test: TestContext,
  cluster: TestCluster,
  server: TestProxy,
  connected?: Socket,
): Promise<ClientHttp2Session> {
  const socket = await dialTls({
    socket: connected ?? (await open(test, server.ports.inbound)),
    identity: server.identity,
    alpn: [],
    credentials: credentialsOf(cluster.trust, server.identity.replace('cart', 'frontend'), cluster.name),
    clock: systemClock,
    timeoutMs: 2000,
  });
  // Sidecars offer no protocol of their own to each other; node:http2 asks for one.
  Object.defineProperty(socket, 'alpnProtocol', { value: 'h2' });
  const session = connectHttp2('http://cart.shop', { createConnection: () => socket });
  session.on('error', () => {});
  test.after(() => session.destroy());
  return session;
}

function ask(session: ClientHttp2Session, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve) => {
    const stream = session.request({ ':path': path, 'l5d-orig-proto': 'HTTP/1.1' });
    let status = 0;
    let body = '';
    stream.on('response', (head) => (status = Number(head[':status'])));
    stream.setEncoding('utf8').on('data', (text: string) => (body += text));
    stream.on('error', () => {});
    stream.on('close', () => resolve({ status, body }));
  });
}

const stoppedWithin = async (stopped: Promise<void>, limitMs: number): Promise<void> => {
  const from = performance.now();
  await stopped;
  const ms = performance.now() - from;
  assert.ok(ms < limitMs, `${ms} ms after what was waited for`);
};

test('HTTP/2: announced by GOAWAY, what is in flight is answered, then the last GOAWAY, then it is over', async (t) => {
  const { cluster, app, server } = await startStoppable(t);
  const session = await meshClient(t, cluster, server);
  const goaways: number[] = [];
  session.on('goaway', (_code, lastStream: number) => goaways.push(lastStream));
  const slow = ask(session, '/slow');
  await eventually('the request runs', () => app.waiting.length === 1);
  const stopped = server.proxy.stop();
  await eventually('both GOAWAY came', () => goaways.length === 2);
  assert.deepEqual(goaways, [2 ** 31 - 1, 1]);
  assert.deepEqual(server.proxy.ready(), { ready: false, reason: 'shutting down' });
  const refused = connect({ host: '127.0.0.1', port: server.ports.inbound });
  const [fault] = (await once(refused, 'error')) as [NodeJS.ErrnoException];
  assert.equal(fault.code, 'ECONNREFUSED');
  app.answer();
  assert.deepEqual(await slow, { status: 200, body: 'late' });
  await stoppedWithin(stopped, 500);
});

test('HTTP/1: an idle connection ends, a busy one says close with its answer', async (t) => {
  const { app, server } = await startStoppable(t);
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  assert.deepEqual(await get(server.ports.inbound, '/', agent), {
    status: 200,
    connection: undefined,
    body: 'quick',
  });
  const slow = get(server.ports.inbound, '/slow');
  await eventually('the request runs', () => app.waiting.length === 1);
  const stopped = server.proxy.stop();
  await eventually('the idle connection is gone', () => Object.keys(agent.freeSockets).length === 0);
  app.answer();
  assert.deepEqual(await slow, { status: 200, connection: 'close', body: 'late' });
  await stoppedWithin(stopped, 500);
});

test('opaque bytes pass until both ends are done', async (t) => {
  const cluster = await startCluster(t);
  const echo = await startEcho(t);
  const server = await startProxy(t, cluster, {
    app: echo.port,
    environment: { ...grace, MESH_OPAQUE_PORTS: String(echo.port) },
  });
  const client = connect({ host: '127.0.0.1', port: server.ports.inbound, allowHalfOpen: true });
  const received: string[] = [];
  client.setEncoding('utf8').on('data', (text: string) => received.push(text));
  client.write('before ');
  await eventually('echoed', () => received.join('') === 'before ');
  const stopped = server.proxy.stop();
  client.write('after');
  await eventually('echoed while it stops', () => received.join('') === 'before after');
  client.end();
  await stoppedWithin(stopped, 500);
});

test('opaque bytes that go on when the time is up are cut, not ended', async (t) => {
  const cluster = await startCluster(t);
  const echo = await startEcho(t);
  const server = await startProxy(t, cluster, {
    app: echo.port,
    environment: { MESH_SHUTDOWN_GRACE: '300ms', MESH_OPAQUE_PORTS: String(echo.port) },
  });
  const client = connect({ host: '127.0.0.1', port: server.ports.inbound });
  client.write('a part');
  await once(client, 'data');
  const broken = once(client, 'error');
  const stopped = server.proxy.stop();
  const [{ code }] = (await broken) as [NodeJS.ErrnoException];
  assert.equal(code, 'ECONNRESET');
  await stoppedWithin(stopped, 500);
});

test('whoever was accepted is served, however little was said before', async (t) => {
  const { cluster, server } = await startStoppable(t);
  const port = server.ports.inbound;
  const accepted = await Promise.all([open(t, port), open(t, port), open(t, port)]);
  const [half, fresh, silent] = accepted;
  let answer = '';
  half.setEncoding('utf8').on('data', (text: string) => (answer += text));
  const answered = once(half, 'end');
  const cut = once(silent.resume(), 'close');
  half.write('GET / HT');
  // Connections are accepted in order: with this one the others were.
  assert.equal((await get(port, '/')).status, 200);
  const stopped = server.proxy.stop();
  half.write('TP/1.1\r\nhost: cart.shop\r\n\r\n');
  const session = await meshClient(t, cluster, server, fresh);
  assert.equal((await ask(session, '/')).status, 200);
  await answered;
  assert.match(answer, /^HTTP\/1\.1 200 [^]*connection: close[^]*quick$/);
  half.end();
  // Who says nothing is not waited for.
  await cut;
  await stoppedWithin(stopped, 500);
});

test('the application’s own calls pass while it still answers, and while it holds connections', async (t) => {
  const { cluster, app, server } = await startStoppable(t);
  const catalog = await startApp(t);
  cluster.destination.service('10.0.0.1:80', 'catalog.shop.svc.cluster.local', [{ port: catalog.http1 }]);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  assert.equal((await get(server.ports.outbound, '/first', agent)).status, 200);
  const slow = get(server.ports.inbound, '/slow');
  await eventually('the request runs', () => app.waiting.length === 1);
  let over = false;
  const stopped = server.proxy.stop().then(() => {
    over = true;
  });
  // What it answers needs others: by a new connection, and by one that it keeps.
  assert.equal((await get(server.ports.outbound, '/new')).status, 200);
  assert.equal((await get(server.ports.outbound, '/kept', agent)).status, 200);
  app.answer();
  assert.equal((await slow).status, 200);
  for (let call = 0; call < 5; call++) {
    const { status, connection } = await get(server.ports.outbound, '/more', agent);
    assert.deepEqual([status, connection], [200, undefined]);
  }
  assert.equal(over, false);
  agent.destroy();
  await stoppedWithin(stopped, 500);
});

test('with nothing open it is over at once', async (t) => {
  const { server } = await startStoppable(t);
  await stoppedWithin(server.proxy.stop(), 200);
});

test('what outstays the grace period is cut', async (t) => {
  const cluster = await startCluster(t);
  const app = await startSlowApp(t);
  const server = await startProxy(t, cluster, {
    serviceAccount: 'cart',
    app: app.port,
    environment: { MESH_SHUTDOWN_GRACE: '300ms' },
  });
  const session = await meshClient(t, cluster, server);
  const slow = ask(session, '/slow');
  const idle = get(server.ports.inbound, '/slow').catch(() => 'cut');
  await eventually('both requests run', () => app.waiting.length === 2);
  await server.proxy.stop();
  assert.equal((await slow).status, 0);
  assert.equal(await idle, 'cut');
});
