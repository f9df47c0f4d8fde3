import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import test, { type TestContext } from 'node:test';
import { createServer, type TlsOptions } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { systemClock } from '@mesh/clock/system';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { assertNoLeaks } from '@mesh/testkit/leaks';
import { listen } from '@mesh/testkit/servers';
import { TlsAcceptor } from './accept.ts';
import { extension } from './certificate-writer.ts';
import { CredentialStore } from './credentials.ts';
import { derSequence } from './der.ts';
import { dialTls, type DialOptions, TlsDialError } from './dial.ts';
import {
  credentialsOf,
  type Forged,
  forge,
  forgeAnchor,
  forgeIssuer,
  forgeLeaf,
  generalName,
  identityOf,
  leafUsages,
} from './forgery.ts';
import { oids } from './oids.ts';
import { toPem } from './pem.ts';

const anchor = forgeAnchor();
const east = forgeIssuer(anchor, 'east');
const west = forgeIssuer(anchor, 'west');
const free = forgeIssuer(anchor, 'east', {
  commonName: 'unconstrained',
  extensions: [extension.basicConstraints(true, 0), extension.keyUsage('sign')],
});
const serverName = identityOf('server', 'east');
const serverLeaf = forgeLeaf(east, [generalName.dns(serverName)]);
const clientLeaf = forgeLeaf(west, [generalName.dns(identityOf('client', 'west'))]);
const clientStore = new CredentialStore(credentialsOf(clientLeaf, [west], [anchor]));
const dns = generalName.dns(serverName);

