import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { systemClock } from '@mesh/clock/system';
import { durationFromMs, ipFromText } from '@mesh/control-api/convert';
import type { HttpRouteSchema } from '@mesh/control-api/gen/linkerd/inbound_pb';
import { type Answer, type Http2Answer, send, sendHttp2 } from '@mesh/dataplane/testing/forwarding-rig';
import { encodeTransportHeader, transportHeaderAlpn } from '@mesh/transport/transport-header';
import { eventually } from '@mesh/testkit/eventually';
import { dialTcp, listen, listening } from '@mesh/testkit/servers';
import { TlsAcceptor } from '@mesh/trust/accept';
import { dialTls } from '@mesh/trust/dial';
import { gatewayIdentity } from '@mesh/trust/names';
import {
  credentialsOf,
  exchangeBytes,
  newAnchor,
  startApp,
  startCluster,
  startEcho,
  startProxy,
  type TestProxy,
  workload,
} from './testing/mesh.ts';

interface Ask {
  readonly method?: string;
  readonly path?: string;
  readonly body?: string;
  readonly headers?: Record<string, string>;
}

type Client = (port: number, ask?: Ask) => Promise<Answer | Http2Answer>;

const http1: Client = (port, { headers, ...ask } = {}) =>
  send(port, { ...ask, headers: { host: 'cart.shop', ...headers } });

const http2: Client = (port, { method = 'GET', path = '/', body, headers = {} } = {}) =>
  sendHttp2(port, { ':method': method, ':path': path, ':authority': 'cart.shop', ...headers }, body);

/** A gRPC call. */
const call = (port: number): Promise<Http2Answer> =>
  sendHttp2(port, { ':method': 'POST', ':authority': 'cart.shop', 'content-type': 'application/grpc' });

