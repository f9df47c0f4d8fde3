/**
 * A gateway is no way to anything but its exports: whatever an authenticated peer asks for, by whichever of the ways in,
 * no connection is opened outside the export set. Every socket that this process connects is written down.
 */
import assert from 'node:assert/strict';
import type { ClientHttp2Session } from 'node:http2';
import { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { assertUnharmed, besideVictim } from '@mesh/testkit/victim';
import { encodeTransportHeader, transportHeaderAlpn } from '@mesh/transport/transport-header';
import { ask, dialAs, frontend, http2Session } from './testing/raw-client.ts';
import { startTwoClusters, type TwoClusters } from './testing/two-clusters.ts';
import { victimOf } from './testing/victim-request.ts';
import { startWitness } from './testing/witness.ts';

const cart = 'cart.shop.svc.cluster.local';

const hosts: readonly string[] = [
  'localhost',
  'localhost.localdomain',
  'metadata',
  'metadata.google.internal',
  'kubernetes',
  'kubernetes.default',
  'kubernetes.default.svc',
  'kubernetes.default.svc.cluster.local',
  'kube-dns.kube-system.svc.cluster.local',
  'mesh-identity.mesh.svc.cluster.local',
  'mesh-destination.mesh.svc.cluster.local',
  'mesh-gateway.mesh-multicluster.svc.cluster.local',
  'mesh-mirror.mesh-multicluster.svc.cluster.local',
  '0.0.0.0',
  '10.0.0.1',
  '10.2.0.7',
  '127.0.0.1',
  '127.0.0.2',
  '127.1',
  '169.254.169.254',
  '192.168.0.1',
  '2130706433',
  '0x7f000001',
  '017700000001',
  '[::1]',
  '[::]',
  '[::ffff:127.0.0.1]',
  '[::ffff:a9fe:a9fe]',
  '[fd00:ec2::254]',
  '[fe80::1]',
  'example.com',
  'cart',
  'cart.shop',
  'cart.shop.svc',
  'cart.shop.svc.cluster',
  'cart.shop.svc.cluster.local.evil.example',
  'evil.cart.shop.svc.cluster.local',
  'cart.shop.svc.other.domain',
  'cart.shop.pod.cluster.local',
  'cart-0.cart.shop.svc.cluster.local',
  'cart.default.svc.cluster.local',
  'carts.shop.svc.cluster.local',
  'car.shop.svc.cluster.local',
  'xcart.shop.svc.cluster.local',
  'cart.shopx.svc.cluster.local',
  'cart.xshop.svc.cluster.local',
  'ledger.shop.svc.cluster.local',
  'catalog.shop.svc.cluster.local',
  'payments.shop.svc.cluster.local',
  'federation.multicluster.mesh.io',
];
const ports = [80, 443, 4143, 4191, 6443];

/** Hosts times ports, and what is no host and port at all. */
const targets: readonly string[] = [
  ...hosts.flatMap((host) => ports.map((port) => `${host}:${port}`)),
  ...[0, 1, 79, 81, 443, 4140, 4143, 4190, 4191, 6443, 8080, 65_535, 65_536].map((port) => `${cart}:${port}`),
  ...[
    cart,
    `${cart}:`,
    `${cart}:080`,
    `${cart}:80:80`,
    `${cart}:+80`,
    `${cart}:80@10.0.0.1`,
    `admin@${cart}:80`,
    `${cart}..:80`,
    `.${cart}:80`,
    `cart..shop.svc.cluster.local:80`,
    `cart%2eshop.svc.cluster.local:80`,
    `cart.shop.svc.cluster.local%00:80`,
    `cart_.shop.svc.cluster.local:80`,
    `*.shop.svc.cluster.local:80`,
    `http://${cart}:80`,
    `${cart}/../ledger:80`,
    `${cart},10.0.0.1:80`,
    `${cart}:80,10.0.0.1:80`,
    '10.0.0.1:80#cart',
  ],
];

/** Where all programs follow the trust anchors, on their own account; not among the targets. */
const ownErrand = 'mesh-identity.mesh.svc.cluster.local:8081';

/** Addresses that this process opens connections to, from now on. */
function ledger(t: TestContext): string[] {
  const dialled: string[] = [];
  const connect = Socket.prototype.connect as (...args: unknown[]) => unknown;
  t.mock.method(Socket.prototype, 'connect', function (this: Socket, ...args: unknown[]) {
    // net.connect normalises its arguments to one list; others pass the options themselves.
    const [first] = args.flat() as [{ host?: string; port?: number } | undefined];
    const address = `${first?.host ?? '?'}:${first?.port ?? '?'}`;
    if (address !== ownErrand) dialled.push(address);
    return connect.apply(this, args);
  });
  return dialled;
}

/** Sends a transport header for `name` and bytes; resolves when the gateway has closed the connection. */
async function opaque(path: TwoClusters, name: string, port: number): Promise<void> {
  const socket = await dialAs(path, path.gateway, frontend, [transportHeaderAlpn]);
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.resume();
  socket.write(encodeTransportHeader({ port, name, sessionProtocol: undefined, clientId: '', hops: 0 }));
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  await closed;
}

async function attack(
  path: TwoClusters,
  session: ClientHttp2Session,
  dialled: readonly string[],
): Promise<void> {
  for (const target of targets) {
    const { status, headers } = await ask(session, { ':authority': target });
    assert.ok([400, 403, 404].includes(status) || status === 0, `${target}: ${status}`);
    if (status !== 0) assert.notEqual(headers['l5d-proxy-error'], undefined, target);
    const tunnel = await ask(session, { ':method': 'CONNECT', ':authority': target });
    assert.ok(tunnel.status === 0 || tunnel.status >= 400, `CONNECT ${target}: ${tunnel.status}`);
  }
  assert.deepEqual(dialled, [], 'nothing was dialled, not even the gateway again');

  for (const target of targets) {
    // The header has the port as a number, so there is no other way to write it.
    const [, name = '', port] = /^(.*):([1-9]\d{0,4})$/.exec(target) ?? [];
    if (port !== undefined && Number(port) <= 65_535) await opaque(path, name, Number(port));
  }
  for (const name of ['', cart]) await opaque(path, name, 4191);
  const gateway = `127.0.0.1:${path.gateway.port}`;
  assert.deepEqual([...new Set(dialled)], [gateway], 'only our own connections to the gateway');
}

test(`a peer asks a gateway for ${targets.length} targets in three ways: none is dialled`, async (t) => {
  assert.ok(targets.length >= 200);
  const witness = await startWitness(t);
  const path = await startTwoClusters(t, { app: witness.port });
  const session = await http2Session(t, path, 'gateway');
  assert.equal((await ask(session, { 'l5d-orig-proto': 'HTTP/1.1' })).status, 200);
  const request = victimOf(t, path);
  await request();
  const asked = path.gateway.asked.length;
  const dialled = ledger(t);
  assertUnharmed(await besideVictim(request, () => attack(path, session, dialled)));
  assert.equal(path.gateway.asked.length, asked, 'discovery was not even asked');
  assert.deepEqual(new Set(witness.seen.map((seen) => seen.path)), new Set(['/', '/victim']));

  const page = await path.gateway.metrics();
  for (const reason of [
    'bad-authority',
    'not-exported',
    'port-not-exported',
    'cluster-not-allowed',
    'not-a-mirror',
    'no-name',
  ]) {
    assert.match(
      page,
      new RegExp(`^gateway_requests_refused_total\\{source_cluster="east",reason="${reason}"\\} [1-9]`, 'm'),
    );
  }
});

test('an export is reached by every spelling of its one authority, and seen by the application in that one', async (t) => {
  const witness = await startWitness(t);
  const path = await startTwoClusters(t, { app: witness.port });
  const session = await http2Session(t, path, 'gateway');
  for (const authority of [
    `${cart}:80`,
    `${cart}.:80`,
    `CART.shop.svc.cluster.local:80`,
    `Cart.Shop.Svc.Cluster.Local.:80`,
  ]) {
    assert.equal((await ask(session, { ':authority': authority, 'l5d-orig-proto': 'HTTP/1.1' })).status, 200);
  }
  assert.deepEqual(new Set(witness.seen.map(({ host }) => host)), new Set([`${cart}:80`]));
});

test('a request that passed a gateway is not taken by it again, whoever says so', async (t) => {
  const witness = await startWitness(t);
  const path = await startTwoClusters(t, { app: witness.port });
  const session = await http2Session(t, path, 'gateway');
  for (const passed of ['west', 'east,west', 'west,east', 'a,b,c,d,e,f,g,h', 'x,'.repeat(1000)]) {
    const { status } = await ask(session, { 'l5d-cluster-path': passed });
    assert.equal(status, 508, passed.slice(0, 40));
  }
  for (const hops of [8, 9, 255]) {
    const socket = await dialAs(path, path.gateway, frontend, [transportHeaderAlpn]);
    socket.on('error', () => {});
    const closed = new Promise((resolve) => socket.on('close', resolve));
    socket.resume();
    socket.write(
      encodeTransportHeader({ port: 80, name: cart, sessionProtocol: undefined, clientId: '', hops }),
    );
    await closed;
  }
  assert.equal(witness.connections(), 0);
  assert.match(
    await path.gateway.metrics(),
    /^gateway_requests_refused_total\{source_cluster="east",reason="loop"\} 8$/m,
  );
});
