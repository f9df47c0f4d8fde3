import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  Agent,
  type ClientRequest,
  createServer,
  type IncomingMessage,
  request as httpRequest,
  type RequestOptions,
} from 'node:http';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, ipFromText } from '@mesh/control-api/convert';
import { ServerSchema } from '@mesh/control-api/gen/linkerd/inbound_pb';
import type { KeptStreamHandler } from '@mesh/dataplane/control-channel';
import { LimitLedger } from '@mesh/limits/limits';
import { silentLogger } from '@mesh/telemetry/log';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { dialTcp, listening } from '@mesh/testkit/servers';
import { defaultPolicy } from './inbound-policy.ts';
import { proxyLimits } from './limits.ts';
import { PortPolicies } from './port-policies.ts';
import {
  startApp,
  startCluster,
  startEcho,
  startProxy,
  type TestCluster,
  type TestProxy,
} from './testing/mesh.ts';

type Policy = MessageInitShape<typeof ServerSchema>;

const protocol = { kind: { case: 'detect' as const, value: { timeout: durationFromMs(1000) } } };
const nobody: Policy = { protocol, authorizations: [] };
const from = (...networks: (readonly [string, number])[]) => ({
  protocol,
  authorizations: [
    {
      networks: networks.map(([text, prefixLen]) => ({ net: { ip: ipFromText(text), prefixLen } })),
      authentication: { permit: { case: 'unauthenticated' as const, value: {} } },
    },
  ],
});
const anybody = from(['0.0.0.0', 0], ['::', 0]);

/** A sidecar before `port` whose control plane says nothing of it yet. */
async function sidecar(
  t: TestContext,
  port: number,
  environment: Record<string, string> = {},
): Promise<{ east: TestCluster; server: TestProxy }> {
  const east = await startCluster(t);
  const server = await startProxy(t, east, {
    serviceAccount: 'cart',
    app: port,
    environment: { MESH_POD_NAME: 'cart-1', ...environment },
  });
  return { east, server };
}

/** Asks on one connection that is kept. */
function keptClient(t: TestContext, port: number): () => Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  return async () => {
    const sent = httpRequest({ host: '127.0.0.1', port, agent, path: '/', headers: { host: 'cart' } });
    sent.end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    response.resume();
    await once(response, 'end');
    return response.statusCode ?? 0;
  };
}

void test('a change of the policy reaches open HTTP connections with the next request', async (t) => {
  const app = await startApp(t);
  const { east, server } = await sidecar(t, app.http1);
  const ask = keptClient(t, server.ports.inbound);
  assert.equal(await ask(), 200, 'the default, as long as the control plane knows nothing');
  const becomes = (status: number) =>
    eventually(`requests are answered with ${status}`, async () => (await ask()) === status || undefined);
  east.destination.policy('cart-1', nobody);
  await becomes(403);
  const served = app.requests.length;
  assert.equal(await ask(), 403);
  assert.equal(app.requests.length, served);
  east.destination.policy('cart-1', { ...anybody, protocol: {} });
  await becomes(500);
  east.destination.policy('cart-1', anybody);
  await becomes(200);
});

void test('a change of the policy cuts off opaque connections that it no longer admits', async (t) => {
  const echo = await startEcho(t);
  const { east, server } = await sidecar(t, echo.port);
  east.destination.policy('cart-1', anybody);
  const client = await dialTcp(t, server.ports.inbound);
  client.write('\0 opaque');
  const [back] = (await once(client, 'data')) as [Buffer];
  assert.equal(back.toString(), '\0 opaque');
  const broken = once(client, 'error');
  east.destination.policy('cart-1', nobody);
  const [{ code }] = (await broken) as [NodeJS.ErrnoException];
  assert.equal(code, 'ECONNRESET', 'what was sent is not whole');
  assert.match(await server.metrics(), /inbound_tcp_authz_terminate_total\{[^}]*reason="denied"[^}]*\} 1/);
});

