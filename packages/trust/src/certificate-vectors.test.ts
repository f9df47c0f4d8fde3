/**
 * Certificates good and bad, each with its verdict by name: judged by our own check, and presented to the acceptor in a
 * real handshake, where OpenSSL judges as well.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { connect, createSecureContext, type SecureContext } from 'node:tls';
import { LimitLedger } from '@mesh/limits/limits';
import { systemClock } from '@mesh/clock/system';
import { listen } from '@mesh/testkit/servers';
import { type AcceptResult, TlsAcceptor } from './accept.ts';
import { type TrustLimit, trustLimits } from './limits.ts';
import { checkChain, parseAnchors } from './chain.ts';
import { CredentialStore } from './credentials.ts';
import { credentialsOf, forgeLeaf, generalName, identityOf } from './forgery.ts';
import { toPem } from './pem.ts';
import { anchor, east, type Vector } from './testing/certificate-vector.ts';
import { nameVectors } from './testing/name-vectors.ts';
import { pathVectors } from './testing/path-vectors.ts';
import { usageVectors } from './testing/usage-vectors.ts';

const vectors: readonly Vector[] = [...nameVectors, ...pathVectors, ...usageVectors];
const wanted = ({ expect }: Vector): string => (typeof expect === 'string' ? expect : expect.accepted);

test('there are at least 300 vectors, each of its own name', () => {
  assert.ok(vectors.length >= 300, `${vectors.length}`);
  const names = vectors.map(({ what }) => what);
  assert.deepEqual(
    names.filter((name, at) => names.indexOf(name) !== at),
    [],
  );
});

test(`our own check is right on all ${vectors.length} vectors`, () => {
  const wrong: string[] = [];
  for (const vector of vectors) {
    const verdict = checkChain({
      chain: vector.chain.map(({ der }) => der),
      anchors: parseAnchors((vector.anchors ?? [anchor]).map(({ der }) => toPem(der)).join('')),
      now: Date.now() + (vector.after ?? 0),
      role: vector.role ?? 'client',
    });
    const found = 'refused' in verdict ? verdict.refused : verdict.peer.name;
    if (found !== wanted(vector)) wrong.push(`${vector.what}: ${found} instead of ${wanted(vector)}`);
  }
  assert.deepEqual(wrong, []);
});

/** Undefined when OpenSSL cannot even load it to present it. */
function presentable({ chain }: Vector): SecureContext | undefined {
  try {
    return createSecureContext({
      key: chain[0]?.key.export({ type: 'pkcs8', format: 'pem' }) ?? '',
      cert: chain.map(({ der }) => toPem(der)).join(''),
      minVersion: 'TLSv1.3',
    });
  } catch {
    return undefined;
  }
}

test('the acceptor comes to the same verdicts in handshakes', async (t) => {
  const server = forgeLeaf(east, [generalName.dns(identityOf('server', 'east'))]);
  const credentials = new CredentialStore();
  const limits = new LimitLedger<TrustLimit>(trustLimits, {
    tls_explained_refusals: vectors.length,
    tls_judged_refusals: vectors.length,
  });
  const acceptor = new TlsAcceptor({ credentials, clock: systemClock, alpn: [], limits });
  t.after(() => acceptor.close());
  let verdict: (result: AcceptResult) => void = () => {};
  const { port } = await listen(t, (socket) =>
    acceptor.accept(socket, (result) => {
      if ('socket' in result) result.socket.on('error', () => {});
      verdict(result);
    }),
  );
  const wrong: string[] = [];
  let presented = 0;
  for (const vector of vectors) {
    if (vector.role === 'server' || vector.after !== undefined) continue;
    const secureContext = presentable(vector);
    if (secureContext === undefined) {
      assert.equal(typeof vector.expect, 'string', `${vector.what} is good, but cannot be presented`);
      continue;
    }
    presented++;
    credentials.update(credentialsOf(server, [east], vector.anchors ?? [anchor]));
    const judged = new Promise<AcceptResult>((resolve) => (verdict = resolve));
    const client = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, secureContext });
    client.on('error', () => {});
    const result = await judged;
    const found = 'refused' in result ? result.refused : result.peer.name;
    const right = vector.inHandshake?.verdict ?? wanted(vector);
    const same = right === 'accepted' ? 'peer' in result : found === right;
    if (!same) wrong.push(`${vector.what}: ${found} instead of ${right}`);
    client.destroy();
  }
  assert.deepEqual(wrong, []);
  assert.ok(presented >= 200, `${presented} were presented`);
});
