import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { createAnchor, createIssuer } from '@mesh/ca/authority';
import { silentLogger } from '@mesh/telemetry/log';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { CredentialStore } from '@mesh/trust/credentials';
import { controlPlaneIdentity } from '@mesh/trust/names';
import { IssuerSource } from './issuer-source.ts';
import { keepOwnCertificate } from './own-certificate.ts';

const year = 365 * 86_400_000;

/** An issuer that was read from files, by a clock of its own. */
async function issuerOf(
  context: TestContext,
  anchorLifetimeMs = 10 * year,
): Promise<{ clock: FakeClock; source: IssuerSource }> {
  const clock = new FakeClock(Date.now());
  const directory = mkdtempSync(join(tmpdir(), 'mesh-issuer-'));
  context.after(() => rmSync(directory, { recursive: true }));
  const anchor = createAnchor({ clock, lifetimeMs: anchorLifetimeMs });
  // Signed by who does not look at the end of the anchor.
  const lasting = { ...anchor, certificate: { ...anchor.certificate, notAfter: clock.wall() + 10 * year } };
  const issuer = createIssuer({ anchor: lasting, cluster: 'east', clock });
  writeFileSync(join(directory, 'tls.crt'), issuer.certificatePem);
  writeFileSync(join(directory, 'tls.key'), issuer.key.export({ type: 'pkcs8', format: 'pem' }));
  writeFileSync(join(directory, 'ca.crt'), anchor.certificatePem);
  const source = new IssuerSource({
    directory,
    cluster: 'east',
    suffix: 'mesh.local',
    clock,
    log: silentLogger,
    pollMs: 2000,
  });
  return { clock, source };
}

test('the own certificate is renewed by the date, also when the machine slept meanwhile', async (context) => {
  const { clock, source } = await issuerOf(context);
  await source.reload();
  const store = new CredentialStore();
  const stop = keepOwnCertificate({
    source,
    store,
    identity: controlPlaneIdentity('mesh-identity', 'east'),
    clock,
    lifetimeMs: 86_400_000,
  });
  const first = store.current;
  assert.ok(first !== undefined);
  clock.advance(60_000);
  assert.equal(store.current, first);
  clock.jumpWall(72_000_000);
  clock.advance(60_000);
  assert.notEqual(store.current, first);
  stop();
  assert.equal(clock.pending, 0);
});

test('an issuer that was judged by a clock that went wrong is judged again', async (context) => {
  for (const wrongMs of [2 * year, -year]) {
    const { clock, source } = await issuerOf(context);
    clock.jumpWall(wrongMs);
    await source.reload();
    assert.match(source.fault, wrongMs > 0 ? /^expired/ : /^not-yet-valid/);
    clock.jumpWall(-wrongMs);
    await source.reload();
    assert.equal(source.fault, '');
    assert.ok(source.current !== undefined);
  }
});

test('an issuer ends with its anchor, which is said', async (context) => {
  const { clock, source } = await issuerOf(context, 3_600_000);
  await source.reload();
  assert.ok(source.current !== undefined);
  clock.advance(3_601_000);
  assert.equal(source.current, undefined);
  await source.reload();
  assert.match(source.fault, /^expired: the certificate above the issuer expired at /);
});
