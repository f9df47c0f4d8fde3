import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import test, { type TestContext } from 'node:test';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { seededRandom } from '@mesh/clock/seeded';
import { systemClock } from '@mesh/clock/system';
import { LimitLedger } from '@mesh/limits/limits';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { assertNoLeaks } from '@mesh/testkit/leaks';
import { dialTcp, listen } from '@mesh/testkit/servers';
import { type AcceptResult, type RefusedPeer, TlsAcceptor, type TlsAcceptorOptions } from './accept.ts';
import { extension } from './certificate-writer.ts';
import { CredentialStore } from './credentials.ts';
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
import { trustLimits } from './limits.ts';
import { oids } from './oids.ts';
import { toPem } from './pem.ts';
import type { RefusalReason } from './refusal.ts';

const anchor = forgeAnchor();
const east = forgeIssuer(anchor, 'east');
const west = forgeIssuer(anchor, 'west');
const serverName = identityOf('server', 'east');
const clientName = identityOf('client', 'west');
const serverLeaf = forgeLeaf(east, [generalName.dns(serverName)]);
const clientLeaf = forgeLeaf(west, [generalName.dns(clientName)]);
const serverStore = (): CredentialStore => new CredentialStore(credentialsOf(serverLeaf, [east], [anchor]));
const hour = 3_600_000;

interface Served {
  readonly port: number;
  readonly results: AcceptResult[];
  /** Application bytes that came out of accepted sockets. */
  received: number;
  readonly acceptor: TlsAcceptor;
}

async function serve(
  context: TestContext,
  options: Partial<TlsAcceptorOptions> = {},
  before: (socket: Socket, next: () => void) => void = (_socket, next) => next(),
): Promise<Served> {
  const acceptor = new TlsAcceptor({
    credentials: serverStore(),
    clock: systemClock,
    alpn: ['transport.l5d.io/v1', 'h2'],
    ...options,
  });
  const served: Served = { port: 0, results: [], received: 0, acceptor };
  const { port } = await listen(context, (socket) =>
    before(socket, () =>
      acceptor.accept(socket, (result) => {
        served.results.push(result);
        if ('refused' in result) return;
        result.socket.on('error', () => {});
        result.socket.on('data', (chunk: Buffer) => {
          served.received += chunk.length;
          result.socket.write(chunk);
        });
      }),
    ),
  );
  context.after(() => acceptor.close());
  return Object.assign(served, { port });
}

/** A TLS client that sends application bytes as soon as it believes to be connected. */
function dial(context: TestContext, port: number, options: ConnectionOptions): TLSSocket {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options }, () => {
    socket.write('early application bytes');
  });
  socket.on('error', () => {});
  context.after(() => socket.destroy());
  return socket;
}

const present = (leaf: Forged, ...intermediates: Forged[]): ConnectionOptions => ({
  key: leaf.key.export({ type: 'pkcs8', format: 'pem' }),
  cert: [leaf, ...intermediates].map(({ der }) => toPem(der)).join(''),
});

