import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { type Authority, createAnchor, createIssuer, signLeaf } from '@mesh/ca/authority';
import { issueCredentials } from '@mesh/ca/credentials';
import { checkCsr } from '@mesh/ca/signing-request';
import { seededRandom } from '@mesh/clock/seeded';
import { systemClock } from '@mesh/clock/system';
import { Identity } from '@mesh/control-api/gen/linkerd/identity_pb';
import { grpcService, serveGrpc } from '@mesh/control-api/grpc-server';
import { grpcLimits } from '@mesh/control-api/limits';
import { GrpcError, grpcCode } from '@mesh/control-api/status';
import { http2Limits } from '@mesh/http2/limits';
import { serveHttp2 } from '@mesh/http2/server';
import { LimitLedger } from '@mesh/limits/limits';
import { silentLogger } from '@mesh/telemetry/log';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { listen } from '@mesh/testkit/servers';
import { TlsAcceptor } from '@mesh/trust/accept';
import { CredentialStore } from '@mesh/trust/credentials';
import { certificateDers } from '@mesh/trust/pem';
import { IdentityClient } from './identity-client.ts';

const server = 'mesh-identity.mesh.serviceaccount.identity.mesh.east.mesh.local';
const self = 'cart.shop.serviceaccount.identity.mesh.east.mesh.local';

interface Rig {
  readonly clock: FakeClock;
  readonly store: CredentialStore;
  readonly client: IdentityClient;
  readonly tokens: string[];
  readonly registry: MetricRegistry;
  setToken(token: string): void;
}

/** `signs`: the issuer of what is issued; `serves`: the identity that the service proves. */
async function rig(
  test: TestContext,
  options: { signs?: Authority; serves?: string; issues?: string } = {},
): Promise<Rig> {
  const clock = new FakeClock(Date.now());
  const anchor = createAnchor({ clock });
  const issuer = createIssuer({ anchor, cluster: 'east', clock });
  const signs = options.signs ?? issuer;
  const tokens: string[] = [];
  const acceptor = new TlsAcceptor({
    credentials: new CredentialStore(
      issueCredentials({
        issuer,
        anchorsPem: anchor.certificatePem,
        identity: options.serves ?? server,
        clock,
      }),
    ),
    clock: systemClock,
    alpn: [],
    clientCertificate: 'none',
  });
  const service = grpcService<typeof Identity, undefined>(Identity, {
    certify(request) {
      const token = Buffer.from(request.token).toString();
      tokens.push(token);
      if (token === 'bad') throw new GrpcError(grpcCode.failedPrecondition, 'the token has another audience');
      const checked = checkCsr(Buffer.from(request.certificateSigningRequest), request.identity);
      if ('fault' in checked) throw new GrpcError(grpcCode.failedPrecondition, checked.fault);
      const identity = options.issues ?? request.identity;
      const leaf = signLeaf({ issuer: signs, spki: checked.spki, identity, clock });
      return {
        leafCertificate: leaf.der,
        intermediateCertificates: certificateDers(signs.certificatePem),
        validUntil: timestampFromMs(leaf.notAfter),
      };
    },
  });
  const { port } = await listen(test, (socket) => {
    acceptor.accept(socket, (result) => {
      if ('refused' in result) return;
      serveHttp2(
        result.socket,
        serveGrpc([service], { peer: undefined, clock: systemClock, limits: new LimitLedger(grpcLimits) }),
        { clock: systemClock, limits: new LimitLedger(http2Limits) },
      );
    });
  });
  const directory = mkdtempSync(join(tmpdir(), 'mesh-identity-'));
  const tokenFile = join(directory, 'token');
  writeFileSync(tokenFile, 'first');
  const store = new CredentialStore();
  const registry = new MetricRegistry();
  const client = new IdentityClient({
    clock,
    random: seededRandom(3),
    log: silentLogger,
    registry,
    http2Limits: new LimitLedger(http2Limits),
    store,
    address: { host: '127.0.0.1', port },
    bundleAddress: { host: '127.0.0.1', port },
    serverIdentity: server,
    identity: self,
    tokenFile,
    anchors: anchor.certificatePem,
    suffix: 'mesh.local',
  });
  test.after(() => {
    client.stop();
    acceptor.close();
    rmSync(directory, { recursive: true });
  });
  return { clock, store, client, tokens, registry, setToken: (token) => writeFileSync(tokenFile, token) };
}

void test('a certificate comes at once and is renewed, with a new key and token, at 70 % of its life', async (t) => {
  const { clock, store, client, tokens, setToken } = await rig(t);
  client.start();
  const first = await eventually('the first certificate', () => store.current);
  assert.equal(first.identity, self);
  assert.equal(client.fault, '');
  setToken('second');
  const left = first.notAfter - clock.wall();
  await new Promise((resolve) => setImmediate(resolve));
  clock.advance(left * 0.69);
  assert.equal(store.current, first);
  clock.advance(left * 0.02);
  const second = await eventually('the second certificate', () =>
    store.current === first ? undefined : store.current,
  );
  assert.notDeepEqual(second?.key.export({ format: 'jwk' }), first.key.export({ format: 'jwk' }));
  assert.deepEqual(tokens, ['first', 'second']);
});

void test('a machine that slept renews when it wakes: the certificate went on to age while timers stood still', async (t) => {
  const { clock, store, client } = await rig(t);
  client.start();
  const first = await eventually('the first certificate', () => store.current);
  await new Promise((resolve) => setImmediate(resolve));
  clock.jumpWall(first.notAfter - clock.wall() - 3_600_000);
  clock.advance(60_000);
  await eventually('the second certificate', () => store.current !== first);
});

void test('a refusal is told and tried again', async (t) => {
  const { clock, store, client, registry, setToken } = await rig(t);
  setToken('bad');
  client.start();
  await eventually('the refusal', () => client.fault.includes('the token has another audience'));
  setToken('good');
  await eventually('a certificate', () => {
    clock.advance(100);
    return store.current;
  });
  assert.match(registry.render(), /identity_cert_refresh_count\{result="failure"\} [1-9]/);
});

void test('a service that proves another identity never sees the token', async (t) => {
  const { client, tokens, store } = await rig(t, { serves: self });
  client.start();
  await eventually('the refusal', () => client.fault.includes('wrong') || client.fault.includes('server is'));
  assert.deepEqual(tokens, []);
  assert.equal(store.current, undefined);
});

void test('a certificate that others would refuse is not used', async (t) => {
  const clock = new FakeClock(Date.now());
  const foreign = createIssuer({ anchor: createAnchor({ clock }), cluster: 'east', clock });
  for (const [options, expected] of [
    [{ signs: foreign }, /not valid here/],
    [{ issues: server }, /was issued mesh-identity/],
  ] as const) {
    const { client, store } = await rig(t, options);
    client.start();
    await eventually('the refusal', () => expected.test(client.fault));
    assert.equal(store.current, undefined);
  }
});
