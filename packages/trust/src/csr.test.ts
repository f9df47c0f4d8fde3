import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import test from 'node:test';
import fc from 'fast-check';
import { createKeyAndCsr, parseCsr } from './csr.ts';

const identity = 'cart.shop.serviceaccount.identity.mesh.east.mesh.local';
const openssl = (args: string[], input: Buffer): string =>
  execFileSync('openssl', args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
const hasOpenssl = ((): boolean => {
  try {
    openssl(['version'], Buffer.alloc(0));
    return true;
  } catch {
    return false;
  }
})();

test('what is made can be read: one DNS name, empty subject, the public half of the key', async () => {
  const { key, csrDer } = await createKeyAndCsr(identity);
  const parsed = parseCsr(csrDer);
  assert.ok('spki' in parsed, JSON.stringify(parsed));
  assert.deepEqual(parsed.names, [{ form: 'dns', value: Buffer.from(identity) }]);
  assert.equal(parsed.commonName, undefined);
  assert.ok(parsed.spki.equals(createPublicKey(key).export({ type: 'spki', format: 'der' })));
  assert.equal(key.asymmetricKeyDetails?.namedCurve, 'prime256v1');
});

test('openssl verifies the request and reads the same name', { skip: !hasOpenssl }, async () => {
  const { csrDer } = await createKeyAndCsr(identity);
  const text = openssl(['req', '-inform', 'DER', '-noout', '-text', '-verify'], csrDer);
  assert.match(text, new RegExp(`Subject Alternative Name: critical\\s+DNS:${identity}\\n`));
  assert.match(text, /Subject: *\n/);
  assert.match(text, /ASN1 OID: prime256v1/);
});

test('a request made by openssl is read', { skip: !hasOpenssl }, () => {
  const made = execFileSync(
    'sh',
    [
      '-c',
      `openssl ecparam -name prime256v1 -genkey -noout | openssl req -new -key /dev/stdin -subj /CN=${identity} ` +
        `-addext "subjectAltName=DNS:${identity},IP:10.0.0.1" -outform DER`,
    ],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const parsed = parseCsr(made);
  assert.ok('spki' in parsed, JSON.stringify(parsed));
  assert.equal(parsed.commonName, identity);
  assert.deepEqual(
    parsed.names.map(({ form }) => form),
    ['dns', 'ip'],
  );
});

test('property: no change of one byte and no cut is accepted, and nothing throws', async () => {
  const { csrDer } = await createKeyAndCsr(identity);
  fc.assert(
    fc.property(fc.nat(csrDer.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const changed = Buffer.from(csrDer);
      changed[at] = (changed[at] ?? 0) ^ flip;
      assert.ok('fault' in parseCsr(changed));
      assert.ok('fault' in parseCsr(csrDer.subarray(0, at)));
    }),
    { numRuns: 400 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => 'fault' in parseCsr(Buffer.from(bytes))),
  );
});