/** `once` would reject on the error that precedes most closes here. */
function closing(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

async function resultOf(served: Served): Promise<AcceptResult> {
  return await eventually('a result', () => served.results[0]);
}

test('a leaf of another cluster under the shared anchor is accepted, with its identity', async (context) => {
  assertNoLeaks(context);
  const served = await serve(context);
  const client = dial(context, served.port, { ...present(clientLeaf, west), ALPNProtocols: ['h2'] });
  const result = await resultOf(served);
  assert.ok('peer' in result, JSON.stringify(result));
  assert.deepEqual(result.peer, {
    name: clientName,
    serviceAccount: 'client',
    namespace: 'shop',
    cluster: 'west',
  });
  assert.equal(result.alpn, 'h2');
  assert.ok(Math.abs(result.notAfter - Date.now() - hour) < 10_000);
  const [echo] = (await once(client, 'data')) as [Buffer];
  assert.equal(echo.toString(), 'early application bytes');
  assert.equal(client.getProtocol(), 'TLSv1.3');
  assert.equal(served.acceptor.pending, 0);
});

test('a client without ALPN is accepted and the order of preference is the server’s', async (context) => {
  const served = await serve(context);
  dial(context, served.port, present(clientLeaf, west));
  dial(context, served.port, {
    ...present(clientLeaf, west),
    ALPNProtocols: ['h2', 'transport.l5d.io/v1'],
  });
  await eventually('two results', () => served.results.length === 2);
  const chosen = served.results.map((result) => ('alpn' in result ? result.alpn : result));
  assert.deepEqual(new Set(chosen), new Set([undefined, 'transport.l5d.io/v1']));
});

test('bytes put back by unshift are the start of the handshake, at every split of the hello', async (context) => {
  for (const size of [1, 3, 5, 6, 40, 300]) {
    const served = await serve(context, {}, (socket, next) => {
      const onReadable = (): void => {
        const head = socket.read(size) as Buffer | null;
        if (head === null) return;
        socket.off('readable', onReadable);
        socket.unshift(head);
        next();
      };
      socket.on('readable', onReadable);
    });
    const client = dial(context, served.port, present(clientLeaf, west));
    const [echo] = (await once(client, 'data')) as [Buffer];
    assert.equal(echo.toString(), 'early application bytes');
  }
});

const foreignAnchor = forgeAnchor('another anchor');
const foreignIssuer = forgeIssuer(foreignAnchor, 'west');
const oldAnchor = forgeAnchor('valid for long', { notBefore: Date.now() - 48 * hour });
const impostor = forgeAnchor();
const rogue = forge({
  by: anchor,
  commonName: 'no authority',
  extensions: [extension.basicConstraints(false), extension.keyUsage('tls')],
});
const below = forge({
  by: west,
  commonName: 'issuer below an issuer',
  extensions: [extension.basicConstraints(true), extension.keyUsage('sign')],
});
const free = forgeIssuer(anchor, 'west', {
  commonName: 'unconstrained',
  extensions: [extension.basicConstraints(true, 0), extension.keyUsage('sign')],
});
const dnsOnly = generalName.dns(clientName);

/** Each client presents this; the server must refuse with exactly that reason. */
const refusals: readonly (readonly [what: string, reason: RefusalReason, options: ConnectionOptions])[] = [
  ['no certificate', 'no-certificate', {}],
  ['foreign authority', 'foreign-anchor', present(forgeLeaf(foreignIssuer, [dnsOnly]), foreignIssuer)],
  ['self-signed leaf', 'foreign-anchor', present(forge({ commonName: 'me', extensions: leafUsages }))],
  [
    'foreign authority that sends its anchor',
    'foreign-anchor',
    present(forgeLeaf(foreignIssuer, [dnsOnly]), foreignIssuer, foreignAnchor),
  ],
  ['missing intermediate', 'foreign-anchor', present(clientLeaf)],
  ['foreign authority with the name of ours', 'bad-signature', present(forgeLeaf(impostor, [dnsOnly]))],
  [
    'leaf not signed by its issuer',
    'bad-signature',
    present(forgeLeaf(west, [dnsOnly], { signedWith: foreignAnchor.key }), west),
  ],
  ['issuer of east speaks for west', 'outside-name-constraints', present(forgeLeaf(east, [dnsOnly]), east)],
  ['URI only', 'wrong-name-type', present(forgeLeaf(west, [generalName.uri('spiffe://west/x')]), west)],
  ['IP only', 'wrong-name-type', present(forgeLeaf(west, [generalName.ip(10, 0, 0, 1)]), west)],
  ['email only', 'wrong-name-type', present(forgeLeaf(west, [generalName.email('a@b.example')]), west)],
  ['no SAN', 'no-name', present(forgeLeaf(west, []), west)],
  [
    'no SAN, identity as common name',
    'no-name',
    present(forgeLeaf(west, [], { commonName: 'a.west.mesh.local' }), west),
  ],
  [
    'two DNS names',
    'several-names',
    present(forgeLeaf(west, [dnsOnly, generalName.dns(identityOf('admin', 'west'))]), west),
  ],
  [
    'DNS and URI',
    'several-names',
    present(forgeLeaf(west, [dnsOnly, generalName.uri('spiffe://west/x')]), west),
  ],
  [
    'wildcard',
    'wildcard-name',
    present(forgeLeaf(west, [generalName.dns('*.shop.serviceaccount.identity.mesh.west.mesh.local')]), west),
  ],
  ['trailing dot', 'malformed-name', present(forgeLeaf(free, [generalName.dns(`${clientName}.`)]), free)],
  [
    'NUL in the name',
    'malformed-name',
    present(forgeLeaf(free, [generalName.dns(`${clientName}\0.evil.example`)]), free),
  ],
  [
    'name outside the mesh',
    'unknown-domain',
    present(forgeLeaf(free, [generalName.dns('www.example.com')]), free),
  ],
  [
    'name of the mesh, no identity',
    'unknown-domain',
    present(forgeLeaf(west, [generalName.dns('x.west.mesh.local')]), west),
  ],
  ['expired', 'expired', present(forgeLeaf(west, [dnsOnly], { notAfter: Date.now() - 60_000 }), west)],
  [
    'not yet valid',
    'not-yet-valid',
    present(forgeLeaf(west, [dnsOnly], { notBefore: Date.now() + 60_000 }), west),
  ],
  ['leaf signs a leaf', 'not-a-ca', present(forgeLeaf(rogue, [dnsOnly]), rogue)],
  ['issuer below an issuer', 'path-too-long', present(forgeLeaf(below, [dnsOnly]), below, west)],
  [
    'authority as leaf',
    'ca-as-leaf',
    present(
      forge({
        by: free,
        extensions: [extension.basicConstraints(true), ...leafUsages, extension.subjectAltName([dnsOnly])],
      }),
      free,
    ),
  ],
  [
    'server certificate as client',
    'wrong-usage',
    present(
      forgeLeaf(west, [], {
        extensions: [
          extension.keyUsage('tls'),
          extension.extendedKeyUsage([oids.serverAuth]),
          extension.subjectAltName([dnsOnly]),
        ],
      }),
      west,
    ),
  ],
  [
    'unknown critical extension',
    'unknown-critical-extension',
    present(
      forgeLeaf(west, [], {
        extensions: [
          ...leafUsages,
          extension.subjectAltName([dnsOnly]),
          { oid: '1.3.6.1.4.1.99999.1', critical: true, value: Buffer.from([5, 0]) },
        ],
      }),
      west,
    ),
  ],
  ['TLS 1.2', 'tls-version', { ...present(clientLeaf, west), maxVersion: 'TLSv1.2' }],
  ['other ALPN', 'alpn-mismatch', { ...present(clientLeaf, west), ALPNProtocols: ['http/1.1'] }],
];

for (const [what, reason, options] of refusals) {
  test(`refused as ${reason}: ${what}; no byte is delivered`, async (context) => {
    const served = await serve(context);
    const client = dial(context, served.port, options);
    const closed = closing(client);
    const result = await resultOf(served);
    assert.ok('refused' in result, 'was accepted');
    assert.equal(result.refused, reason, result.detail);
    assert.notEqual(result.detail, '');
    await closed;
    assert.equal(served.received, 0);
    assert.equal(served.results.length, 1);
    assert.equal(served.acceptor.pending, 0);
  });
}

test('who is refused is refused, too, when no more chains are read for the sake of the reason', async (context) => {
  const limits = new LimitLedger(trustLimits, { tls_explained_refusals: 1 });
  const served = await serve(context, { limits });
  const [, , signedByALeaf] = refusals.find(([, reason]) => reason === 'not-a-ca') ?? [];
  assert.ok(signedByALeaf !== undefined);
  for (let client = 0; client < 3; client++) {
    await closing(dial(context, served.port, signedByALeaf));
  }
  const reasons = served.results.map((result) => ('refused' in result ? result.refused : 'accepted'));
  assert.deepEqual(reasons, ['not-a-ca', 'foreign-anchor', 'foreign-anchor']);
  assert.equal(limits.hits('tls_explained_refusals'), 2);
  assert.equal(served.received, 0);
});

test('of many clients that are refused, a few are judged, and the others refused by what OpenSSL says', async (context) => {
  const limits = new LimitLedger(trustLimits, { tls_judged_refusals: 1 });
  const served = await serve(context, { limits });
  const [, , signedByALeaf] = refusals.find(([, reason]) => reason === 'not-a-ca') ?? [];
  assert.ok(signedByALeaf !== undefined);
  for (let client = 0; client < 2; client++) await closing(dial(context, served.port, signedByALeaf));
  await closing(dial(context, served.port, {}));
  const [judged, other, none] = served.results as RefusedPeer[];
  assert.equal(judged?.refused, 'not-a-ca');
  assert.match(other?.detail ?? '', /^OpenSSL refused the certificate: [A-Z_]+$/);
  assert.equal(none?.refused, 'no-certificate');
  assert.equal(limits.hits('tls_judged_refusals'), 1);
  assert.equal(served.received, 0);
});

test('clients that OpenSSL can name leave those their judgement for which it has no name: an issuer that signs for another cluster', async (context) => {
  const limits = new LimitLedger(trustLimits, { tls_judged_refusals: 1 });
  const served = await serve(context, { limits, clock: new FakeClock(Date.now()) });
  const optionsOf = (what: string): ConnectionOptions =>
    refusals.find(([name]) => name === what)?.[2] ?? assert.fail(what);
  for (let client = 0; client < 3; client++) {
    await closing(dial(context, served.port, optionsOf('self-signed leaf')));
  }
  for (let client = 0; client < 2; client++) {
    await closing(dial(context, served.port, optionsOf('issuer of east speaks for west')));
  }
  assert.deepEqual(
    served.results.map((result) => ('refused' in result ? result.refused : 'accepted')),
    ['foreign-anchor', 'foreign-anchor', 'foreign-anchor', 'outside-name-constraints', 'handshake-failed'],
  );
  assert.equal(limits.hits('tls_judged_refusals'), 3);
});

test('a client without a certificate has no chain to explain', async (context) => {
  const limits = new LimitLedger(trustLimits, { tls_explained_refusals: 1 });
  const served = await serve(context, { limits });
  const [, , signedByALeaf] = refusals.find(([, reason]) => reason === 'not-a-ca') ?? [];
  assert.ok(signedByALeaf !== undefined);
  for (const options of [{}, {}, signedByALeaf]) await closing(dial(context, served.port, options));
  assert.deepEqual(
    served.results.map((result) => ('refused' in result ? result.refused : 'accepted')),
    ['no-certificate', 'no-certificate', 'not-a-ca'],
  );
  assert.equal(limits.hits('tls_explained_refusals'), 0);
});

test('a peer of a cluster that is not allowed is refused', async (context) => {
  const served = await serve(context, { acceptsCluster: (cluster) => cluster === 'east' });
  dial(context, served.port, present(clientLeaf, west));
  const result = await resultOf(served);
  assert.ok('refused' in result);
  assert.equal(result.refused, 'unknown-domain');
  assert.match(result.detail, /west/);
});

test('OpenSSL’s refusal stands when our own check would accept', async (context) => {
  const yesterday = Date.now() - 24 * hour;
  const times = { notBefore: yesterday - hour, notAfter: yesterday + hour };
  // By this clock all certificates are valid; the process clock, which OpenSSL reads, says expired.
  const served = await serve(context, {
    clock: new FakeClock(yesterday),
    credentials: new CredentialStore(credentialsOf(serverLeaf, [east], [anchor, oldAnchor])),
  });
  const oldIssuer = forgeIssuer(oldAnchor, 'west', times);
  const client = dial(context, served.port, present(forgeLeaf(oldIssuer, [dnsOnly], times), oldIssuer));
  const closed = closing(client);
  const result = await resultOf(served);
  assert.ok('refused' in result, 'was accepted');
  assert.equal(result.refused, 'expired');
  assert.match(result.detail, /OpenSSL refused/);
  await closed;
  assert.equal(served.received, 0);
});

test('plaintext is refused as not-tls', async (context) => {
  for (const bytes of [
    'GET / HTTP/1.1\r\nhost: a\r\n\r\n',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    '\0\0\0\0\0\0\0\0',
  ]) {
    const served = await serve(context);
    const client = await dialTcp(context, served.port);
    client.write(bytes);
    const result = await resultOf(served);
    assert.ok('refused' in result);
    assert.equal(result.refused, 'not-tls', result.detail);
  }
});

test('a client that stops in the middle is cut off at the named limit', async (context) => {
  const clock = new FakeClock(Date.now());
  const limits = new LimitLedger(trustLimits);
  const served = await serve(context, { clock, limits });
  const client = await dialTcp(context, served.port);
  client.write(Buffer.from([22, 3, 1, 2, 0, 1]));
  await eventually('the handshake began', () => served.acceptor.pending === 1);
  clock.advance(9_999);
  assert.equal(served.results.length, 0);
  clock.advance(1);
  assert.equal((served.results[0] as { refused: string }).refused, 'handshake-timeout');
  assert.equal(limits.hits('tls_handshake_ms'), 1);
  await closing(client);
});

test('a client that ends its half in the middle of a handshake is refused at once', async (context) => {
  const served = await serve(context, {}, (socket, next) => {
    socket.allowHalfOpen = true;
    next();
  });
  const client = await dialTcp(context, served.port);
  client.end(Buffer.from([22, 3, 1, 2, 0, 1]));
  assert.equal(((await resultOf(served)) as { refused: string }).refused, 'closed-early');
});

test('a socket that may be half open still may be behind the handshake', async (context) => {
  let halfOpen: boolean | undefined;
  const acceptor = new TlsAcceptor({ credentials: serverStore(), clock: systemClock, alpn: [] });
  context.after(() => acceptor.close());
  const { port } = await listen(context, (socket) => {
    socket.allowHalfOpen = true;
    acceptor.accept(socket, (result) => {
      if ('refused' in result) return;
      halfOpen = result.socket.allowHalfOpen;
      result.socket.on('end', () => result.socket.end('late'));
      result.socket.resume();
    });
  });
  const client = dial(context, port, present(clientLeaf, west));
  await once(client, 'secureConnect');
  client.end();
  const [late] = (await once(client, 'data')) as [Buffer];
  assert.equal(late.toString(), 'late');
  assert.equal(halfOpen, true);
});

test('handshakes in progress are bounded: the one that lasts longest makes room', async (context) => {
  const limits = new LimitLedger(trustLimits, { tls_handshakes: 2 });
  const served = await serve(context, { limits });
  await dialTcp(context, served.port);
  await eventually('the first began', () => served.acceptor.pending === 1);
  const second = await dialTcp(context, served.port);
  await eventually('the second began', () => served.acceptor.pending === 2);
  const client = dial(context, served.port, present(clientLeaf, west));
  await once(client, 'data');
  assert.equal(limits.hits('tls_handshakes'), 1);
  assert.equal((served.results[0] as { refused: string }).refused, 'handshake-limit');
  assert.ok('peer' in (served.results[1] as AcceptResult), 'who came last was served');
  assert.equal(served.acceptor.pending, 1);
  second.destroy();
  await eventually('the second ended', () => served.results.length === 3);
  assert.equal((served.results[2] as { refused: string }).refused, 'closed-early');
});

test('of handshakes that begin together, each turn of the event loop takes a few', async (context) => {
  const limits = new LimitLedger(trustLimits);
  const arrived: (() => void)[] = [];
  const served = await serve(context, { limits }, (_socket, next) => {
    arrived.push(next);
    if (arrived.length === 10) for (const begin of arrived) begin();
  });
  for (let client = 0; client < 10; client++) dial(context, served.port, present(clientLeaf, west));
  await eventually('all are accepted', () => served.results.length === 10);
  assert.ok(served.results.every((result) => 'peer' in result));
  assert.equal(limits.hits('tls_handshakes_per_turn'), 10 - trustLimits.tls_handshakes_per_turn.default);
});

test('where more come than can be served, those that gave way take nobody’s turn, and who begins has time to end', async (context) => {
  const limits = new LimitLedger(trustLimits, { tls_handshakes: 16 });
  const clients = 200;
  const arrived: (() => void)[] = [];
  // By a clock that stands still: one begins in three turns, in which three come.
  const served = await serve(context, { limits, clock: new FakeClock(Date.now()) }, (_socket, next) => {
    arrived.push(next);
  });
  for (let client = 0; client < clients; client++) dial(context, served.port, present(clientLeaf, west));
  await eventually('all are there', () => arrived.length === clients);
  for (const begin of arrived) {
    begin();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const accepted = served.results.filter((result) => 'peer' in result).length;
  assert.ok(accepted >= clients / 6, `${accepted} of ${clients} got in while more came`);
  await eventually('all have a result', () => served.results.length === clients);
  assert.ok(limits.hits('tls_handshakes') > 50);
});

test('a handshake that waits for its turn still ends in time, and with its socket', async (context) => {
  const limits = new LimitLedger(trustLimits, { tls_handshakes_per_turn: 1 });
  const waiting: Socket[] = [];
  const served = await serve(context, { limits }, (socket, next) => {
    waiting.push(socket);
    if (waiting.length < 2) return;
    const [first, second] = waiting;
    if (first === undefined || second === undefined) return;
    next();
    served.acceptor.accept(first, (result) => served.results.push(result));
    first.destroy();
  });
  await dialTcp(context, served.port);
  await dialTcp(context, served.port);
  await eventually('the one that waited is refused', () => served.results.length === 1);
  assert.equal((served.results[0] as { refused: string }).refused, 'closed-early');
  assert.equal(served.acceptor.pending, 1);
});

test('without credentials every client is refused, with the first ones it starts to work', async (context) => {
  const credentials = new CredentialStore();
  const served = await serve(context, { credentials });
  dial(context, served.port, present(clientLeaf, west));
  assert.equal(((await resultOf(served)) as { refused: string }).refused, 'no-credentials');
  credentials.update(credentialsOf(serverLeaf, [east], [anchor]));
  const client = dial(context, served.port, present(clientLeaf, west));
  await once(client, 'data');
});

test('new credentials and anchors serve new handshakes, open connections stay', async (context) => {
  const credentials = serverStore();
  const served = await serve(context, { credentials });
  const old = dial(context, served.port, present(clientLeaf, west));
  await once(old, 'data');

  const nextAnchor = forgeAnchor('next anchor');
  const nextEast = forgeIssuer(nextAnchor, 'east');
  const nextWest = forgeIssuer(nextAnchor, 'west');
  const nextLeaf = forgeLeaf(nextEast, [generalName.dns(serverName)]);
  credentials.update(credentialsOf(nextLeaf, [nextEast], [nextAnchor]));

  const fresh = dial(context, served.port, present(forgeLeaf(nextWest, [dnsOnly]), nextWest));
  await once(fresh, 'data');
  assert.ok(fresh.getPeerX509Certificate()?.raw.equals(nextLeaf.der));

  old.write('still open');
  const [echo] = (await once(old, 'data')) as [Buffer];
  assert.equal(echo.toString(), 'still open');

  dial(context, served.port, present(clientLeaf, west));
  await eventually('three results', () => served.results.length === 3);
  assert.equal((served.results[2] as { refused: string }).refused, 'foreign-anchor');
});

test('the certificates of a client stay with its connection: what Node takes out of it is never freed', async (context) => {
  const served = await serve(context);
  // The first one ever shows where Node is to be stopped.
  for (let client = 0; client < 2; client++) {
    await once(dial(context, served.port, present(clientLeaf, west)), 'data');
  }
  const result = served.results[1];
  assert.ok(result !== undefined && 'socket' in result);
  const { raw, issuerCertificate } = result.socket.getPeerCertificate(true);
  assert.ok(raw.equals(clientLeaf.der));
  assert.ok(issuerCertificate?.raw.equals(west.der), 'the issuer is still there');
});

test('a session cannot be resumed past the check', async (context) => {
  const credentials = serverStore();
  const served = await serve(context, { credentials });
  const first = dial(context, served.port, present(clientLeaf, west));
  const sessions: Buffer[] = [];
  first.on('session', (session) => sessions.push(session));
  await once(first, 'data');
  assert.ok(sessions.length > 0, 'there is something to resume');
  for (const session of sessions) {
    const second = dial(context, served.port, { ...present(clientLeaf, west), session });
    await once(second, 'data');
    assert.equal(second.isSessionReused(), false);
  }
});

test('the bootstrap mode accepts clients without a certificate and names no peer', async (context) => {
  const acceptor = new TlsAcceptor({
    credentials: serverStore(),
    clock: systemClock,
    alpn: ['h2'],
    clientCertificate: 'none',
  });
  context.after(() => acceptor.close());
  const results: AcceptResult<'none'>[] = [];
  const { port } = await listen(context, (socket) =>
    acceptor.accept(socket, (result) => {
      results.push(result);
      if ('socket' in result) result.socket.end('hello');
    }),
  );
  const client = dial(context, port, { ca: toPem(anchor.der) });
  const [hello] = (await once(client, 'data')) as [Buffer];
  assert.equal(hello.toString(), 'hello');
  assert.equal(client.getPeerX509Certificate()?.raw.equals(serverLeaf.der), true);
  const [result] = results;
  assert.ok(result !== undefined && 'socket' in result);
  assert.equal(result.peer, undefined);
});

test('a socket that is already gone is refused once', async (context) => {
  const served = await serve(context, {}, (socket, next) => {
    socket.destroy();
    next();
  });
  connectTcp(served.port, '127.0.0.1').on('error', () => {});
  assert.equal(((await resultOf(served)) as { refused: string }).refused, 'closed-early');
});

test('damaged hellos and odd names end in one refusal each, and the next good client is served', async (context) => {
  assertNoLeaks(context);
  const served = await serve(context);
  const hellos: Buffer[] = [];
  const tap = await listen(context, (socket) => {
    socket.once('data', (bytes: Buffer) => {
      hellos.push(bytes);
      socket.destroy();
    });
  });
  dial(context, tap.port, {
    ...present(clientLeaf, west),
    servername: 'x'.repeat(63),
    ALPNProtocols: ['h2'],
  });
  const hello = await eventually('a hello', () => hellos[0]);
  const random = seededRandom(7);
  const attempts = 150;
  for (let attempt = 0; attempt < attempts; attempt++) {
    const damaged = Buffer.from(hello);
    for (let change = 0; change < 1 + (attempt % 5); change++) {
      damaged[Math.floor(random.next() * damaged.length)] = Math.floor(random.next() * 256);
    }
    const client = await dialTcp(context, served.port);
    client.end(damaged);
    client.resume();
  }
  await eventually('all were refused', () => served.results.length === attempts);
  assert.ok(served.results.every((result) => 'refused' in result));
  assert.equal(served.acceptor.pending, 0);
  const good = dial(context, served.port, present(clientLeaf, west));
  await once(good, 'data');
});