/** A server that presents anything, as a hostile one would. */
async function serveWith(
  context: TestContext,
  leaf: Forged,
  above: readonly Forged[],
  options: TlsOptions = {},
): Promise<number> {
  const server = createServer(
    {
      key: leaf.key.export({ type: 'pkcs8', format: 'pem' }),
      cert: [leaf, ...above].map(({ der }) => toPem(der)).join(''),
      ...options,
    },
    (socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    },
  );
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

const dial = (port: number, overrides: Partial<DialOptions> = {}): ReturnType<typeof dialTls> =>
  dialTls({
    host: '127.0.0.1',
    port,
    identity: serverName,
    alpn: [],
    credentials: clientStore,
    clock: systemClock,
    timeoutMs: 5000,
    ...overrides,
  } as DialOptions);

const failsAs = (reason: string) => (thrown: unknown) => {
  assert.ok(thrown instanceof TlsDialError, String(thrown));
  assert.equal(thrown.reason, reason, thrown.message);
  assert.match(thrown.message, /server\.shop/);
  return true;
};

test('dial and accept agree: both sides proven, ALPN chosen, bytes flow', async (context) => {
  assertNoLeaks(context);
  const acceptor = new TlsAcceptor({
    credentials: new CredentialStore(credentialsOf(serverLeaf, [east], [anchor])),
    clock: systemClock,
    alpn: ['h2'],
  });
  context.after(() => acceptor.close());
  const peers: string[] = [];
  const { port } = await listen(context, (socket) =>
    acceptor.accept(socket, (result) => {
      if ('refused' in result) return;
      peers.push(result.peer.name);
      result.socket.pipe(result.socket);
    }),
  );
  for (const over of [{}, { socket: connectTcp(port, '127.0.0.1') }]) {
    const socket = await dial(port, { alpn: ['h2'], ...over });
    assert.equal(socket.alpnProtocol, 'h2');
    socket.write('hello');
    const [echo] = (await once(socket, 'data')) as [Buffer];
    assert.equal(echo.toString(), 'hello');
    socket.destroy();
    await once(socket, 'close');
  }
  assert.deepEqual(peers, [identityOf('client', 'west'), identityOf('client', 'west')]);
});

test('anchors count however their text is laid out, and whatever else is in it', async (context) => {
  const port = await serveWith(context, serverLeaf, [east]);
  const other = forgeAnchor('other');
  // Of a name that OpenSSL cannot read: it would stop there.
  const odd = { ...forgeAnchor('odd'), subject: derSequence(Buffer.from([1, 1, 1])) };
  const text = toPem(anchor.der);
  for (const anchorsPem of [
    toPem(other.der).trimEnd() + text,
    text.replaceAll(/^/gm, '  '),
    toPem(forgeAnchor('odd', { by: odd }).der) + text,
  ]) {
    const socket = await dial(port, { credentials: { anchorsPem } });
    socket.destroy();
  }
});

test('anchors alone are enough for a server that asks for no certificate', async (context) => {
  const port = await serveWith(context, serverLeaf, [east]);
  const socket = await dial(port, { credentials: { anchorsPem: toPem(anchor.der) } });
  assert.equal(Object.keys(socket.getCertificate() ?? {}).length, 0);
  socket.destroy();
});

const foreign = forgeAnchor('another anchor');
const foreignEast = forgeIssuer(foreign, 'east');
const refusals: readonly (readonly [
  reason: string,
  leaf: Forged,
  above: readonly Forged[],
  options?: TlsOptions,
])[] = [
  ['wrong-identity', forgeLeaf(east, [generalName.dns(identityOf('other', 'east'))]), [east]],
  ['foreign-anchor', forgeLeaf(foreignEast, [dns]), [foreignEast]],
  ['foreign-anchor', forgeLeaf(foreignEast, [dns]), [foreignEast, foreign]],
  ['foreign-anchor', serverLeaf, []],
  ['outside-name-constraints', forgeLeaf(west, [dns]), [west]],
  ['expired', forgeLeaf(east, [dns], { notAfter: Date.now() - 1000 }), [east]],
  ['not-yet-valid', forgeLeaf(east, [dns], { notBefore: Date.now() + 60_000 }), [east]],
  ['several-names', forgeLeaf(east, [dns, generalName.dns(identityOf('other', 'east'))]), [east]],
  [
    'wildcard-name',
    forgeLeaf(east, [generalName.dns('*.shop.serviceaccount.identity.mesh.east.mesh.local')]),
    [east],
  ],
  ['no-name', forgeLeaf(east, [], { commonName: 'server.east.mesh.local' }), [east]],
  ['wrong-name-type', forgeLeaf(free, [generalName.uri(`spiffe://${serverName}`)]), [free]],
  ['wrong-name-type', forgeLeaf(free, [generalName.ip(127, 0, 0, 1)]), [free]],
  ['unknown-domain', forgeLeaf(free, [generalName.dns('www.example.com')]), [free]],
  [
    'ca-as-leaf',
    forge({
      by: free,
      extensions: [extension.basicConstraints(true), ...leafUsages, extension.subjectAltName([dns])],
    }),
    [free],
  ],
  [
    'wrong-usage',
    forgeLeaf(east, [], {
      extensions: [
        extension.keyUsage('tls'),
        extension.extendedKeyUsage([oids.clientAuth]),
        extension.subjectAltName([dns]),
      ],
    }),
    [east],
  ],
  ['tls-version', serverLeaf, [east], { maxVersion: 'TLSv1.2' }],
];

for (const [reason, leaf, above, options] of refusals) {
  test(`a server is refused as ${reason}`, async (context) => {
    const port = await serveWith(context, leaf, above, options);
    await assert.rejects(dial(port), failsAs(reason));
  });
}

test('a server that chooses no protocol is refused when one is needed', async (context) => {
  const port = await serveWith(context, serverLeaf, [east]);
  await assert.rejects(dial(port, { alpn: ['h2'] }), failsAs('alpn-mismatch'));
});

test('a store without a certificate dials nobody', async () => {
  await assert.rejects(dial(1, { credentials: new CredentialStore() }), failsAs('no-credentials'));
});

test('nobody listens, nobody answers, somebody hangs up', async (context) => {
  assertNoLeaks(context);
  const closed = await listen(context, () => {});
  closed.server.close();
  await assert.rejects(dial(closed.port), failsAs('connect-failed'));

  const clock = new FakeClock(Date.now());
  const silent = await listen(context, () => clock.advance(5000));
  await assert.rejects(dial(silent.port, { clock }), failsAs('timeout'));

  const rude = await listen(context, (socket) => socket.end());
  await assert.rejects(dial(rude.port), failsAs('closed-early'));

  const plain = await listen(context, (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  await assert.rejects(dial(plain.port), failsAs('not-tls'));
});
