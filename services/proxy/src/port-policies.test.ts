import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { test, type TestContext } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, ipFromText } from '@mesh/control-api/convert';
import { ServerSchema } from '@mesh/control-api/gen/linkerd/inbound_pb';
import type { KeptStreamHandler } from '@mesh/dataplane/control-channel';
import { LimitLedger } from '@mesh/limits/limits';
import { silentLogger } from '@mesh/telemetry/log';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { dialTcp } from '@mesh/testkit/servers';
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

const protocol: Policy['protocol'] = { kind: { case: 'detect', value: { timeout: durationFromMs(1000) } } };
const nobody: Policy = { protocol, authorizations: [] };
const anybody: Policy = {
  protocol,
  authorizations: [
    {
      networks: ['0.0.0.0', '::'].map((text) => ({ net: { ip: ipFromText(text), prefixLen: 0 } })),
      authentication: { permit: { case: 'unauthenticated', value: {} } },
    },
  ],
};

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
  const closed = once(client, 'close');
  east.destination.policy('cart-1', nobody);
  await closed;
  assert.match(await server.metrics(), /inbound_tcp_authz_terminate_total\{[^}]*reason="denied"[^}]*\} 1/);
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
function policies(ports: number[], most: number) {
  const watches: Watch[] = [];
  const clock = new FakeClock();
  const limits = new LimitLedger(proxyLimits, { policy_ports: most });
  const made = new PortPolicies({
    clock,
    log: silentLogger,
    limits,
    workload: '{"ns":"shop","pod":"cart-1"}',
    ports,
    fallback: () =>
      defaultPolicy('deny', { opaque: false, detectTimeoutMs: 1 }, { cluster: 'east', suffix: 'mesh.local' }),
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
  return { made, watches, clock, limits };
}

void test('declared ports are watched for good, others while they are used', () => {
  const { made, watches, clock } = policies([80], 10);
  assert.deepEqual(
    watches.map(({ port }) => port),
    [80],
  );
  const held = made.hold(81);
  made.release(made.hold(80));
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
  const { made, watches, limits, clock } = policies([80], 3);
  const held = made.hold(81);
  for (let port = 1000; port < 1010; port++) made.current(port);
  const watched = () => watches.filter(({ cancelled }) => !cancelled).map(({ port }) => port);
  assert.deepEqual(watched(), [80, 81, 1008, 1009]);
  assert.equal(limits.hits('policy_ports'), 8);
  // One that comes now is watched, and goes by what is said of it.
  made.hold(8080);
  watches.at(-1)?.handler.onMessage(create(ServerSchema, anybody), true);
  assert.equal(made.current(8080).authorizations.length, 1);
  assert.deepEqual(watched(), [80, 81, 1009, 8080]);
  made.release(held);
  clock.advance(1000);
  assert.deepEqual(watched(), [80, 8080]);
  made.close();
});

void test('when all are in use further ports go by the default, and declared ones stay watched', () => {
  const { made, watches, limits } = policies([80], 2);
  for (let port = 1000; port < 1010; port++) made.hold(port);
  assert.deepEqual(
    watches.map(({ port }) => port),
    [80, 1000, 1001],
  );
  assert.equal(limits.hits('policy_ports'), 8);
  watches[0]?.handler.onMessage(create(ServerSchema, anybody), true);
  assert.equal(made.current(80).authorizations.length, 1);
  assert.equal(made.current(1009).authorizations.length, 0);
  made.close();
});
