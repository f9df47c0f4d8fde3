import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createAnchor, createIssuer } from '@mesh/ca/authority';
import { seededRandom } from '@mesh/clock/seeded';
import { http2Limits } from '@mesh/http2/limits';
import { LimitLedger } from '@mesh/limits/limits';
import { silentLogger } from '@mesh/telemetry/log';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { sameAnchors } from '@mesh/trust/bundle';
import { CredentialStore } from '@mesh/trust/credentials';
import { controlPlaneIdentity, identityName } from '@mesh/trust/names';
import { IdentityClient } from './identity-client.ts';
import { goodToken, startIdentity } from './testing/identity-server.ts';

const clock = new FakeClock(Date.now());
const [a, b] = [createAnchor({ clock }), createAnchor({ clock })];
const both = a.certificatePem + b.certificatePem;
const [issuerA, issuerB] = [a, b].map((anchor) => createIssuer({ anchor, cluster: 'east', clock }));

async function follow(test: TestContext, lifetimeMs = 86_400_000) {
  assert.ok(issuerA !== undefined && issuerB !== undefined);
  const identity = await startIdentity(test, {
    cluster: 'east',
    issuer: issuerA,
    anchorsPem: a.certificatePem,
    lifetimeMs,
  });
  const directory = mkdtempSync(join(tmpdir(), 'mesh-trust-'));
  const tokenFile = join(directory, 'token');
  writeFileSync(tokenFile, goodToken);
  const store = new CredentialStore();
  const registry = new MetricRegistry();
  const own = new FakeClock(clock.wall());
  const client = new IdentityClient({
    clock: own,
    random: seededRandom(5),
    log: silentLogger,
    registry,
    http2Limits: new LimitLedger(http2Limits),
    store,
    address: identity,
    bundleAddress: identity,
    serverIdentity: controlPlaneIdentity('mesh-identity', 'east'),
    identity: identityName({ serviceAccount: 'cart', namespace: 'shop', cluster: 'east' }),
    tokenFile,
    anchors: a.certificatePem,
    suffix: 'mesh.local',
  });
  test.after(() => {
    client.stop();
    rmSync(directory, { recursive: true });
  });
  client.start();
  await eventually('the first certificate', () => store.current);
  return {
    identity,
    store,
    issuerA,
    issuerB,
    metrics: () => registry.render(),
    /** Time passes while the connection is answered, lest it is taken for dead. */
    async pass(ms: number) {
      for (let passed = 0; passed < ms; passed += 500) {
        own.advance(500);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    },
    counted: (result: string) =>
      Number(
        new RegExp(`^mesh_trust_bundles_total\\{result="${result}"\\} (\\d+)$`, 'm').exec(
          registry.render(),
        )?.[1] ?? 0,
      ),
    uses: (pem: string) => sameAnchors(store.current?.anchorsPem ?? '', pem),
  };
}

test('a rotation: added at once; removed only once our own certificate is of what is left, and after a while', async (t) => {
  const { identity, store, pass, issuerB, uses, counted } = await follow(t);
  const first = store.current;
  identity.rotate({ anchorsPem: both });
  await eventually('the second anchor counts', () => uses(both));
  assert.equal(store.current?.chainPem, first?.chainPem, 'the certificate stays');

  identity.rotate({ issuer: issuerB, anchorsPem: b.certificatePem });
  await eventually(
    'a certificate under the second anchor',
    () => store.current?.chainPem !== first?.chainPem,
  );
  assert.ok(uses(both), 'others may still be on their way');
  await pass(59_000);
  assert.ok(uses(both));
  await pass(2000);
  assert.ok(uses(b.certificatePem));
  assert.equal(counted('adopted'), 2);
  assert.equal(counted('needs_renewal'), 1);
});

test('an anchor is kept as long as our own certificate is of it, whatever the bundle says', async (t) => {
  const { identity, issuerB, pass, store, uses, metrics } = await follow(t);
  identity.rotate({ anchorsPem: both });
  await eventually('the second anchor counts', () => uses(both));
  const before = store.current;
  // The issuer is still of the first one.
  identity.rotate({ anchorsPem: b.certificatePem });
  await eventually('another certificate was asked for', () => store.current !== before);
  const renewed = (): number =>
    Number(/^identity_cert_refresh_count\{result="success"\} (\d+)$/m.exec(metrics())?.[1]);
  await pass(90_000);
  assert.ok(uses(both));
  const asked = renewed();
  assert.ok(asked >= 3 && asked <= 4, `${asked} certificates: it asks again, with growing pauses`);
  // Another replica of the service may have had the former issuer still: nobody tells when that changes.
  identity.rotate({ issuer: issuerB });
  const last = store.current?.chainPem;
  await pass(150_000);
  assert.notEqual(store.current?.chainPem, last);
  await pass(60_000);
  assert.ok(uses(b.certificatePem));
  const settled = renewed();
  await pass(300_000);
  assert.equal(renewed(), settled);
});

test('an anchor is not removed when our newest certificate is of it again', async (t) => {
  const { identity, pass, issuerA, issuerB, store, uses } = await follow(t, 65_000);
  identity.rotate({ anchorsPem: both });
  await eventually('the second anchor counts', () => uses(both));
  const before = store.current?.chainPem;
  identity.rotate({ issuer: issuerB, anchorsPem: b.certificatePem });
  await eventually('a certificate under the second anchor', () => store.current?.chainPem !== before);
  const second = store.current?.chainPem;
  identity.rotate({ issuer: issuerA });
  await pass(50_000);
  assert.notEqual(store.current?.chainPem, second, 'it was renewed, by who has the former issuer still');
  await pass(12_000);
  assert.ok(uses(both));
});

test('a stream that breaks, and tells the same again, does not put off the removal', async (t) => {
  const { identity, pass, issuerB, store, uses } = await follow(t);
  identity.rotate({ anchorsPem: both });
  await eventually('the second anchor counts', () => uses(both));
  const before = store.current?.chainPem;
  identity.rotate({ issuer: issuerB, anchorsPem: b.certificatePem });
  await eventually('a certificate under the second anchor', () => store.current?.chainPem !== before);
  for (let again = 0; again < 4; again++) {
    await pass(16_000);
    identity.rotate({ anchorsPem: b.certificatePem });
  }
  assert.ok(uses(b.certificatePem));
});

test('a removal that is taken back in time does not happen', async (t) => {
  const { identity, pass, issuerB, store, uses } = await follow(t);
  identity.rotate({ anchorsPem: both });
  await eventually('the second anchor counts', () => uses(both));
  const before = store.current?.chainPem;
  identity.rotate({ issuer: issuerB, anchorsPem: b.certificatePem });
  await eventually('a certificate under the second anchor', () => store.current?.chainPem !== before);
  await pass(30_000);
  identity.rotate({ anchorsPem: both });
  await pass(90_000);
  assert.ok(uses(both));
});

test('a broken bundle changes nothing', async (t) => {
  const { identity, uses, counted } = await follow(t);
  identity.rotate({
    anchorsPem: `${a.certificatePem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`,
  });
  await eventually('it is refused', () => counted('refused') === 1);
  assert.ok(uses(a.certificatePem));
});
