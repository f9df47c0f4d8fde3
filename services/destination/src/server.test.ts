import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import test, { type TestContext } from 'node:test';
import {
  create,
  type DescMessage,
  type DescMethodServerStreaming,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { Client, credentials as grpcCredentials } from '@grpc/grpc-js';
import { systemClock, systemRandom } from '@mesh/clock/system';
import { ipToText } from '@mesh/control-api/convert';
import { Destination, GetDestinationSchema, type Update } from '@mesh/control-api/gen/linkerd/destination_pb';
import { InboundServerPolicies } from '@mesh/control-api/gen/linkerd/inbound_pb';
import { OutboundPolicies } from '@mesh/control-api/gen/linkerd/outbound_pb';
import { Gateway } from '@mesh/control-api/gen/mesh/gateway/v1/gateway_pb';
import { grpcLimits } from '@mesh/control-api/limits';
import { frameMessage } from '@mesh/control-api/message-reader';
import { grpcCode } from '@mesh/control-api/status';
import { ControlChannel } from '@mesh/dataplane/control-channel';
import { type ControlLimits, ControlServer, controlLimits } from '@mesh/dataplane/control-server';
import { dataplaneLimits } from '@mesh/dataplane/limits';
import { http2Limits } from '@mesh/http2/limits';
import { Attacker } from '@mesh/http2/testing/attacker';
import { block, DATA, END_HEADERS, END_STREAM, frame, HEADERS } from '@mesh/http2/testing/raw-peer';
import { LimitLedger } from '@mesh/limits/limits';
import { createLogger, type Logger, silentLogger } from '@mesh/telemetry/log';
import { eventually } from '@mesh/testkit/eventually';
import { retainedBytes } from '@mesh/testkit/retained-bytes';
import { CredentialStore, type Credentials } from '@mesh/trust/credentials';
import { dialTls } from '@mesh/trust/dial';
import { credentialsOf, forgeAnchor, forgeIssuer, forgeLeaf, generalName } from '@mesh/trust/forgery';
import { controlPlaneIdentity, gatewayIdentity, identityName } from '@mesh/trust/names';
import { allServices } from './all-services.ts';
import { Notifier } from './notifier.ts';
import { TargetRegistry } from './target-registry.ts';
import { ModelCluster, modelSettings } from './testing/model-cluster.ts';

const anchor = forgeAnchor();
const issuers = { east: forgeIssuer(anchor, 'east'), west: forgeIssuer(anchor, 'west') };
const serverIdentity = controlPlaneIdentity('mesh-destination', 'east');
const proxyIdentity = identityName({ serviceAccount: 'web', namespace: 'shop', cluster: 'east' });

function credentialsFor(identity: string, cluster: keyof typeof issuers): Credentials {
  const issuer = issuers[cluster];
  return credentialsOf(forgeLeaf(issuer, [generalName.dns(identity)]), [issuer], [anchor]);
}

interface Running {
  cluster: ModelCluster;
  server: ControlServer;
  refused: string[];
  registry: TargetRegistry;
}

async function start(
  context: TestContext,
  linksKnown = () => true,
  limits: ControlLimits = controlLimits(),
  log: Logger = silentLogger,
): Promise<Running> {
  const notifier = new Notifier({ clock: systemClock, delayMs: 1 });
  const cluster = new ModelCluster((topic) => notifier.mark(topic));
  const registry = new TargetRegistry({ objects: cluster, notifier, settings: modelSettings });
  const services = allServices({ objects: cluster, notifier, registry, settings: modelSettings, linksKnown });
  const refused: string[] = [];
  const server = new ControlServer({
    port: 0,
    host: '127.0.0.1',
    services: [...services.discovery, ...services.policy],
    cluster: 'east',
    trustSuffix: 'mesh.local',
    credentials: new CredentialStore(credentialsFor(serverIdentity, 'east')),
    clock: systemClock,
    log,
    metrics: { call() {}, connections() {}, refused: (reason) => refused.push(reason) },
    limits,
    maxAgeMs: 60_000,
  });
  await server.start();
  context.after(async () => {
    notifier.stop();
    await server.stop();
  });
  return { cluster, server, refused, registry };
}

function client(context: TestContext, { server }: Running, own: Credentials | undefined): Client {
  const anchors = Buffer.from(credentialsFor(serverIdentity, 'east').anchorsPem);
  const key = own?.key.export({ type: 'pkcs8', format: 'pem' });
  const made = new Client(
    `127.0.0.1:${server.port}`,
    key === undefined || own === undefined
      ? grpcCredentials.createSsl(anchors)
      : grpcCredentials.createSsl(anchors, Buffer.from(key), Buffer.from(own.chainPem)),
    { 'grpc.ssl_target_name_override': serverIdentity, 'grpc.enable_retries': 0 },
  );
  context.after(() => made.close());
  return made;
}

function watch<Input extends DescMessage, Output extends DescMessage>(
  from: Client,
  method: DescMethodServerStreaming<Input, Output>,
  input: MessageInitShape<Input>,
) {
  const call = from.makeServerStreamRequest(
    `/${method.parent.typeName}/${method.name}`,
    (value: MessageShape<Input>) => Buffer.from(toBinary(method.input, value)),
    (bytes: Buffer) => fromBinary(method.output, bytes),
    create(method.input, input),
  );
  const messages: MessageShape<Output>[] = [];
  call.on('data', (message: MessageShape<Output>) => messages.push(message));
  call.on('error', () => {});
  const ended = new Promise<{ code: number; details: string }>((resolve) => call.on('status', resolve));
  return { call, messages, ended };
}

function describe({ update }: Update): string {
  if (update.case === 'noEndpoints') return `none ${update.value.exists}`;
  if (update.case === 'add') {
    return `add ${update.value.addrs.map(({ addr, tier }) => `${ipToText(addr?.ip)}:${addr?.port}@${tier}`).join(' ')}`;
  }
  if (update.case === 'remove') return `remove ${update.value.addrs.map(({ ip }) => ipToText(ip)).join(' ')}`;
  return 'nothing';
}

test('a proxy follows the endpoints of a service', async (context) => {
  const running = await start(context);
  const { cluster, registry } = running;
  cluster.service({ name: 'cart', clusterIP: '10.96.0.1' });
  const proxy = client(context, running, credentialsFor(proxyIdentity, 'east'));
  const first = watch(proxy, Destination.method.get, { path: 'cart.shop.svc.cluster.local:80' });
  await eventually('the first answer', () => first.messages.length === 1);
  cluster.pod({ name: 'cart-1', ip: '10.0.0.1' });
  cluster.slice({ service: 'cart', pods: ['cart-1'] });
  await eventually('an endpoint', () => first.messages.length === 2);
  cluster.pod({ name: 'cart-2', ip: '10.0.0.2' });
  cluster.slice({ service: 'cart', pods: ['cart-2'] });
  await eventually('another one in its place', () => first.messages.length === 4);
  const second = watch(proxy, Destination.method.get, { path: 'cart.shop.svc.cluster.local:80' });
  await eventually('the state for a newcomer', () => second.messages.length === 1);
  assert.equal(registry.size, 1);
  cluster.services.remove('shop', 'cart');
  await eventually('the end of the service', () => first.messages.length === 5);
  assert.deepEqual(first.messages.map(describe), [
    'none true',
    'add 10.0.0.1:8080@0',
    'add 10.0.0.2:8080@0',
    'remove 10.0.0.1',
    'none false',
  ]);
  assert.deepEqual(second.messages.slice(0, 1).map(describe), ['add 10.0.0.2:8080@0']);
  first.call.cancel();
  second.call.cancel();
  await eventually('nobody watches', () => registry.size === 0);
});

test('a proxy is told of the endpoints of its own node where the service asks for it', async (context) => {
  const running = await start(context);
  const { cluster } = running;
  cluster.pod({ name: 'cart-1', ip: '10.0.0.1', node: 'node-1' });
  cluster.pod({ name: 'cart-2', ip: '10.0.0.2', node: 'node-2' });
  cluster.slice({ service: 'cart', pods: ['cart-1', 'cart-2'] });
  cluster.service({ name: 'cart', clusterIP: '10.96.0.1' });
  const proxy = client(context, running, credentialsFor(proxyIdentity, 'east'));
  const { messages } = watch(proxy, Destination.method.get, {
    path: 'cart.shop.svc.cluster.local:80',
    contextToken: JSON.stringify({ ns: 'shop', nodeName: 'node-2' }),
  });
  await eventually('all of them', () => messages.length === 1);
  const cart = cluster.services.get('shop', 'cart') ?? assert.fail('it is gone');
  cluster.services.put({ ...cart, spec: { ...cart.spec, internalTrafficPolicy: 'Local' } });
  await eventually('only its own', () => messages.length === 2);
  cluster.service({ name: 'cart', clusterIP: '10.96.0.1' });
  await eventually('all again', () => messages.length === 3);
  assert.deepEqual(messages.map(describe), [
    'add 10.0.0.1:8080@0 10.0.0.2:8080@0',
    'remove 10.0.0.1',
    'add 10.0.0.1:8080@0',
  ]);
});

test('a service that is not there is followed too: who asks again after it is gone is told so, and when it comes', async (context) => {
  const running = await start(context);
  const { cluster } = running;
  const proxy = client(context, running, credentialsFor(proxyIdentity, 'east'));
  const { messages } = watch(proxy, Destination.method.get, { path: 'cart.shop.svc.cluster.local:80' });
  await eventually('it is told so', () => messages.length === 1);
  cluster.pod({ name: 'cart-1', ip: '10.0.0.1' });
  cluster.slice({ service: 'cart', pods: ['cart-1'] });
  cluster.service({ name: 'cart', clusterIP: '10.96.0.1' });
  await eventually('it is there', () => messages.length === 2);
  cluster.services.put({
    metadata: { name: 'cart', namespace: 'shop' },
    spec: { type: 'ExternalName', externalName: 'example.com', ports: [{ name: 'port-80', port: 80 }] },
  });
  await eventually('it is somewhere else', () => messages.length === 3);
  const { messages: later } = watch(proxy, Destination.method.get, {
    path: 'cart.shop.svc.cluster.local:80',
  });
  await eventually('as who asks now is told', () => later.length === 1);
  cluster.service({ name: 'cart', clusterIP: '10.96.0.1' });
  await eventually('it is back', () => messages.length === 4 && later.length === 2);
  const back = ['none false', 'add 10.0.0.1:8080@0'];
  assert.deepEqual(messages.map(describe), [...back, ...back]);
  assert.deepEqual(later.map(describe), back);
});

test('failover shows as tiers: a peer dies, and comes back', async (context) => {
  const running = await start(context);
  const { cluster } = running;
  cluster.service({ name: 'cart', clusterIP: '10.96.0.1', labels: { 'mirror.mesh.io/federated': 'member' } });
  cluster.service({ name: 'cart-federated', labels: { 'mirror.mesh.io/mirrored-service': 'true' } });
  cluster.remoteSlice({ service: 'cart-federated', peer: 'west', addresses: ['192.0.2.7'], ready: 2 });
  const { messages } = watch(
    client(context, running, credentialsFor(proxyIdentity, 'east')),
    Destination.method.get,
    {
      path: 'cart.shop.svc.cluster.local:80',
    },
  );
  await eventually('the first answer', () => messages.length === 1);
  cluster.remoteSlice({ service: 'cart-federated', peer: 'west', addresses: ['192.0.2.7'], state: 'dead' });
  await eventually('demoted', () => messages.length === 2);
  cluster.remoteSlice({ service: 'cart-federated', peer: 'west', addresses: ['192.0.2.7'], ready: 2 });
  await eventually('back', () => messages.length === 3);
  assert.deepEqual(messages.map(describe), [
    'add 192.0.2.7:4143@1',
    'add 192.0.2.7:4143@2',
    'add 192.0.2.7:4143@1',
  ]);
});

test('the gateway is told of local endpoints alone', async (context) => {
  const running = await start(context);
  const { cluster } = running;
  cluster.service({ name: 'cart', clusterIP: '10.96.0.1', labels: { 'mirror.mesh.io/federated': 'member' } });
  cluster.service({ name: 'cart-federated', labels: { 'mirror.mesh.io/mirrored-service': 'true' } });
  cluster.remoteSlice({ service: 'cart-federated', peer: 'west', addresses: ['192.0.2.7'] });
  const path = 'cart.shop.svc.cluster.local:80';
  const gateway = client(context, running, credentialsFor(gatewayIdentity('east'), 'east'));
  const proxy = client(context, running, credentialsFor(proxyIdentity, 'east'));
  const streams = [gateway, proxy].map((from) => watch(from, Destination.method.get, { path }));
  await eventually('both answered', () => streams.every(({ messages }) => messages.length === 1));
  assert.deepEqual(
    streams.flatMap(({ messages }) => messages.map(describe)),
    ['none true', 'add 192.0.2.7:4143@1'],
  );
});

test('questions that have no answer say why', async (context) => {
  const running = await start(context);
  const proxy = client(context, running, credentialsFor(proxyIdentity, 'east'));
  const ask = async (path: string) => (await watch(proxy, Destination.method.get, { path }).ended).code;
  assert.equal(await ask('10.0.0.1:80'), grpcCode.invalidArgument);
  assert.equal(
    (await watch(proxy, Destination.method.getProfile, { path: 'x' }).ended).code,
    grpcCode.failedPrecondition,
  );
  const port = { workload: '{"ns":"shop","pod":"none"}', port: 80 };
  const { watchPort } = InboundServerPolicies.method;
  assert.equal((await watch(proxy, watchPort, port).ended).code, grpcCode.notFound);
  assert.equal((await watch(proxy, watchPort, { ...port, port: 0 }).ended).code, grpcCode.invalidArgument);
  const outbound = await watch(proxy, OutboundPolicies.method.watch, {}).ended;
  assert.equal(outbound.code, grpcCode.invalidArgument);
});

test('profiles and policies follow annotations', async (context) => {
  const running = await start(context);
  const { cluster } = running;
  cluster.service({ name: 'cart', clusterIP: '10.96.0.1' });
  cluster.pod({ name: 'cart-1', ip: '10.0.0.1' });
  const proxy = client(context, running, credentialsFor(proxyIdentity, 'east'));
  const profile = watch(proxy, Destination.method.getProfile, { path: '10.96.0.1:80' });
  const inbound = watch(proxy, InboundServerPolicies.method.watchPort, {
    workload: 'shop:cart-1',
    port: 8080,
  });
  const outbound = watch(proxy, OutboundPolicies.method.watch, {
    target: { case: 'authority', value: 'cart.shop.svc.cluster.local:80' },
  });
  await eventually('all answered', () =>
    [profile, inbound, outbound].every(({ messages }) => messages.length === 1),
  );
  assert.equal(profile.messages[0]?.fullyQualifiedName, 'cart.shop.svc.cluster.local');
  assert.equal(inbound.messages[0]?.protocol?.kind.case, 'detect');
  assert.equal(outbound.messages[0]?.protocol?.kind.case, 'detect');
  cluster.namespaces.put({ metadata: { name: 'shop', annotations: { 'mesh.io/opaque-ports': '80,8080' } } });
  await eventually('inbound and outbound changed', () =>
    [inbound, outbound].every(({ messages }) => messages.length === 2),
  );
  assert.equal(inbound.messages[1]?.protocol?.kind.case, 'opaque');
  assert.equal(outbound.messages[1]?.protocol?.kind.case, 'opaque');
  await eventually('the profile changed', () => profile.messages.length === 2);
  assert.equal(profile.messages[1]?.opaqueProtocol, true);
});

test('the gateway table is for the gateway of this cluster, once the links are known', async (context) => {
  let known = false;
  const running = await start(context, () => known);
  const { cluster } = running;
  cluster.service({ name: 'cart', labels: { 'mirror.mesh.io/exported': 'true' } });
  const gateway = client(context, running, credentialsFor(gatewayIdentity('east'), 'east'));
  const { messages, call } = watch(gateway, Gateway.method.watch, {});
  await new Promise((resolve) => call.once('metadata', resolve));
  assert.equal(messages.length, 0);
  known = true;
  cluster.link('west');
  await eventually('the table', () => messages.length === 1);
  assert.deepEqual(
    messages[0]?.peers.map((peer) => [peer.cluster, peer.allow]),
    [['west', true]],
  );
  assert.deepEqual(
    messages[0]?.exports.map(({ name }) => name),
    ['cart'],
  );
  cluster.link('west', { allow: false });
  await eventually('the new table', () => messages.length === 2);
  assert.equal(messages[1]?.peers[0]?.allow, false);
  cluster.namespaces.put({ metadata: { name: 'shop', annotations: { 'mesh.io/opaque-ports': '80' } } });
  await eventually('a port that became opaque', () => messages[2]?.exports[0]?.ports[0]?.opaque === true);

  const proxy = client(context, running, credentialsFor(proxyIdentity, 'east'));
  assert.equal((await watch(proxy, Gateway.method.watch, {}).ended).code, grpcCode.permissionDenied);
});

test('callers of other clusters and without a certificate are refused', async (context) => {
  const running = await start(context);
  running.cluster.service({ name: 'cart', clusterIP: '10.96.0.1' });
  const foreign = identityName({ serviceAccount: 'web', namespace: 'shop', cluster: 'west' });
  for (const own of [credentialsFor(foreign, 'west'), undefined]) {
    const { ended, messages } = watch(client(context, running, own), Destination.method.get, {
      path: 'cart.shop.svc.cluster.local:80',
    });
    assert.equal((await ended).code, grpcCode.unavailable);
    assert.equal(messages.length, 0);
  }
  assert.ok(running.refused.includes('unknown-domain'), running.refused.join(' '));
  assert.ok(running.refused.includes('no-certificate'), running.refused.join(' '));
});

test('connections beyond the cap of the port are closed before their handshake, those in it included', async (context) => {
  const grpc = new LimitLedger(grpcLimits, { grpc_connections: 3 });
  const running = await start(context, () => true, { ...controlLimits(), grpc });
  running.cluster.service({ name: 'cart', clusterIP: '10.96.0.1' });
  const proxy = client(context, running, credentialsFor(proxyIdentity, 'east'));
  const known = watch(proxy, Destination.method.get, { path: 'cart.shop.svc.cluster.local:80' });
  await eventually('the first answer', () => known.messages.length === 1);
  const open = new Set<Socket>();
  for (let at = 0; at < 20; at++) {
    const socket = connect({ host: '127.0.0.1', port: running.server.port });
    socket.on('error', () => {});
    socket.once('close', () => open.delete(socket));
    open.add(socket.resume());
  }
  context.after(() => {
    for (const socket of open) socket.destroy();
  });
  await eventually('the rest is closed', () => open.size === 2);
  assert.equal(grpc.hits('grpc_connections'), 18);
  running.cluster.pod({ name: 'cart-1', ip: '10.0.0.1' });
  running.cluster.slice({ service: 'cart', pods: ['cart-1'] });
  await eventually('who was there before hears on', () => known.messages.length === 2);
});

test('a proxy that watches as many destinations as it may keeps all of its streams', async (context) => {
  const limits = controlLimits();
  const { cluster, server } = await start(context, () => true, limits);
  const channel = new ControlChannel({
    clock: systemClock,
    random: systemRandom,
    log: silentLogger,
    credentials: new CredentialStore(credentialsFor(proxyIdentity, 'east')),
    http2Limits: new LimitLedger(http2Limits),
    address: { host: '127.0.0.1', port: server.port },
    serverIdentity,
    suffix: 'mesh.local',
  });
  context.after(() => channel.close());
  const destinations = dataplaneLimits.discovered_targets.default;
  const answered = new Set<string>();
  let interrupted = 0;
  const handler = (path: string) => ({
    onMessage: () => void answered.add(path),
    onInterrupted: () => void interrupted++,
    onRejected: () => {},
  });
  for (let index = 0; index < destinations; index++) {
    const address = `10.96.${index >> 8}.${index & 255}`;
    cluster.service({ name: `cart-${index}`, clusterIP: address });
    const name = `cart-${index}.shop.svc.cluster.local:80`;
    channel.keep(Destination.method.get, { path: name }, handler(name));
    channel.keep(Destination.method.getProfile, { path: `${address}:80` }, handler(address));
  }
  await eventually('all answers', () => answered.size === 2 * destinations);
  assert.equal(interrupted, 0);
  assert.equal(limits.http2.hits('http2_held_header_bytes'), 0);
});

test('callers that are refused again and again do not fill the log', async (context) => {
  const lines: string[] = [];
  const limits = controlLimits();
  const log = createLogger({ clock: systemClock, level: 'info', write: (line) => lines.push(line) });
  const { server, refused } = await start(context, () => true, limits, log);
  const most = limits.dataplane.values.peer_log_lines;
  for (let caller = 0; caller < 3 * most; caller++) {
    const socket = connect({ host: '127.0.0.1', port: server.port });
    context.after(() => socket.destroy());
    socket.on('error', () => {});
    socket.end('GET / HTTP/1.1\r\n\r\n');
  }
  await eventually('all are refused', () => refused.length === 3 * most);
  assert.ok(lines.length < 2 * most, `${lines.length} lines`);
  assert.equal(lines.length + limits.dataplane.hits('peer_log_lines'), 3 * most);
});

test('who follows a large service on many streams and reads nothing makes us keep what is told once', async (context) => {
  const { cluster, server } = await start(context);
  cluster.service({ name: 'cart', clusterIP: '10.96.0.1' });
  const pods = Array.from({ length: 500 }, (_, index) => `cart-${index}`);
  for (const [index, name] of pods.entries()) cluster.pod({ name, ip: `10.1.${index >> 8}.${index & 255}` });
  cluster.slice({ service: 'cart', pods });
  const socket = await dialTls({
    host: '127.0.0.1',
    port: server.port,
    identity: serverIdentity,
    alpn: ['h2'],
    credentials: credentialsFor(proxyIdentity, 'east'),
    clock: systemClock,
    timeoutMs: 5000,
  });
  context.after(() => socket.destroy());
  const initialWindowSize = 4;
  const follower = await Attacker.over(socket, [initialWindowSize, 0]);
  const path = 'cart.shop.svc.cluster.local:80';
  const message = frameMessage(toBinary(GetDestinationSchema, create(GetDestinationSchema, { path })));
  const head = block(
    ...[':method', 'POST', ':scheme', 'http', ':path', '/io.linkerd.proxy.destination.Destination/Get'],
    ...['content-type', 'application/grpc'],
  );
  const ask = (stream: number): Buffer =>
    Buffer.concat([frame(HEADERS, END_HEADERS, stream, head), frame(DATA, END_STREAM, stream, message)]);
  const answered = (): number => follower.frames.filter(({ type }) => type === HEADERS).length;
  await follower.send(ask(1));
  await eventually('the first is told', () => answered() === 1);
  const before = retainedBytes();
  const streams = 300;
  for (let stream = 1; stream < streams; stream++) await follower.send(ask(2 * stream + 1));
  await eventually('all are told', () => answered() === streams);
  const perStream = (retainedBytes() - before) / streams;
  assert.ok(perStream < 20_000, `${perStream} bytes for each stream`);
});
