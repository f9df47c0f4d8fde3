/**
 * Attacks on a gateway by a peer of a linked cluster, M-7 and M-8 of our survey: it is asked for what is not exported, in three ways, and
 * for what has passed it already.
 */
import assert from 'node:assert/strict';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import type { Socket } from 'node:net';
import { encodeTransportHeader, transportHeaderAlpn } from '@mesh/transport/transport-header';
import { ask } from './raw-client.ts';
import type { TlsAttack, TlsAttackSite } from './tls-attacks.ts';

export const cart = 'cart.shop.svc.cluster.local';

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
export const targets: readonly string[] = [
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

type Dial = (alpn: readonly string[]) => Promise<Socket>;

/** Requests and tunnels: each is refused, and the proxy says why. */
export async function askForTargets(session: ClientHttp2Session): Promise<void> {
  for (const target of targets) {
    const { status, headers } = await ask(session, { ':authority': target });
    assert.ok([400, 403, 404].includes(status) || status === 0, `${target}: ${status}`);
    if (status !== 0) assert.notEqual(headers['l5d-proxy-error'], undefined, target);
    const tunnel = await ask(session, { ':method': 'CONNECT', ':authority': target });
    assert.ok(tunnel.status === 0 || tunnel.status >= 400, `CONNECT ${target}: ${tunnel.status}`);
  }
}

/** Sends a transport header for `name` and bytes; resolves when the gateway has closed the connection. */
async function opaque(dial: Dial, name: string, port: number, hops = 0): Promise<void> {
  const socket = await dial([transportHeaderAlpn]);
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.resume();
  socket.write(encodeTransportHeader({ port, name, sessionProtocol: undefined, clientId: '', hops }));
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  await closed;
}

/** Opaque connections. */
export async function openToTargets(dial: Dial): Promise<void> {
  for (const target of targets) {
    // The header has the port as a number, so there is no other way to write it.
    const [, name = '', port] = /^(.*):([1-9]\d{0,4})$/.exec(target) ?? [];
    if (port !== undefined && Number(port) <= 65_535) await opaque(dial, name, Number(port));
  }
  for (const name of ['', cart]) await opaque(dial, name, 4191);
}

interface Exported {
  /** Of the gateway. */
  readonly cluster: string;
  /** Something that it exports. */
  readonly authority: string;
}

/** Requests and connections that passed a gateway, whoever says so. */
export async function loops(
  session: ClientHttp2Session,
  dial: Dial,
  { cluster, authority }: Exported,
): Promise<void> {
  const other = 'east';
  const many = ['a,b,c,d,e,f,g,h', 'x,'.repeat(1000)];
  for (const passed of [cluster, `${other},${cluster}`, `${cluster},${other}`, ...many]) {
    const { status } = await ask(session, { ':authority': authority, 'l5d-cluster-path': passed });
    assert.equal(status, 508, passed.slice(0, 40));
  }
  const name = authority.replace(/:\d+$/, '');
  for (const hops of [8, 9, 255]) await opaque(dial, name, 80, hops);
}

async function sessionOf(site: TlsAttackSite): Promise<ClientHttp2Session> {
  const socket = await site.connect(['h2']);
  const session = connectHttp2('http://mesh', { createConnection: () => socket });
  session.on('error', () => {});
  return session;
}

export const relayAttacks: readonly TlsAttack[] = [
  {
    id: 'M-7',
    what: 'a gateway as a relay, with requests, tunnels and opaque connections',
    async run(site) {
      await askForTargets(await sessionOf(site));
      await openToTargets((alpn) => site.connect(alpn));
      assert.equal(await site.requests(), 0);
    },
  },
  {
    id: 'M-8',
    what: 'what has passed a gateway already',
    async run(site) {
      const cluster = site.serverName.split('.').at(-3) ?? '';
      const { exported: authority } = site;
      await loops(await sessionOf(site), (alpn) => site.connect(alpn), { cluster, authority });
      assert.equal(await site.requests(), 0);
    },
  },
];
