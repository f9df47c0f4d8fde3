/** Somebody knocks at many ports of a pod: what else the pod does must not suffer from it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { systemClock as clock, systemRandom as random } from '@mesh/clock/system';
import { durationFromMs, ipFromText } from '@mesh/control-api/convert';
import { InboundServerPolicies, type ServerSchema } from '@mesh/control-api/gen/linkerd/inbound_pb';
import { grpcService } from '@mesh/control-api/grpc-server';
import type { GrpcSink } from '@mesh/control-api/response-sink';
import { GrpcError, grpcCode } from '@mesh/control-api/status';
import { ControlChannel, type ControlStreams } from '@mesh/dataplane/control-channel';
import { controlLimits, ControlServer } from '@mesh/dataplane/control-server';
import { http2Limits } from '@mesh/http2/limits';
import { LimitLedger } from '@mesh/limits/limits';
import { silentLogger } from '@mesh/telemetry/log';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { dialTcp } from '@mesh/testkit/servers';
import { controlPlaneIdentity, type PeerIdentity } from '@mesh/trust/names';
import { defaultPolicy } from './inbound-policy.ts';
import { proxyLimits } from './limits.ts';
import { PortPolicies } from './port-policies.ts';
import { credentialsOf, newAnchor, startApp, startCluster, startProxy, workload } from './testing/mesh.ts';

type Policy = MessageInitShape<typeof ServerSchema>;

const nobody: Policy = {
  protocol: { kind: { case: 'detect', value: { timeout: durationFromMs(10_000) } } },
  authorizations: [],
};
const anybody: Policy = {
  ...nobody,
  authorizations: [
    {
      networks: ['0.0.0.0', '::'].map((text) => ({ net: { ip: ipFromText(text), prefixLen: 0 } })),
      authentication: { permit: { case: 'unauthenticated', value: {} } },
    },
  ],
};
const most = proxyLimits.policy_ports.default;

/** A real port of the control plane that answers of port 80 alone, and a channel to it. */
async function controlPlane(t: TestContext) {
  const trust = newAnchor();
  const limits = controlLimits();
  const asked = new Set<number>();
  const sinks: GrpcSink<typeof ServerSchema>[] = [];
  const identity = controlPlaneIdentity('mesh-destination', 'east');
  const service = grpcService<typeof InboundServerPolicies, PeerIdentity>(InboundServerPolicies, {
    getPort: () => {
      throw new GrpcError(grpcCode.unimplemented, 'proxies watch');
    },
    watchPort: ({ port }, sink) => {
      asked.add(port);
      if (port === 80) sinks.push(sink);
    },
  });
  const server = new ControlServer({
    port: 0,
    host: '127.0.0.1',
    services: [service],
    cluster: 'east',
    trustSuffix: 'mesh.local',
    credentials: credentialsOf(trust, identity, 'east'),
    clock,
    log: silentLogger,
    metrics: { call() {}, refused() {}, connections() {} },
    limits,
    maxAgeMs: 60_000,
  });
  await server.start();
  const channel = new ControlChannel({
    clock,
    random,
    log: silentLogger,
    credentials: credentialsOf(trust, workload('cart', 'east'), 'east'),
    http2Limits: new LimitLedger(http2Limits),
    address: { host: '127.0.0.1', port: server.port },
    serverIdentity: identity,
    suffix: 'mesh.local',
  });
  t.after(async () => {
    channel.close();
    await server.stop();
  });
  return { asked, channel, limits, sinks };
}