for (const [name, client] of [
  ['HTTP/1', http1],
  ['HTTP/2', http2],
] as const) {
  void test(`${name}: application to application through two sidecars, both ends proven`, async (t) => {
    const east = await startCluster(t);
    const app = await startApp(t);
    const port = name === 'HTTP/1' ? app.http1 : app.http2;
    const server = await startProxy(t, east, { serviceAccount: 'cart', app: port });
    const caller = await startProxy(t, east, { serviceAccount: 'frontend' });
    east.destination.service('10.0.0.1:80', 'cart.shop.svc.cluster.local', [
      { port: server.ports.inbound, identity: server.identity },
    ]);
    for (const ask of [
      { path: '/items?q=1' },
      { method: 'POST', path: '/items', body: 'x'.repeat(200_000), headers: { 'l5d-client-id': 'forged' } },
    ]) {
      const answer = await client(caller.ports.outbound, ask);
      assert.equal(answer.status, 200, JSON.stringify(answer.headers));
      const seen = JSON.parse(answer.body) as { path: string; body: string; headers: Record<string, string> };
      assert.equal(seen.path, ask.path);
      assert.equal(seen.body, ask.body ?? '');
      assert.equal(seen.headers['l5d-client-id'], caller.identity);
      assert.equal(seen.headers['l5d-orig-proto'], undefined);
      assert.equal(seen.headers[name === 'HTTP/1' ? 'host' : ':authority'], 'cart.shop');
      assert.equal(answer.headers['l5d-orig-proto'], undefined);
      if (name === 'HTTP/2') assert.equal(answer.trailers['grpc-status'], '0');
    }
    const outbound = await caller.metrics();
    const inbound = await server.metrics();
    const count = (page: string, pattern: RegExp): number => Number(pattern.exec(page)?.[1] ?? 0);
    assert.equal(
      count(
        outbound,
        new RegExp(
          `^request_total\\{direction="outbound",tls="true",server_id="${server.identity}".* (\\d+)$`,
          'm',
        ),
      ),
      2,
    );
    assert.match(outbound, /dst_pod="pod-\d+"/);
    assert.equal(
      count(
        inbound,
        new RegExp(
          `^request_total\\{direction="inbound",tls="true",client_id="${caller.identity}".* (\\d+)$`,
          'm',
        ),
      ),
      2,
    );
    assert.match(inbound, /^response_total\{direction="inbound".*classification="success".* 2$/m);
    assert.match(inbound, /^inbound_http_authz_allow_total\{target_port="\d+",tls="true".* 2$/m);
    assert.match(outbound, /^tcp_open_total\{peer="dst",direction="outbound",tls="true".* 1$/m);
  });
}

async function pair(
  t: Parameters<typeof startCluster>[0],
  environment: Record<string, string> = {},
): Promise<{
  east: Awaited<ReturnType<typeof startCluster>>;
  app: Awaited<ReturnType<typeof startApp>>;
  server: TestProxy;
}> {
  const east = await startCluster(t);
  const app = await startApp(t);
  const server = await startProxy(t, east, { serviceAccount: 'cart', app: app.http1, environment });
  return { east, app, server };
}

void test('an endpoint that proves another identity than discovery promised, or none, gets nothing', async (t) => {
  const { east, app, server } = await pair(t);
  const { trust } = east;
  const payments = new TlsAcceptor({
    credentials: credentialsOf(trust, workload('payments', 'east'), 'east'),
    clock: systemClock,
    alpn: ['h2'],
  });
  t.after(() => payments.close());
  const other = await listen(t, (socket) => payments.accept(socket, () => {}));
  // A sidecar takes TLS for another name as TLS of its application, which here speaks none.
  const cases = [
    {
      port: other.port,
      identity: server.identity,
      says: /within 3000 ms; last fault: .*the server is payments\.shop/,
    },
    {
      port: server.ports.inbound,
      identity: workload('payments', 'east'),
      says: /within 3000 ms; last fault: .*SSL/,
    },
  ];
  const clients = cases.map(async ({ says, ...endpoint }, index) => {
    const caller = await startProxy(t, east);
    caller.dials = { host: `10.0.0.${index}`, port: 80 };
    east.destination.service(`10.0.0.${index}:80`, `cart-${index}.shop.svc.cluster.local`, [endpoint]);
    const { outbound } = caller.ports;
    const [answer, grpc] = await Promise.all([http1(outbound), call(outbound)]);
    assert.equal(answer.status, 502);
    assert.equal(grpc.headers['grpc-status'], '14');
    for (const { headers } of [answer, grpc]) assert.match(String(headers['l5d-proxy-error']), says);
  });
  await Promise.all(clients);
  assert.equal(app.requests.length, 0);
});

void test('clients of an application that accepts nothing wait one second', async (t) => {
  const east = await startCluster(t);
  const [app = 0] = await freePorts(1);
  const server = await startProxy(t, east, { serviceAccount: 'cart', app });
  const identity = workload('frontend', 'east');
  const socket = await dialTls({
    host: '127.0.0.1',
    port: server.ports.inbound,
    identity: server.identity,
    alpn: [],
    credentials: credentialsOf(east.trust, identity, 'east'),
    clock: systemClock,
    timeoutMs: 2000,
  });
  socket.write('GET / HTTP/1.1\r\nhost: cart\r\n\r\n');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  assert.match(
    answer.toString(),
    /^HTTP\/1\.1 504 [^]*l5d-proxy-error: .* within 1000 ms; last fault: .*ECONNREFUSED/,
  );
});

void test('an answer that ends with its connection and breaks is reset, inside TLS too: it is not whole', async (t) => {
  const east = await startCluster(t);
  const { port: app } = await listen(t, (socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n');
      socket.once('data', () => socket.resetAndDestroy());
    });
  });
  const server = await startProxy(t, east, { serviceAccount: 'cart', app });
  const socket = await dialTls({
    host: '127.0.0.1',
    port: server.ports.inbound,
    identity: server.identity,
    alpn: [],
    credentials: credentialsOf(east.trust, workload('frontend', 'east'), 'east'),
    clock: systemClock,
    timeoutMs: 2000,
  });
  socket.on('error', () => {});
  const broken = new Promise<boolean>((resolve) => socket.once('close', resolve));
  socket.write('POST / HTTP/1.0\r\nhost: cart\r\ncontent-length: 8\r\n\r\nask ');
  let text = '';
  socket.on('data', (bytes: Buffer) => {
    text += bytes.toString();
    if (text.endsWith('part')) socket.write('more');
  });
  assert.equal(await broken, true);
});

for (const who of ['the client', 'the application'] as const) {
  void test(`a WebSocket that ${who} resets is reset at the other end of two sidecars`, async (t) => {
    const east = await startCluster(t);
    let application: Socket | undefined;
    const app = await listen(t, (socket) => {
      application = socket;
      socket.once('data', () => {
        socket.write('HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
      });
    });
    const server = await startProxy(t, east, { serviceAccount: 'cart', app: app.port });
    const caller = await startProxy(t, east);
    east.destination.service('10.0.0.1:80', 'cart.shop.svc.cluster.local', [
      { port: server.ports.inbound, identity: server.identity },
    ]);
    const client = await dialTcp(t, caller.ports.outbound);
    client.write('GET / HTTP/1.1\r\nhost: cart.shop\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
    await once(client, 'data');
    assert.ok(application !== undefined);
    const [leaves, stays] = who === 'the client' ? [client, application] : [application, client];
    const ends: string[] = [];
    stays.on('end', () => ends.push('end')).on('error', ({ message }) => ends.push(message));
    stays.resume();
    leaves.resetAndDestroy();
    await new Promise((resolve) => stays.on('close', resolve));
    assert.deepEqual(ends, ['read ECONNRESET']);
  });
}

void test('a policy that cannot be read is nobody’s fault but ours', async (t) => {
  const { east, app, server } = await pair(t, { MESH_POD_NAME: 'cart-1' });
  east.destination.policy('cart-1', { protocol: {} });
  const caller = await startProxy(t, east);
  east.destination.service('10.0.0.1:80', 'cart.shop.svc.cluster.local', [
    { port: server.ports.inbound, identity: server.identity },
  ]);
  const answer = await http1(caller.ports.outbound);
  const grpc = await call(caller.ports.outbound);
  assert.equal(answer.status, 500);
  assert.equal(grpc.headers['grpc-status'], '13');
  for (const { headers } of [answer, grpc]) {
    assert.equal(headers['l5d-proxy-error'], 'the policy of this pod cannot be read');
    assert.equal(headers['l5d-proxy-name'], `inbound ${server.identity}`);
  }
  assert.equal(app.requests.length, 0);
});

void test('clients of a foreign anchor are refused by name and reach nobody', async (t) => {
  const { app, server } = await pair(t);
  const foreign = newAnchor();
  const identity = workload('frontend', 'east');
  const credentials = credentialsOf(foreign, identity, 'east');
  await assert.rejects(
    dialTls({
      host: '127.0.0.1',
      port: server.ports.inbound,
      identity: server.identity,
      alpn: [],
      credentials,
      clock: systemClock,
      timeoutMs: 2000,
    }),
  );
  // It believes the server, because it was told our anchor too, but the server does not believe it.
  const current = credentials.current;
  assert.ok(current !== undefined);
  credentials.update({
    ...current,
    anchorsPem: current.anchorsPem + server.anchors,
  });
  const socket = await dialTls({
    host: '127.0.0.1',
    port: server.ports.inbound,
    identity: server.identity,
    alpn: [],
    credentials,
    clock: systemClock,
    timeoutMs: 2000,
  });
  socket.on('error', () => {});
  socket.write('GET /secret HTTP/1.1\r\nhost: cart\r\n\r\n');
  await new Promise((resolve) => socket.on('close', resolve));
  assert.equal(app.requests.length, 0);
  assert.match(
    await server.metrics(),
    /mesh_tls_refused_total\{direction="inbound",reason="foreign-anchor",target_port="\d+"\} 1/,
  );
});

void test('plaintext is refused by name where the policy demands identities', async (t) => {
  const { app, server } = await pair(t, { MESH_INBOUND_DEFAULT_POLICY: 'all-authenticated' });
  const answer = await http1(server.ports.inbound, { method: 'POST', body: 'secret' });
  assert.equal(answer.status, 403);
  assert.equal(await exchangeBytes(server.ports.inbound, '\0\0opaque'), '');
  assert.equal(app.requests.length, 0);
  const metrics = await server.metrics();
  assert.match(metrics, /inbound_http_authz_deny_total\{target_port="\d+",reason="unauthenticated".*\} 1/);
  assert.match(metrics, /inbound_tcp_authz_deny_total\{target_port="\d+",reason="unauthenticated".*\} 1/);
});

void test('plaintext passes where the policy admits everybody', async (t) => {
  const { server } = await pair(t);
  const answer = await http1(server.ports.inbound, { headers: { 'l5d-client-id': 'forged' } });
  assert.equal(answer.status, 200);
  const seen = JSON.parse(answer.body) as { headers: Record<string, string> };
  assert.equal(seen.headers['l5d-client-id'], undefined);
});

void test('another cluster is refused where the policy admits only the own one', async (t) => {
  const { east, app, server } = await pair(t, { MESH_INBOUND_DEFAULT_POLICY: 'cluster-authenticated' });
  const west = await startCluster(t, 'west', east.trust);
  for (const [cluster, status] of [
    [west, 403],
    [east, 200],
  ] as const) {
    const caller = await startProxy(t, cluster);
    cluster.destination.service('10.0.0.1:80', 'cart.shop.svc.cluster.local', [
      { port: server.ports.inbound, identity: server.identity },
    ]);
    const answer = await http1(caller.ports.outbound);
    assert.equal(answer.status, status);
    if (status === 403) {
      assert.equal(
        answer.headers['l5d-proxy-error'],
        'the policy of this pod admits only identities of its own cluster',
      );
      assert.equal(app.requests.length, 0);
    }
  }
  assert.match(
    await server.metrics(),
    /inbound_http_authz_deny_total\{[^}]*reason="foreign-cluster"[^}]*\} 1/,
  );
});

void test('only the own gateway is believed about who calls', async (t) => {
  const { east, app, server } = await pair(t);
  const original = workload('frontend', 'west');
  for (const [identity, believed] of [
    [gatewayIdentity('east'), original],
    [gatewayIdentity('west'), gatewayIdentity('west')],
    [workload('cart', 'east'), workload('cart', 'east')],
  ] as const) {
    const socket = await dialTls({
      host: '127.0.0.1',
      port: server.ports.inbound,
      identity: server.identity,
      alpn: [],
      credentials: credentialsOf(east.trust, identity, identity.split('.').at(-3) ?? ''),
      clock: systemClock,
      timeoutMs: 2000,
    });
    const session = connectHttp2('http://cart', { createConnection: () => socket });
    const stream = session.request({ ':path': '/', 'l5d-client-id': original, 'l5d-orig-proto': 'HTTP/1.1' });
    stream.resume();
    await new Promise((resolve) => stream.on('close', resolve));
    session.destroy();
    assert.equal(app.requests.at(-1)?.headers['l5d-client-id'], believed, identity);
  }
});

void test('a path that is open to some is judged by the caller that the own gateway names', async (t) => {
  const { east, server } = await pair(t, { MESH_POD_NAME: 'cart-1' });
  const prober = workload('prober', 'west');
  const networks = ['0.0.0.0', '::'].map((text) => ({ net: { ip: ipFromText(text), prefixLen: 0 } }));
  const only = (name: string) => ({
    networks,
    authentication: {
      permit: {
        case: 'meshTls' as const,
        value: { clients: { case: 'identities' as const, value: { identities: [{ name }] } } },
      },
    },
  });
  const openTo = (path: string, name: string): MessageInitShape<typeof HttpRouteSchema> => ({
    authorizations: [only(name)],
    rules: [
      {
        matches: [
          {
            path: { kind: { case: 'exact' as const, value: path } },
            method: { type: { case: 'registered' as const, value: 0 } },
          },
        ],
      },
    ],
  });
  const httpRoutes = [openTo('/ready', prober), openTo('/own', gatewayIdentity('east'))];
  east.destination.policy('cart-1', {
    protocol: { kind: { case: 'detect', value: { timeout: durationFromMs(10_000), httpRoutes } } },
  });
  const socket = await dialTls({
    host: '127.0.0.1',
    port: server.ports.inbound,
    identity: server.identity,
    alpn: [],
    credentials: credentialsOf(east.trust, gatewayIdentity('east'), 'east'),
    clock: systemClock,
    timeoutMs: 2000,
  });
  const session = connectHttp2('http://cart', { createConnection: () => socket });
  t.after(() => session.destroy());
  const ask = async (path: string, caller: string): Promise<unknown> => {
    const stream = session.request({ ':path': path, 'l5d-client-id': caller, 'l5d-orig-proto': 'HTTP/1.1' });
    const [head] = (await once(stream.resume(), 'response')) as [Record<string, unknown>];
    return head[':status'];
  };
  assert.equal(await ask('/ready', prober), 200);
  assert.equal(await ask('/ready', workload('frontend', 'west')), 403);
  assert.equal(await ask('/own', prober), 403);
});

void test('opaque bytes travel under mesh TLS with a transport header, half-close included', async (t) => {
  const east = await startCluster(t);
  const echo = await startEcho(t);
  const server = await startProxy(t, east, { serviceAccount: 'cart' });
  const caller = await startProxy(t, east);
  east.destination.service('10.0.0.1:80', 'db.shop.svc.cluster.local', [
    { port: echo.port, transportPort: server.ports.inbound, identity: server.identity, opaque: true },
  ]);
  const bytes = '\x00\x01'.repeat(300_000);
  assert.equal(await exchangeBytes(caller.ports.outbound, bytes), bytes);
  assert.match(await caller.metrics(), /outbound_tcp_protocol_connections_total\{protocol="opaque"\} 1/);
  for (const [proxy, labels] of [
    [caller, `peer="dst",direction="outbound",tls="true",server_id="${server.identity}"`],
    [server, 'direction="inbound",peer="dst",tls="no_identity"'],
  ] as const) {
    const page = await eventually('its connection to the endpoint is closed', async () => {
      const text = await proxy.metrics();
      return new RegExp(`^tcp_close_total\\{${labels}.* 1$`, 'm').test(text) ? text : undefined;
    });
    assert.match(page, new RegExp(`^tcp_open_total\\{${labels}.* 1$`, 'm'));
    assert.match(page, new RegExp(`^tcp_read_bytes_total\\{${labels}.* ${bytes.length}$`, 'm'));
  }
  assert.match(
    await server.metrics(),
    /inbound_tcp_transport_header_connections_total\{session_protocol="opaque",target_port="\d+"\} 1/,
  );
  assert.match(await server.metrics(), /^inbound_tcp_authz_allow_total\{target_port="\d+",tls="true".* 1$/m);
});

for (const [name, client] of [
  ['HTTP/1', http1],
  ['HTTP/2', http2],
] as const) {
  void test(`${name} reaches a pod whose port is opaque by a Service whose port is not`, async (t) => {
    const east = await startCluster(t);
    const app = await startApp(t);
    const port = name === 'HTTP/1' ? app.http1 : app.http2;
    const server = await startProxy(t, east, { serviceAccount: 'cart', dialled: true });
    const caller = await startProxy(t, east);
    east.destination.profiles.set('10.0.0.1:80', { fullyQualifiedName: 'cart.shop.svc.cluster.local' });
    east.destination.endpoints('cart.shop.svc.cluster.local:80', [
      { port, transportPort: server.ports.inbound, identity: server.identity, opaque: true },
    ]);
    for (const body of ['one', 'two']) {
      const answer = await client(caller.ports.outbound, { method: 'POST', body });
      assert.equal(answer.status, 200, answer.body);
    }
    assert.deepEqual(
      app.requests.map(({ body, headers }) => [body, headers['l5d-client-id'], headers['l5d-orig-proto']]),
      ['one', 'two'].map((body) => [body, caller.identity, undefined]),
    );
    const metrics = await server.metrics();
    assert.match(
      metrics,
      /_transport_header_connections_total\{session_protocol="http2",target_port="\d+"\} 1$/m,
    );
    assert.match(metrics, /^inbound_http_authz_allow_total\{target_port="\d+",tls="true".* 2$/m);
  });
}

void test('opaque bytes that are cut on one side of two sidecars are cut on the other, not ended', async (t) => {
  const east = await startCluster(t);
  let cut: 'answer' | 'request' = 'answer';
  const faults: string[] = [];
  const app = await listen(t, (socket) => {
    socket.on('error', (error: NodeJS.ErrnoException) => faults.push(`app ${error.code}`));
    socket.on('end', () => faults.push('app end'));
    socket.write('\x00part');
    socket.on('data', () => {
      if (cut === 'answer') socket.resetAndDestroy();
    });
  });
  const server = await startProxy(t, east, { serviceAccount: 'cart' });
  const caller = await startProxy(t, east);
  east.destination.service('10.0.0.1:80', 'db.shop.svc.cluster.local', [
    { port: app.port, transportPort: server.ports.inbound, identity: server.identity, opaque: true },
  ]);
  for (cut of ['answer', 'request'] as const) {
    const client = await dialTcp(t, caller.ports.outbound);
    client.on('error', (error: NodeJS.ErrnoException) => faults.push(`client ${error.code}`));
    client.on('end', () => faults.push('client end'));
    client.write('\x00ask');
    await once(client, 'data');
    if (cut === 'answer') client.write('more');
    else client.resetAndDestroy();
    const expected = cut === 'answer' ? 'client ECONNRESET' : 'app ECONNRESET';
    await eventually('the other side hears of it', () => faults.length > 0);
    assert.deepEqual(faults.splice(0), [expected]);
  }
});

void test('opaque bytes of a client whose certificate expires end with it, which log and metrics tell', async (t) => {
  const east = await startCluster(t);
  const echo = await startEcho(t);
  const server = await startProxy(t, east, { serviceAccount: 'cart', app: 1 });
  const socket = await dialTls({
    host: '127.0.0.1',
    port: server.ports.inbound,
    identity: server.identity,
    alpn: [transportHeaderAlpn],
    credentials: credentialsOf(east.trust, workload('frontend', 'east'), 'east', 2000),
    clock: systemClock,
    timeoutMs: 2000,
  });
  t.after(() => socket.destroy());
  const header = { port: echo.port, name: '', sessionProtocol: undefined, clientId: '', hops: 0 };
  socket.write(encodeTransportHeader(header));
  await once(socket.resume(), 'end');
  assert.match(await server.metrics(), /^mesh_opaque_expired_total\{moment="busy"\} 1$/m);
  assert.match(
    server.log.join(''),
    /"msg":"opaque connection ended with its certificate","target":"127.0.0.1:/,
  );
});

void test('HTTP of a client whose certificate expires is asked to go before, and what is in flight then is cut at the expiry', async (t) => {
  const east = await startCluster(t);
  const answers: (() => void)[] = [];
  const app = createHttpServer((_, response) => {
    answers.push(() => response.end('late'));
  });
  const server = await startProxy(t, east, { serviceAccount: 'cart', app: await listening(t, app) });
  const socket = await dialTls({
    host: '127.0.0.1',
    port: server.ports.inbound,
    identity: server.identity,
    alpn: ['h2'],
    credentials: credentialsOf(east.trust, workload('frontend', 'east'), 'east', 3000),
    clock: systemClock,
    timeoutMs: 2000,
  });
  const session = connectHttp2('http://cart.shop', { createConnection: () => socket });
  t.after(() => session.destroy());
  const closed = once(session, 'close');
  session.on('error', () => {});
  const head = { ':path': '/', 'l5d-orig-proto': 'HTTP/1.1' };
  const stream = session.request(head);
  let body = '';
  stream.setEncoding('utf8').on('data', (text: string) => (body += text));
  await eventually('the application has the request', () => answers.length === 1);
  const endless = session.request(head).on('error', () => {});
  await eventually('and another one', () => answers.length === 2);
  await once(session, 'goaway', { signal: AbortSignal.timeout(10_000) });
  answers[0]?.();
  await once(stream, 'end');
  assert.equal(body, 'late');
  await closed;
  assert.ok(endless.closed);
  assert.match(await server.metrics(), /^mesh_limit_hits_total\{limit="expiry_lead_ms"\} 1$/m);
});

void test('a transport header leads to the port it names', async (t) => {
  const east = await startCluster(t);
  const echo = await startEcho(t);
  const server = await startProxy(t, east, { serviceAccount: 'cart', app: 1 });
  const dial = async (port: number, name: string): Promise<string> => {
    const socket = await dialTls({
      host: '127.0.0.1',
      port: server.ports.inbound,
      identity: server.identity,
      alpn: [transportHeaderAlpn],
      credentials: credentialsOf(east.trust, workload('frontend', 'east'), 'east'),
      clock: systemClock,
      timeoutMs: 2000,
    });
    socket.on('error', () => {});
    socket.write(encodeTransportHeader({ port, name, sessionProtocol: undefined, clientId: '', hops: 0 }));
    socket.write('hello');
    const chunks: Buffer[] = [];
    await new Promise<void>((resolve) => {
      socket.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        socket.destroy();
      });
      socket.on('close', () => resolve());
    });
    return Buffer.concat(chunks).toString();
  };
  assert.equal(await dial(echo.port, ''), 'hello');
  assert.equal(await dial(echo.port, 'cart.shop.svc.cluster.local'), '');
  assert.match(await server.metrics(), /inbound_tcp_errors_total\{error="a sidecar is no gateway"\} 1/);
});

void test('the policy on opaque bytes goes by the caller that the own gateway names, and by nobody else’s word', async (t) => {
  const east = await startCluster(t);
  const echo = await startEcho(t);
  const environment = { MESH_INBOUND_DEFAULT_POLICY: 'cluster-authenticated' };
  const server = await startProxy(t, east, { serviceAccount: 'cart', app: 1, environment });
  for (const [identity, clientId, expected] of [
    [gatewayIdentity('east'), workload('frontend', 'west'), ''],
    [gatewayIdentity('east'), '', 'hello'],
    [workload('frontend', 'east'), workload('frontend', 'west'), 'hello'],
    [gatewayIdentity('west'), workload('frontend', 'east'), ''],
  ] as const) {
    const socket = await dialTls({
      host: '127.0.0.1',
      port: server.ports.inbound,
      identity: server.identity,
      alpn: [transportHeaderAlpn],
      credentials: credentialsOf(east.trust, identity, identity.split('.').at(-3) ?? ''),
      clock: systemClock,
      timeoutMs: 2000,
    });
    socket.on('error', () => {});
    const header = { port: echo.port, name: '', sessionProtocol: undefined, clientId, hops: 0 };
    socket.write(encodeTransportHeader(header));
    socket.write('hello');
    const answer = await new Promise<string>((resolve) => {
      socket.on('data', (chunk: Buffer) => resolve(chunk.toString()));
      socket.on('close', () => resolve(''));
    });
    socket.destroy();
    assert.equal(answer, expected, `${identity} for ${clientId}`);
  }
});

void test('a destination nobody knows is reached where it is', async (t) => {
  const east = await startCluster(t);
  const app = await startApp(t, 'stranger');
  const echo = await startEcho(t);
  const caller = await startProxy(t, east);
  caller.dials = { host: '127.0.0.1', port: app.http1 };
  assert.equal((await http1(caller.ports.outbound)).headers['x-app'], 'stranger');
  caller.dials = { host: '127.0.0.1', port: echo.port };
  assert.equal(await exchangeBytes(caller.ports.outbound, 'QUIT\r\n'), 'QUIT\r\n');
});

void test('what a client says before it ends its half arrives, though it is too little to tell what it speaks', async (t) => {
  const east = await startCluster(t);
  const echo = await startEcho(t);
  const server = await startProxy(t, east, { serviceAccount: 'cart', app: echo.port });
  const caller = await startProxy(t, east);
  caller.dials = { host: '127.0.0.1', port: echo.port };
  for (const said of ['H', 'GET', 'PRI * HTT', '\x16']) {
    assert.equal(await exchangeBytes(caller.ports.outbound, said), said, 'outbound');
    assert.equal(await exchangeBytes(server.ports.inbound, said), said, 'inbound');
  }
});

void test('a service without endpoints is answered at once', async (t) => {
  const east = await startCluster(t);
  const caller = await startProxy(t, east);
  east.destination.service('10.0.0.1:80', 'cart.shop.svc.cluster.local', []);
  const answer = await http1(caller.ports.outbound);
  assert.equal(answer.status, 503);
  assert.equal(answer.headers['l5d-proxy-error'], 'cart.shop.svc.cluster.local:80 has no endpoints');
});

void test('when the local sidecar dies the remote tier takes over without a failed request', async (t) => {
  const east = await startCluster(t);
  const [localApp, remoteApp] = [await startApp(t, 'local'), await startApp(t, 'remote')];
  const local = await startProxy(t, east, { serviceAccount: 'cart', app: localApp.http1 });
  const remote = await startProxy(t, east, { serviceAccount: 'cart', app: remoteApp.http1 });
  const caller = await startProxy(t, east);
  east.destination.service('10.0.0.1:80', 'cart.shop.svc.cluster.local', [
    { port: local.ports.inbound, identity: local.identity },
    { port: remote.ports.inbound, identity: remote.identity, tier: 1 },
  ]);
  assert.equal((await http1(caller.ports.outbound)).headers['x-app'], 'local');
  await local.proxy.stop();
  for (let request = 0; request < 50; request++) {
    const answer = await http1(caller.ports.outbound, { method: 'POST', body: 'x' });
    assert.equal(answer.status, 200, String(answer.headers['l5d-proxy-error']));
    assert.equal(answer.headers['x-app'], 'remote');
  }
});

void test('a peer that refuses our certificate after the handshake loses no request', async (t) => {
  const east = await startCluster(t);
  const app = await startApp(t, 'remote');
  const remote = await startProxy(t, east, { serviceAccount: 'cart', app: app.http1 });
  const caller = await startProxy(t, east);
  const identity = workload('cart', 'east');
  const acceptor = new TlsAcceptor({
    credentials: credentialsOf(east.trust, identity, 'east'),
    clock: systemClock,
    alpn: [],
    acceptsCluster: () => false,
  });
  const refusing = await listen(t, (socket) => acceptor.accept(socket, () => {}));
  east.destination.service('10.0.0.1:80', 'cart.shop.svc.cluster.local', [
    { port: refusing.port, identity },
    { port: remote.ports.inbound, identity: remote.identity, tier: 1 },
  ]);
  for (let request = 0; request < 20; request++) {
    const answer = await http1(caller.ports.outbound, { method: 'POST', body: 'x' });
    assert.equal(answer.status, 200, String(answer.headers['l5d-proxy-error']));
  }
});

void test('when only the application dies its sidecar refuses, and requests go elsewhere', async (t) => {
  const east = await startCluster(t);
  const [localApp, remoteApp] = [await startApp(t, 'local'), await startApp(t, 'remote')];
  const local = await startProxy(t, east, { serviceAccount: 'cart', app: localApp.http1 });
  const remote = await startProxy(t, east, { serviceAccount: 'cart', app: remoteApp.http1 });
  const caller = await startProxy(t, east);
  east.destination.service('10.0.0.1:80', 'cart.shop.svc.cluster.local', [
    { port: local.ports.inbound, identity: local.identity },
    { port: remote.ports.inbound, identity: remote.identity, tier: 1 },
  ]);
  assert.equal((await http1(caller.ports.outbound)).headers['x-app'], 'local');
  localApp.kill();
  const served = new Set<unknown>();
  for (let request = 0; request < 50; request++) {
    const answer = await http1(caller.ports.outbound, { method: 'POST', body: 'x' });
    assert.equal(answer.status, 200, String(answer.headers['l5d-proxy-error']));
    served.add(answer.headers['x-app']);
  }
  assert.deepEqual(served, new Set(['remote']));
});

void test('without a control plane traffic goes on', async (t) => {
  const { east, server } = await pair(t);
  const caller = await startProxy(t, east);
  east.destination.service('10.0.0.1:80', 'cart.shop.svc.cluster.local', [
    { port: server.ports.inbound, identity: server.identity },
  ]);
  assert.equal((await http1(caller.ports.outbound)).status, 200);
  east.destination.kill();
  for (let request = 0; request < 5; request++) {
    assert.equal((await http1(caller.ports.outbound)).status, 200);
  }
  assert.equal(caller.proxy.ready().ready, true);
});

void test('endpoints follow discovery', async (t) => {
  const east = await startCluster(t);
  const [oldApp, newApp] = [await startApp(t, 'old'), await startApp(t, 'new')];
  const first = await startProxy(t, east, { serviceAccount: 'cart', app: oldApp.http1 });
  const second = await startProxy(t, east, { serviceAccount: 'cart', app: newApp.http1 });
  const caller = await startProxy(t, east);
  east.destination.service('10.0.0.1:80', 'cart.shop.svc.cluster.local', [
    { port: first.ports.inbound, identity: first.identity },
  ]);
  assert.equal((await http1(caller.ports.outbound)).headers['x-app'], 'old');
  east.destination.endpoints('cart.shop.svc.cluster.local:80', [
    { port: second.ports.inbound, identity: second.identity },
  ]);
  east.destination.remove('cart.shop.svc.cluster.local:80', [first.ports.inbound]);
  await eventually('the new endpoint answers', async () => {
    const answer = await http1(caller.ports.outbound);
    assert.equal(answer.status, 200);
    return answer.headers['x-app'] === 'new';
  });
});

void test('the admin page tells readiness, and ends the sidecar only where that is allowed', async (t) => {
  const east = await startCluster(t);
  const caller = await startProxy(t, east);
  const base = `http://127.0.0.1:${caller.ports.admin}`;
  assert.equal(await (await fetch(`${base}/ready`)).text(), 'ready\n');
  assert.equal((await fetch(`${base}/live`)).status, 200);
  assert.match(await caller.metrics(), /identity_cert_expiration_timestamp_seconds \d+/);
  // What an application can be made to ask for.
  for (const method of ['GET', 'POST', 'PUT', 'DELETE']) {
    assert.ok([404, 405].includes((await fetch(`${base}/shutdown`, { method })).status), method);
  }
  assert.equal(caller.proxy.ready().ready, true);
  const job = await startProxy(t, east, { environment: { MESH_SHUTDOWN_ENDPOINT: 'enabled' } });
  const shutdown = `http://127.0.0.1:${job.ports.admin}/shutdown`;
  assert.equal((await fetch(shutdown)).status, 405);
  assert.equal(job.proxy.ready().ready, true);
  assert.equal((await fetch(shutdown, { method: 'POST' })).status, 200);
  await eventually('it drains', () => !job.proxy.ready().ready);
  assert.ok(caller.log.every((line) => !line.includes('PRIVATE KEY') && !line.includes('good')));
});

void test('without a certificate it is not ready, although the control plane answers, and says why', async (t) => {
  const east = await startCluster(t);
  await startProxy(t, east);
  const [nobody = 0] = await freePorts(1);
  const environment = { MESH_IDENTITY_ADDR: `127.0.0.1:${nobody}` };
  const { ports } = await startProxy(t, east, { serviceAccount: 'cart', unready: true, environment });
  await eventually('it tried', async () => {
    const ready = await fetch(`http://127.0.0.1:${ports.admin}/ready`);
    assert.equal(ready.status, 503);
    assert.match(await ready.text(), /^not ready: no certificate: .*ECONNREFUSED/);
    return true;
  });
  assert.equal((await fetch(`http://127.0.0.1:${ports.admin}/live`)).status, 200);
});

void test('detection counts what it found, before TLS and inside it, and how long it took', async (t) => {
  const { east, server } = await pair(t);
  const caller = await startProxy(t, east);
  east.destination.service('10.0.0.1:80', 'cart.shop.svc.cluster.local', [
    { port: server.ports.inbound, identity: server.identity },
  ]);
  assert.equal((await http1(caller.ports.outbound)).status, 200);
  assert.equal((await http1(server.ports.inbound)).status, 200, 'plaintext');
  const outbound = await caller.metrics();
  assert.match(outbound, /^mesh_detect_total\{direction="outbound",tls="no_identity",result="http1"\} 1$/m);
  assert.match(outbound, /^mesh_detect_ms_count\{direction="outbound",tls="no_identity"\} 1$/m);
  const inbound = await server.metrics();
  for (const [tls, result] of [
    ['no_identity', 'tls'],
    ['no_identity', 'http1'],
    ['true', 'http2'],
  ]) {
    const line = `^mesh_detect_total\\{direction="inbound",tls="${tls}",result="${result}"\\} 1$`;
    assert.match(inbound, new RegExp(line, 'm'));
  }
});

/** Ports that were free a moment ago. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

void test('nobody is forwarded to a port of the sidecar itself, however it is asked for', async (t) => {
  const east = await startCluster(t);
  const [outbound = 0, inbound = 0, admin = 0] = await freePorts(3);
  const environment = {
    MESH_OUTBOUND_PORT: String(outbound),
    MESH_INBOUND_PORT: String(inbound),
    MESH_ADMIN_PORT: String(admin),
  };
  const options = { serviceAccount: 'cart', app: admin, environment };
  const server = await startProxy(t, east, options);
  const errors = async (error: string): Promise<number> =>
    Number(
      new RegExp(`^inbound_tcp_errors_total\\{error="${error}"\\} (\\d+)$`, 'm').exec(
        await server.metrics(),
      )?.[1] ?? 0,
    );
  const shutdown = 'POST /shutdown HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n';
  // Redirected to one of our own ports.
  for (const port of [admin, outbound]) {
    options.app = port;
    assert.equal(await exchangeBytes(inbound, shutdown), '');
  }
  assert.equal(await errors('loop'), 2);
  // Named by a transport header.
  options.app = inbound;
  const credentials = credentialsOf(east.trust, workload('frontend', 'east'), 'east');
  const dial = (alpn: string[]): Promise<Socket> =>
    dialTls({
      host: '127.0.0.1',
      port: inbound,
      identity: server.identity,
      alpn,
      credentials,
      clock: systemClock,
      timeoutMs: 2000,
    });
  for (const port of [admin, inbound, outbound]) {
    for (const sessionProtocol of [undefined, 'http1'] as const) {
      const socket = await dial([transportHeaderAlpn]);
      socket.on('error', () => {});
      const closed = new Promise((resolve) => socket.on('close', resolve));
      socket.on('data', (chunk: Buffer) => assert.fail(chunk.toString()));
      socket.write(encodeTransportHeader({ port, name: '', sessionProtocol, clientId: '', hops: 0 }));
      socket.write(shutdown);
      await closed;
    }
  }
  assert.equal(await errors('loop'), 8);
  // Dialled on purpose, without a header or without TLS.
  const socket = await dial([]);
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.resume();
  socket.write(shutdown);
  await closed;
  assert.equal(await exchangeBytes(inbound, shutdown), '');
  assert.equal(await errors('direct connection without a transport header'), 1);
  assert.equal(await errors('plaintext on a direct connection'), 1);
  // The application dials the port that it is redirected to.
  server.dials = { host: '127.0.0.1', port: outbound };
  assert.equal(await exchangeBytes(outbound, shutdown), '');
  assert.match(await server.metrics(), /^outbound_tcp_errors_total\{error="loop"\} 1$/m);
  assert.equal(server.proxy.ready().ready, true, 'and nobody shut it down');
});
