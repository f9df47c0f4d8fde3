import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { checkChain, parseAnchors } from '@mesh/trust/chain';
import { identityName } from '@mesh/trust/names';
import { toPem } from '@mesh/trust/pem';
import { createAnchor, createIssuer, signLeaf } from './authority.ts';
import { issueCredentials } from './credentials.ts';
import { verifyIssuer } from './issuer-check.ts';
import { issuerExtensions } from './issuer-constraints.ts';

const hasOpenssl = ((): boolean => {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

const clock = new FakeClock(Date.now());
const anchor = createAnchor({ clock });
const east = createIssuer({ anchor, cluster: 'east', clock });
const identity = identityName({ serviceAccount: 'cart', namespace: 'shop', cluster: 'east' });
const spki = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey.export({
  type: 'spki',
  format: 'der',
});
const leaf = signLeaf({ issuer: east, spki, identity, clock });

test('anchor, issuer and leaf have the stated lifetimes and start 20 s in the past', () => {
  const day = 86_400_000;
  const near = (actual: number, expected: number): void =>
    assert.ok(Math.abs(actual - expected) <= 1000, `${actual} is not about ${expected}`);
  near(anchor.certificate.notAfter, clock.wall() + 3650 * day);
  near(east.certificate.notAfter, clock.wall() + 365 * day);
  near(leaf.notAfter, clock.wall() + day);
  near(east.certificate.notBefore, clock.wall() - 20_000);
});

test('Node reads the leaf: one DNS name, both usages, no authority, verified by the issuer', () => {
  const parsed = new X509Certificate(leaf.der);
  assert.equal(parsed.subjectAltName, `DNS:${identity}`);
  assert.equal(parsed.ca, false);
  assert.deepEqual(parsed.keyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
  assert.equal(parsed.verify(new X509Certificate(east.certificatePem).publicKey), true);
  assert.equal(new X509Certificate(east.certificatePem).ca, true);
  assert.equal(parsed.serialNumber.toLowerCase(), leaf.serial);
});

test('our chain check accepts the leaf', () => {
  const verdict = checkChain({
    chain: [leaf.der, east.certificate.der],
    anchors: parseAnchors(anchor.certificatePem),
    now: clock.wall(),
    role: 'client',
  });
  assert.ok('peer' in verdict, JSON.stringify(verdict));
  assert.equal(verdict.peer.name, identity);
});

test('a leaf ends with its issuer, an issuer with its anchor', () => {
  const shortAnchor = createAnchor({ clock, lifetimeMs: 3_600_000 });
  const issuer = createIssuer({ anchor: shortAnchor, cluster: 'east', clock });
  assert.equal(issuer.certificate.notAfter, shortAnchor.certificate.notAfter);
  assert.equal(signLeaf({ issuer, spki, identity, clock }).notAfter, issuer.certificate.notAfter);
});

test('cluster names that are no short DNS label are refused by name', () => {
  for (const cluster of ['', 'East', 'a.b', '-east', 'x'.repeat(21)]) {
    assert.throws(
      () => createIssuer({ anchor, cluster, clock }),
      (error: Error) => error.message.includes(`"${cluster}"`),
    );
  }
});

test('an expired anchor signs nothing', () => {
  const later = new FakeClock(clock.wall() + 11 * 365 * 86_400_000);
  assert.throws(() => createIssuer({ anchor, cluster: 'east', clock: later }), /expired/);
});

test('serial numbers do not repeat', () => {
  const serials = new Set<string>();
  for (let count = 0; count < 500; count++)
    serials.add(signLeaf({ issuer: east, spki, identity, clock }).serial);
  assert.equal(serials.size, 500);
});

test('openssl verifies the chain and shows the constraints', { skip: !hasOpenssl }, (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-ca-'));
  context.after(() => rmSync(directory, { recursive: true }));
  const write = (name: string, content: string): string => {
    const file = join(directory, name);
    writeFileSync(file, content);
    return file;
  };
  const anchorFile = write('anchor.crt', anchor.certificatePem);
  const issuerFile = write('issuer.crt', east.certificatePem);
  const verify = (leafPem: string): string =>
    execFileSync(
      'openssl',
      [
        'verify',
        '-x509_strict',
        '-purpose',
        'sslclient',
        '-CAfile',
        anchorFile,
        '-untrusted',
        issuerFile,
        write('leaf.crt', leafPem),
      ],
      { encoding: 'utf8', stdio: 'pipe' },
    );
  assert.match(verify(toPem(leaf.der)), /: OK/);
  const foreign = issueCredentials({
    issuer: east,
    anchorsPem: anchor.certificatePem,
    identity: identityName({ serviceAccount: 'cart', namespace: 'shop', cluster: 'west' }),
    clock,
  });
  const [foreignLeaf = ''] = foreign.chainPem.split(/(?<=-----END CERTIFICATE-----\n)/);
  assert.throws(() => verify(foreignLeaf), /permitted subtree violation/);
  const text = execFileSync('openssl', ['x509', '-in', issuerFile, '-noout', '-text'], { encoding: 'utf8' });
  assert.match(
    text,
    /Name Constraints: critical\s+Permitted:\s+DNS:east\.mesh\.local\s+email:none\.invalid\s+URI:none\.invalid\s+IP:0\.0\.0\.0\/255\.255\.255\.255/,
  );
  assert.match(text, /CA:TRUE, pathlen:0/);
});

test('an issuer that openssl makes by our remedy is accepted', { skip: !hasOpenssl }, (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-ca-'));
  context.after(() => rmSync(directory, { recursive: true }));
  const path = (name: string): string => join(directory, name);
  const openssl = (...args: string[]): string =>
    execFileSync('openssl', args, { encoding: 'utf8', stdio: 'pipe' });
  writeFileSync(path('anchor.crt'), anchor.certificatePem);
  writeFileSync(path('anchor.key'), anchor.key.export({ type: 'pkcs8', format: 'pem' }));
  writeFileSync(path('issuer.ext'), issuerExtensions('east.mesh.local').replaceAll('; ', '\n'));
  openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', path('issuer.key'));
  openssl('req', '-new', '-key', path('issuer.key'), '-subj', '/CN=east', '-out', path('issuer.csr'));
  const signer = ['-CA', path('anchor.crt'), '-CAkey', path('anchor.key'), '-set_serial', '7'];
  const certificatePem = openssl(
    ...['x509', '-req', '-in', path('issuer.csr'), '-days', '30', '-extfile', path('issuer.ext'), ...signer],
  );
  const loaded = verifyIssuer(
    { certificatePem, keyPem: readFileSync(path('issuer.key'), 'utf8'), anchorsPem: anchor.certificatePem },
    { cluster: 'east', now: clock.wall() + 5000 },
  );
  assert.ok('chainPem' in loaded, JSON.stringify(loaded));
});