void test('a scan of ports, and that all of them are forgotten together, cuts no stream of the control plane', async (t) => {
  const { asked, channel, limits, sinks } = await controlPlane(t);
  let interrupted = 0;
  const counting: ControlStreams = {
    keep: (method, input, handler) =>
      channel.keep(method, input, {
        onMessage: (message, first) => handler.onMessage(message, first),
        onRejected: (status) => handler.onRejected(status),
        onInterrupted: () => {
          interrupted++;
          handler.onInterrupted?.();
        },
      }),
  };
  const policyClock = new FakeClock();
  const ledger = new LimitLedger(proxyLimits);
  const policies = new PortPolicies({
    clock: policyClock,
    log: silentLogger,
    channel: counting,
    limits: ledger,
    workload: 'cart-1',
    ports: [80],
    fallback: () =>
      defaultPolicy(
        'all-unauthenticated',
        { opaque: false, detectTimeoutMs: 1 },
        { cluster: 'east', suffix: 'mesh.local' },
      ),
    idleMs: 1000,
  });
  t.after(() => policies.close());
  policies.start();
  await eventually('the declared port is asked for', () => asked.has(80));
  for (let port = 1000; port < 9000; port++) {
    const policy = policies.hold(port);
    if (policy !== undefined) policies.release(policy);
    // Questions are sent, so that whoever takes them back resets a stream.
    if (port % 50 === 0) await setImmediate();
  }
  assert.equal(ledger.hits('policy_ports'), 8000 - most);
  const evictions = proxyLimits.policy_port_evictions.default;
  await eventually('all questions arrived', () => asked.size >= 1 + most + evictions);
  assert.equal(asked.size, 1 + most + evictions);
  policyClock.advance(1000);
  assert.equal(policies.size, 1);
  sinks[0]?.send(nobody);
  await eventually(
    'what is said of the declared port',
    () => policies.hold(80)?.current.authorizations.length === 0,
  );
  assert.equal(interrupted, 0);
  assert.equal(sinks.length, 1, 'it was asked for once');
  assert.equal(limits.http2.hits('http2_peer_resets'), 0);
});

void test('a connection that has not said anything yet keeps the policy of its port through a scan', async (t) => {
  const app = await startApp(t);
  const east = await startCluster(t);
  east.destination.policy('cart-1', nobody);
  const options = { serviceAccount: 'cart', app: app.http1, environment: { MESH_POD_NAME: 'cart-1' } };
  const server = await startProxy(t, east, options);
  const { watchedPorts } = east.destination;
  const client = await dialTcp(t, server.ports.inbound);
  await eventually('its port is watched', () => watchedPorts.includes(app.http1));
  for (let count = 0; count < most + 20; count++) {
    options.app = 1000 + count;
    const knocking = connect(server.ports.inbound, '127.0.0.1');
    await once(knocking, 'connect');
    await eventually('it is watched', () => watchedPorts.includes(options.app), { intervalMs: 1 });
    knocking.destroy();
  }
  const ask = async (): Promise<string> => {
    client.write('GET / HTTP/1.1\r\nhost: cart\r\n\r\n');
    const [answer] = (await once(client, 'data')) as [Buffer];
    return answer.toString();
  };
  assert.match(await ask(), /^HTTP\/1\.1 403 /);
  east.destination.policy('cart-1', anybody);
  await eventually('it hears of the new policy', async () => (await ask()).startsWith('HTTP/1.1 200 '));
  assert.equal(watchedPorts.filter((port) => port === app.http1).length, 1, 'it was watched all the time');
});

void test('where so many ports are in use, connections to others are closed at once, until one is free', async (t) => {
  const east = await startCluster(t);
  east.destination.policy('cart-1', nobody);
  const options = { serviceAccount: 'cart', app: 0, environment: { MESH_POD_NAME: 'cart-1' } };
  const server = await startProxy(t, east, options);
  const { watchedPorts } = east.destination;
  const clients = [];
  for (let count = 0; count < most; count++) {
    options.app = 1000 + count;
    clients.push(await dialTcp(t, server.ports.inbound));
    await eventually('it is watched', () => watchedPorts.includes(options.app), { intervalMs: 1 });
  }
  options.app = 8080;
  const refused = await dialTcp(t, server.ports.inbound);
  refused.resume();
  await eventually('it is closed', () => refused.closed);
  assert.match(await server.metrics(), /inbound_tcp_errors_total\{error="too many ports"\} 1/);
  assert.ok(!watchedPorts.includes(8080));
  clients[0]?.destroy();
  await eventually('a port is free', async () => {
    await dialTcp(t, server.ports.inbound);
    return watchedPorts.includes(8080);
  });
});
