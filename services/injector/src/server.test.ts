import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { test, type TestContext } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { resolveValues } from '@mesh/charts/values';
import { createLogger, type Logger, silentLogger } from '@mesh/telemetry/log';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import type { InjectorLimit } from './limits.ts';
import { InjectorServer } from './server.ts';
import { makeServingCertificate, type ServingMaterial } from './serving-certificate.ts';

const material = (): Promise<ServingMaterial> =>
  makeServingCertificate({
    dnsNames: ['mesh-injector.mesh.svc'],
    lifetimeMs: 3_600_000,
    clock: new FakeClock(Date.now()),
  });

async function serve(
  test: TestContext,
  log: Logger = silentLogger,
  limits: Partial<Record<InjectorLimit, number>> = {},
): Promise<{ server: InjectorServer; material: ServingMaterial }> {
  const server = new InjectorServer({
    port: 0,
    log,
    limits,
    clock: new FakeClock(),
    reviews: new MetricRegistry().counter('reviews', ''),
    cluster: {
      values: async () => resolveValues({ cluster: 'east', anchors: 'PEM' }),
      namespaceAnnotations: () => Promise.resolve({ 'mesh.io/inject': 'enabled' }),
    },
  });
  const first = await material();
  await server.use(first);
  test.after(() => server.close());
  return { server, material: first };
}

function post(
  port: number,
  ca: string,
  body: string,
  agent: Agent | false = false,
): Promise<{ status: number; text: string; reused: boolean }> {
  return new Promise((resolve, reject) => {
    const options = {
      port,
      ca,
      host: '127.0.0.1',
      servername: 'mesh-injector.mesh.svc',
      method: 'POST',
      path: '/inject',
    };
    const sent = httpsRequest({ ...options, agent }, (response: IncomingMessage) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          text: Buffer.concat(chunks).toString(),
          reused: sent.reusedSocket,
        }),
      );
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const pod = JSON.stringify({
  request: {
    uid: 'u1',
    namespace: 'shop',
    object: { metadata: {}, spec: { containers: [{ name: 'app' }] } },
  },
});

test('serves reviews under the name the API server asks for', async (t) => {
  const { server, material: served } = await serve(t);
  const { status, text } = await post(server.port, served.ca, pod);
  assert.equal(status, 200);
  assert.equal((JSON.parse(text) as { response: { allowed: boolean } }).response.allowed, true);
});

test('idle connections are left to the API server to close', async (t) => {
  const { server, material: served } = await serve(t);
  const socket = connectTls({
    port: server.port,
    host: '127.0.0.1',
    ca: served.ca,
    servername: 'mesh-injector.mesh.svc',
  });
  t.after(() => socket.destroy());
  socket.write('GET / HTTP/1.1\r\nhost: mesh-injector\r\n\r\n');
  const [head] = (await once(socket, 'data')) as [Buffer];
  const seconds = Number(/keep-alive: timeout=(\d+)/i.exec(head.toString())?.[1]);
  assert.ok(seconds > 90, head.toString());
});

test('a renewed certificate is served without a new listener', async (t) => {
  const { server, material: first } = await serve(t);
  const { port } = server;
  const second = await material();
  await server.use(second);
  assert.equal(server.port, port);
  assert.equal((await post(port, second.ca, pod)).status, 200);
  await assert.rejects(post(port, first.ca, pod), /certificate/);
});

test('bad bodies get 400, large ones 413 and a counted limit', async (t) => {
  const { server, material: served } = await serve(t);
  assert.equal((await post(server.port, served.ca, '{"no":"review"}')).status, 400);
  assert.equal((await post(server.port, served.ca, 'not json')).status, 400);
  const large = await post(server.port, served.ca, 'x'.repeat(3 * 1024 * 1024 + 1)).catch(() => undefined);
  assert.ok(large === undefined || large.status === 413);
  assert.equal(server.limits.hits('injector_review_bytes'), 1);
});

test('whoever sends what is no review does not fill the log', async (t) => {
  const lines: string[] = [];
  const log = createLogger({ clock: new FakeClock(), level: 'info', write: (line) => lines.push(line) });
  const { server, material: served } = await serve(t, log);
  const most = server.peerLimits.values.peer_log_lines;
  for (let sent = 0; sent < most + 5; sent++)
    assert.equal((await post(server.port, served.ca, 'not json')).status, 400);
  assert.equal(lines.length, most);
  assert.equal(server.peerLimits.hits('peer_log_lines'), 5);
});

test('whoever holds connections keeps no API server out: the one without a request for longest makes room', async (t) => {
  const { server, material: served } = await serve(t, silentLogger, { injector_connections: 4 });
  const silent = Array.from({ length: 3 }, () => connect({ port: server.port, host: '127.0.0.1' }));
  t.after(() => {
    for (const socket of silent) socket.destroy();
  });
  for (const socket of silent) {
    socket.on('error', () => {});
    await once(socket, 'connect');
  }
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  assert.equal((await post(server.port, served.ca, pod, agent)).status, 200);
  const late = connect({ port: server.port, host: '127.0.0.1' });
  t.after(() => late.destroy());
  await eventually('the oldest is gone', () => silent[0]?.resume().closed);
  assert.equal(server.limits.hits('injector_connections'), 1);
  const { status, reused } = await post(server.port, served.ca, pod, agent);
  assert.deepEqual([status, reused], [200, true]);
});

test('reviews that never end hold no more than they may together, and one of a pod passes', async (t) => {
  const { server, material: served } = await serve(t);
  const { injector_pending_bytes: most } = server.limits.values;
  const part = Buffer.alloc(2 * 1024 * 1024, 32);
  const sockets: TLSSocket[] = [];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  for (let index = 0; index * part.length <= most + 4 * part.length; index++) {
    const socket = connectTls({ port: server.port, host: '127.0.0.1', rejectUnauthorized: false });
    socket.on('error', () => {});
    sockets.push(socket);
    socket.write(`POST /inject HTTP/1.1\r\nhost: x\r\ncontent-length: ${part.length + 1}\r\n\r\n`);
    socket.write(part);
  }
  await eventually('some are cut off', () => sockets.filter(({ closed }) => closed).length >= 4, {
    timeoutMs: 20_000,
  });
  assert.ok(server.limits.hits('injector_pending_bytes') >= 4);
  assert.ok(server.pendingBytes <= most);
  assert.equal((await post(server.port, served.ca, pod)).status, 200);
  for (const socket of sockets) socket.destroy();
  await eventually('nothing is held for those that left', () => server.pendingBytes === 0);
});

test('stopping does not wait for a client that says nothing', async () => {
  const server = new InjectorServer({
    port: 0,
    log: silentLogger,
    clock: new FakeClock(),
    reviews: new MetricRegistry().counter('reviews', ''),
    cluster: { values: () => Promise.reject(new Error()), namespaceAnnotations: () => Promise.resolve({}) },
  });
  await server.use(await material());
  const silent = connect({ port: server.port, host: '127.0.0.1' });
  await once(silent, 'connect');
  const ended = once(silent, 'close');
  silent.resume();
  await server.close();
  await ended;
});
