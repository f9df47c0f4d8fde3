/**
 * The attacks on TLS of our survey, T-1 to T-8, that a client can run from outside, and floods of handshakes: what it sends, and how
 * it must end. T-2, T-3 and T-6 are the certificate vectors of packages/trust, presented by a client to a proxy that trusts their anchor.
 */
import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import {
  connect as connectTls,
  type ConnectionOptions,
  createSecureContext,
  type SecureContext,
} from 'node:tls';
import { seededRandom } from '@mesh/clock/seeded';
import type { AttackSite } from '@mesh/testkit/attack';
import { eventually } from '@mesh/testkit/eventually';
import { toPem } from '@mesh/trust/pem';
import type { Vector } from '@mesh/trust/testing/certificate-vector';
import { nameVectors } from '@mesh/trust/testing/name-vectors';
import { pathVectors } from '@mesh/trust/testing/path-vectors';
import { usageVectors } from '@mesh/trust/testing/usage-vectors';

export interface TlsAttackSite extends AttackSite {
  /** @param alpn protocols on offer */
  connect(alpn?: readonly string[]): Promise<Socket>;
  /** The identity in the certificate of what is attacked. */
  readonly serverName: string;
  /** What a gateway exports. */
  readonly exported: string;
  /** One whom the mesh knows, and his certificate. */
  readonly identity: string;
  readonly trusted: Pick<ConnectionOptions, 'cert' | 'key' | 'ca'>;
  /** As `connectPlain`, for a whole handshake, which costs what is attacked much more than a connection does. */
  connectForHandshake(): Promise<Socket>;
  /** Handshakes that were refused for this reason since the attack began. */
  refused(reason: string): Promise<number>;
}

export interface TlsAttack {
  readonly id: string;
  readonly what: string;
  run(site: TlsAttackSite): Promise<void>;
}

const closing = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });

async function tls(site: TlsAttackSite, options: ConnectionOptions) {
  const socket = connectTls({
    socket: await site.connectForHandshake(),
    servername: site.serverName,
    rejectUnauthorized: false,
    ...options,
  });
  socket.on('error', () => {});
  return socket;
}

/** The ClientHello of a real client. */
async function clientHello(servername: string): Promise<Buffer> {
  const hello: Buffer[] = [];
  const wire = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      hello.push(chunk);
      done();
    },
  });
  const client = connectTls({ socket: wire, servername, ALPNProtocols: ['h2'] });
  client.on('error', () => {});
  await eventually('a hello', () => hello.length > 0, { intervalMs: 1 });
  client.destroy();
  wire.destroy();
  return Buffer.concat(hello);
}

/** Connects, sends and waits for the end. */
async function cutOff(site: AttackSite, bytes: Buffer): Promise<void> {
  const client = await site.connectPlain();
  const closed = closing(client);
  client.resume();
  client.end(bytes);
  await closed;
}

