import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { MeshError } from '@mesh/errors/mesh-error';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { initTrust, issuerFor, readTrust } from './files.ts';
import { verifyIssuer } from './issuer-check.ts';

const clock = new FakeClock();

function directory(context: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'mesh-trust-'));
  context.after(() => rmSync(made, { recursive: true }));
  return join(made, 'trust');
}

const isTrustFault =
  (text: string) =>
  (thrown: unknown): boolean =>
    thrown instanceof MeshError && thrown.code === 'trust-files' && thrown.message.includes(text);

test('init writes an anchor and a key that only its owner can read; it can be read back and signs issuers', async (context) => {
  const trust = directory(context);
  await initTrust(trust, { clock });
  assert.equal(statSync(join(trust, 'anchor.key')).mode & 0o777, 0o600);
  assert.match(readFileSync(join(trust, 'anchor.crt'), 'utf8'), /BEGIN CERTIFICATE/);
  const read = await readTrust(trust);
  const { certificatePem, keyPem } = issuerFor(read, { cluster: 'west', clock });
  const issuer = verifyIssuer(
    { certificatePem, keyPem, anchorsPem: read.anchorsPem },
    { cluster: 'west', now: clock.wall() },
  );
  assert.ok('chainPem' in issuer, JSON.stringify(issuer));
});

test('init overwrites neither file', async (context) => {
  for (const name of ['anchor.key', 'anchor.crt']) {
    const trust = directory(context);
    await initTrust(trust, { clock });
    rmSync(join(trust, name === 'anchor.key' ? 'anchor.crt' : 'anchor.key'));
    const before = readFileSync(join(trust, name), 'utf8');
    await assert.rejects(initTrust(trust, { clock }), isTrustFault(`${name} exists`));
    assert.equal(readFileSync(join(trust, name), 'utf8'), before);
  }
});

test('reading names the file that is missing, open to others, broken or foreign', async (context) => {
  const trust = directory(context);
  await assert.rejects(readTrust(trust), isTrustFault('anchor.crt cannot be read'));
  await initTrust(trust, { clock });
  const keyFile = join(trust, 'anchor.key');
  const key = readFileSync(keyFile, 'utf8');
  chmodSync(keyFile, 0o640);
  await assert.rejects(readTrust(trust), isTrustFault('readable by others'));
  chmodSync(keyFile, 0o600);
  writeFileSync(keyFile, 'secret nonsense');
  await assert.rejects(
    readTrust(trust),
    (thrown: Error) => !`${thrown.message}${thrown.cause}`.includes('nonsense'),
  );
  const second = directory(context);
  await initTrust(second, { clock });
  writeFileSync(keyFile, readFileSync(join(second, 'anchor.key')));
  await assert.rejects(readTrust(trust), isTrustFault('is not the key'));
  writeFileSync(keyFile, key);
  await readTrust(trust);
  rmSync(keyFile);
  await assert.rejects(readTrust(trust), isTrustFault('anchor.key cannot be read'));
});
