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

async function follow(test: TestContext) {
  assert.ok(issuerA !== undefined && issuerB !== undefined);
  const identity = await startIdentity(test, {
    cluster: 'east',
    issuer: issuerA,
    anchorsPem: a.certificatePem,
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
  const { identity, pass, store, uses, metrics } = await follow(t);
  identity.rotate({ anchorsPem: both });
  await eventually('the second anchor counts', () => uses(both));
  const before = store.current;
  // The issuer is still of the first one.
  identity.rotate({ anchorsPem: b.certificatePem });
  await eventually('another certificate was asked for', () => store.current !== before);
  await pass(90_000);
  assert.ok(uses(both));
  assert.match(
    metrics(),
    /^identity_cert_refresh_count\{result="success"\} 2$/m,
    'it does not ask again and again',
  );
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