async function oldVersions(site: TlsAttackSite): Promise<void> {
  for (const version of ['TLSv1', 'TLSv1.1', 'TLSv1.2'] as const) {
    const socket = await tls(site, {
      ...site.trusted,
      minVersion: version,
      maxVersion: version,
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    assert.match(String(error.code), /ALERT_PROTOCOL_VERSION/, version);
  }
  assert.equal(await site.refused('tls-version'), 3);
}

/** What a client can present of the vectors: bad chains under the one anchor, judged now. */
function presentable(vectors: readonly Vector[]): [what: string, context: SecureContext][] {
  return vectors.flatMap(({ what, chain, expect, anchors, role, after, inHandshake }) => {
    const verdict = inHandshake?.verdict ?? expect;
    const bad = typeof verdict === 'string' && verdict !== 'accepted';
    if (!bad || anchors !== undefined || role === 'server' || after !== undefined) return [];
    try {
      const key = chain[0]?.key.export({ type: 'pkcs8', format: 'pem' }) ?? '';
      const cert = chain.map(({ der }) => toPem(der)).join('');
      return [[what, createSecureContext({ key, cert, minVersion: 'TLSv1.3' })]];
    } catch {
      // OpenSSL itself cannot load it.
      return [];
    }
  });
}

/** None is accepted: no byte reaches the application, and each connection ends. */
function badCertificates(vectors: readonly Vector[], atLeast: number): TlsAttack['run'] {
  const presented = presentable(vectors);
  return async (site) => {
    assert.ok(presented.length >= atLeast, `${presented.length} chains`);
    const before = await site.requests();
    for (const [, secureContext] of [['no certificate', createSecureContext()] as const, ...presented]) {
      const socket = await tls(site, { secureContext });
      const closed = closing(socket);
      socket.resume();
      socket.write('GET /x HTTP/1.1\r\nhost: cart\r\n\r\n');
      await closed;
    }
    assert.equal(await site.requests(), before, 'somebody unknown reached the application');
  };
}

/** Names that are not the server's: what is not for the proxy is not answered by it, and nobody unknown gets through it. */
async function otherNames(site: TlsAttackSite): Promise<void> {
  const { serverName } = site;
  const others = [`x${serverName}`, serverName.replace(/^[^.]+/, 'payments'), 'bank.example', ''];
  for (const servername of others) {
    for (const ALPNProtocols of [[], ['h2'], ['http/1.1', 'h3']]) {
      const socket = await tls(site, { ...site.trusted, servername, ALPNProtocols });
      const closed = closing(socket);
      socket.resume();
      socket.write('GET /x HTTP/1.1\r\nhost: cart\r\n\r\n');
      await closed;
    }
  }
  assert.equal(await site.requests(), 0);
}

async function resumption(site: TlsAttackSite): Promise<void> {
  const first = await tls(site, site.trusted);
  const sessions: Buffer[] = [];
  first.on('session', (session) => sessions.push(session));
  await once(first, 'secureConnect');
  assert.equal(first.getProtocol(), 'TLSv1.3');
  // Sessions come right behind the handshake, before the answer to anything.
  first.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0');
  await once(first, 'data');
  assert.ok(sessions.length > 0, 'there is something to go on with');
  for (const session of sessions) {
    const again = await tls(site, { ...site.trusted, session });
    await once(again, 'secureConnect');
    assert.equal(again.isSessionReused(), false, 'a connection that did not prove its certificate');
    again.destroy();
  }
  first.destroy();
}

const random = seededRandom(11);

/** Hellos with a few bytes changed. */
export async function damagedHellos(site: TlsAttackSite, count: number): Promise<void> {
  const hello = await clientHello(site.serverName);
  for (let attempt = 0; attempt < count; attempt++) {
    const damaged = Buffer.from(hello);
    for (let change = 0; change <= attempt % 6; change++) {
      damaged[Math.floor(random.next() * damaged.length)] = Math.floor(random.next() * 256);
    }
    await cutOff(site, damaged);
  }
}

/** 16 KiB in one record: the begin of a hello that announces 64. */
const hugeRecord = Buffer.concat([
  Buffer.from([22, 3, 1, 0x40, 0x00, 1, 0, 0xff, 0xff, 3, 3]),
  Buffer.alloc(16_378),
]);

/** Half a hello, a huge one, or none. */
async function halfHellos(site: TlsAttackSite): Promise<void> {
  const halves = [
    (await clientHello(site.serverName)).subarray(0, 200),
    Buffer.from([22, 3, 1]),
    // A record of 16 KiB that is announced and does not come.
    Buffer.from([22, 3, 1, 0x40, 0x00, 1, 0, 0x3f, 0xfc]),
    // A hello of 64 KiB, of which more comes than anybody needs to know one.
    Buffer.concat(Array.from({ length: 2 }, () => hugeRecord)),
    Buffer.alloc(0),
  ];
  site.mark();
  const clients: Socket[] = [];
  for (let at = 0; at < 100 * site.scale; at++) {
    const client = await site.connectPlain();
    client.resume();
    client.write(halves[at % halves.length] ?? Buffer.alloc(0));
    clients.push(client);
  }
  // Both ends of each connection may be in this process: half of it is the attacker's.
  await site.holdsAtMost(clients.length * 40 * 1024);
  await site.pass(10_000);
  await Promise.all(clients.map(closing));
}

/** Handshakes begun together: the proxy makes keys and signs for each, the client replays the bytes of one hello and leaves. */
async function helloFlood(site: TlsAttackSite): Promise<void> {
  const hello = await clientHello(site.serverName);
  for (let round = 0; round < 5; round++) {
    const clients = await Promise.all(Array.from({ length: 64 }, () => site.connectPlain()));
    for (const client of clients) {
      client.once('data', () => client.destroy());
      client.write(hello);
    }
    await Promise.all(clients.map(closing));
  }
}

export const tlsAttacks: readonly TlsAttack[] = [
  { id: 'T-1', what: 'TLS before 1.3', run: oldVersions },
  { id: 'T-2', what: 'certificates that are no leaf of the mesh', run: badCertificates(usageVectors, 30) },
  { id: 'T-3', what: 'names that a certificate may not have', run: badCertificates(nameVectors, 60) },
  { id: 'T-4', what: "somebody else's name, protocol or both", run: otherNames },
  { id: 'T-5', what: 'a session that goes on without a certificate', run: resumption },
  { id: 'T-6', what: 'chains and name constraints', run: badCertificates(pathVectors, 40) },
  { id: 'T-7', what: 'broken ClientHellos', run: (site) => damagedHellos(site, 150 * site.scale) },
  { id: 'T-8', what: 'half a ClientHello, a huge one, or none', run: halfHellos },
  { id: 'T-flood', what: 'handshakes that are begun 64 together and left', run: helloFlood },
];