/** Answers no request, and echoes what comes through tunnels. */
function holdingApp(t: TestContext): Promise<number> {
  const app = createServer(() => {});
  app.on('upgrade', (_: IncomingMessage, socket: Socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n');
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  return listening(t, app);
}

void test('a change of the policy ends requests and tunnels that it no longer admits, and no others', async (t) => {
  const { east, server } = await sidecar(t, await holdingApp(t));
  const port = server.ports.inbound;
  east.destination.policy('cart-1', anybody);
  const ask = (options: RequestOptions): ClientRequest => {
    const sent = httpRequest({ host: '127.0.0.1', port, agent: false, ...options });
    t.after(() => sent.destroy());
    sent.end();
    return sent;
  };
  const [, tunnel] = (await once(
    ask({ headers: { connection: 'upgrade', upgrade: 'echo' } }),
    'upgrade',
  )) as [IncomingMessage, Socket];
  t.after(() => tunnel.destroy());
  const answered = (sent: ClientRequest) => once(sent, 'response') as Promise<[IncomingMessage]>;
  const request = answered(ask({}));
  const elsewhere = answered(ask({ localAddress: '127.0.0.2' }));
  const counted = async (series: string): Promise<string | undefined> =>
    new RegExp(`^inbound_http_authz_${series}.*\\} (\\d+)$`, 'm').exec(await server.metrics())?.[1];
  await eventually('all are admitted', async () => (await counted('allow_total')) === '3' || undefined);

  east.destination.policy('cart-1', from(['127.0.0.1', 32]));
  assert.equal((await elsewhere)[0].statusCode, 403);
  assert.equal(await counted('terminate_total.*reason="network-not-allowed"'), '1');
  tunnel.write('still open');
  assert.equal(String((await once(tunnel, 'data'))[0]), 'still open');

  // A tunnel that is cut off is reset.
  const cut = once(tunnel, 'error') as Promise<[NodeJS.ErrnoException]>;
  east.destination.policy('cart-1', nobody);
  assert.equal((await cut)[0].code, 'ECONNRESET');
  assert.equal((await request)[0].statusCode, 403);
  assert.equal(await counted('terminate_total.*reason="denied"'), '2');
});

void test('without a control plane the last policy holds, not the default', async (t) => {
  const app = await startApp(t);
  const { east, server } = await sidecar(t, app.http1, { MESH_INBOUND_PORTS: String(app.http1) });
  const ask = keptClient(t, server.ports.inbound);
  east.destination.policy('cart-1', nobody);
  await eventually('the policy arrived', async () => (await ask()) === 403 || undefined);
  east.destination.kill();
  await eventually(
    'its stream ended',
    () => server.log.some((line) => line.includes('/WatchPort')) || undefined,
  );
  for (let turn = 0; turn < 3; turn++) assert.equal(await ask(), 403);
});

interface Watch {
  readonly port: number;
  readonly handler: KeptStreamHandler<typeof ServerSchema>;
  cancelled: boolean;
}

/** Policies over a control plane that only writes down what it is asked. */
function policies(ports: number[], most: number, { evictions = 100 } = {}) {
  const watches: Watch[] = [];
  const clock = new FakeClock();
  const limits = new LimitLedger(proxyLimits, { policy_ports: most, policy_port_evictions: evictions });
  const made = new PortPolicies({
    clock,
    log: silentLogger,
    limits,
    workload: '{"ns":"shop","pod":"cart-1"}',
    ports,
    fallback: () =>
      defaultPolicy(
        'all-unauthenticated',
        { opaque: false, detectTimeoutMs: 1 },
        { cluster: 'east', suffix: 'mesh.local' },
      ),
    idleMs: 1000,
    channel: {
      keep: (_method, input, handler) => {
        const watch = { port: (input as { port: number }).port, handler: handler as never, cancelled: false };
        watches.push(watch);
        return { cancel: () => void (watch.cancelled = true) };
      },
    },
  });
  made.start();
  /** A connection to `port` that comes and goes. */
  const knock = (port: number): void => {
    const policy = made.hold(port);
    assert.ok(policy !== undefined, `port ${port}`);
    made.release(policy);
  };
  const say = (port: number, policy: Policy): void =>
    watches.findLast((watch) => watch.port === port)?.handler.onMessage(create(ServerSchema, policy), true);
  const watched = (): number[] => watches.filter(({ cancelled }) => !cancelled).map(({ port }) => port);
  return { made, watches, clock, limits, knock, say, watched };
}

void test('declared ports are watched for good, others while they are used', () => {
  const { made, knock, watches, clock } = policies([80], 10);
  assert.deepEqual(
    watches.map(({ port }) => port),
    [80],
  );
  const held = made.hold(81);
  assert.ok(held !== undefined);
  knock(80);
  clock.advance(5000);
  assert.equal(made.size, 2);
  made.release(held);
  clock.advance(999);
  assert.equal(made.size, 2);
  clock.advance(1);
  assert.deepEqual(
    watches.map(({ port, cancelled }) => [port, cancelled]),
    [
      [80, false],
      [81, true],
    ],
  );
  made.close();
  assert.ok(watches.every(({ cancelled }) => cancelled));
});

void test('whoever knocks at many ports has the longest unused forgotten; what is declared or in use stays watched', () => {
  const { made, knock, watched, watches, limits, clock } = policies([80], 3);
  const held = made.hold(81);
  for (let port = 1000; port < 1010; port++) knock(port);
  assert.deepEqual(watched(), [80, 81, 1008, 1009]);
  assert.equal(limits.hits('policy_ports'), 8);
  // One that comes now is watched, and goes by what is said of it.
  const latest = made.hold(8080);
  watches.at(-1)?.handler.onMessage(create(ServerSchema, anybody), true);
  assert.equal(latest?.current.authorizations.length, 1);
  assert.deepEqual(watched(), [80, 81, 1009, 8080]);
  assert.ok(held !== undefined);
  made.release(held);
  clock.advance(1000);
  assert.deepEqual(watched(), [80, 8080]);
  made.close();
});

void test('when all are in use nobody is admitted to further ports, and declared ones stay watched', () => {
  const { made, watches, limits } = policies([80], 2);
  const held = Array.from({ length: 10 }, (_, index) => made.hold(1000 + index));
  assert.deepEqual(
    held.map((policy) => policy !== undefined),
    [true, true, ...Array<boolean>(8).fill(false)],
  );
  assert.deepEqual(
    watches.map(({ port }) => port),
    [80, 1000, 1001],
  );
  assert.equal(limits.hits('policy_ports'), 8);
  watches[0]?.handler.onMessage(create(ServerSchema, anybody), true);
  assert.equal(made.hold(80)?.current.authorizations.length, 1);
  made.close();
});

void test('ports make room for each other no faster than the control plane takes it', () => {
  const { made, clock, knock, limits, watched } = policies([80], 3, { evictions: 20 });
  for (let port = 1000; port < 1023; port++) knock(port);
  assert.equal(made.hold(2000), undefined);
  assert.deepEqual(watched(), [80, 1020, 1021, 1022]);
  assert.equal(limits.hits('policy_port_evictions'), 1);
  // Two a second.
  clock.advance(500);
  knock(2000);
  assert.equal(made.hold(2001), undefined);
  assert.deepEqual(watched(), [80, 1021, 1022, 2000]);
  made.close();
});

for (const [what, interrupts] of [
  ['while the control plane is there', false],
  ['while it is away', true],
] as const) {
  void test(`a scan of ports of which nothing is said takes no policy away, ${what}`, () => {
    const { made, knock, say, watches } = policies([80], 3);
    knock(8080);
    say(8080, nobody);
    if (interrupts) for (const { handler } of watches) handler.onInterrupted?.();
    for (let port = 1000; port < 1010; port++) knock(port);
    assert.equal(made.hold(8080)?.current.authorizations.length, 0);
    assert.equal(watches.filter(({ port }) => port === 8080).length, 1, 'it was followed all the time');
    made.close();
  });
}

void test('a policy that cannot be asked for again is kept, unused or not, until the control plane is back', () => {
  const { made, clock, knock, say, watched, watches } = policies([80], 2);
  for (const port of [8080, 8081]) {
    knock(port);
    say(port, nobody);
  }
  for (const { handler } of watches) handler.onInterrupted?.();
  assert.equal(made.hold(1000), undefined, 'no room beside them');
  clock.advance(10_000);
  assert.deepEqual(watched(), [80, 8080, 8081]);
  say(8081, nobody);
  clock.advance(2000);
  assert.deepEqual(watched(), [80, 8080]);
  assert.equal(made.hold(8080)?.current.authorizations.length, 0);
  made.close();
});

void test('a policy that made room comes back from the control plane, never as the default where there is no room', () => {
  const { made, knock, say, watched } = policies([80], 2);
  knock(8080);
  say(8080, nobody);
  for (const port of [1000, 1001]) {
    assert.ok(made.hold(port) !== undefined);
    say(port, anybody);
  }
  assert.deepEqual(watched(), [80, 1000, 1001]);
  assert.equal(made.hold(8080), undefined);
  made.close();
});
