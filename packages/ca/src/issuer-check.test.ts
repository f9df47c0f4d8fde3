import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import test from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { distinguishedName, extension, writeCertificate } from '@mesh/trust/certificate-writer';
import { derDnsName } from '@mesh/trust/general-names';
import { toPem } from '@mesh/trust/pem';
import { type Authority, createAnchor, createIssuer } from './authority.ts';
import { type IssuerFaultReason, type IssuerPems, verifyIssuer } from './issuer-check.ts';

const clock = new FakeClock();
const anchor = createAnchor({ clock });
const otherAnchor = createAnchor({ clock });
const east = createIssuer({ anchor, cluster: 'east', clock });
const keyPemOf = ({ key }: Authority): string => key.export({ type: 'pkcs8', format: 'pem' }).toString();
const pems = (overrides: Partial<IssuerPems> = {}): IssuerPems => ({
  certificatePem: east.certificatePem,
  keyPem: keyPemOf(east),
  anchorsPem: anchor.certificatePem,
  ...overrides,
});

function issuerPermitting(domains: readonly string[] | undefined): Partial<IssuerPems> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const certificate = writeCertificate({
    serial: Buffer.from([1]),
    issuer: anchor.certificate.subject,
    subject: distinguishedName('custom'),
    notBefore: clock.wall() - 1000,
    notAfter: clock.wall() + 1_000_000,
    spki: publicKey.export({ type: 'spki', format: 'der' }),
    extensions: [
      extension.basicConstraints(true, 0),
      extension.keyUsage('sign'),
      ...(domains === undefined ? [] : [extension.nameConstraints(domains.map(derDnsName))]),
    ],
    signingKey: anchor.key,
  });
  return {
    certificatePem: toPem(certificate),
    keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

test('the issuer of the cluster is accepted, also beside a second anchor', () => {
  for (const anchorsPem of [anchor.certificatePem, otherAnchor.certificatePem + anchor.certificatePem]) {
    const loaded = verifyIssuer(pems({ anchorsPem }), { cluster: 'east', now: clock.wall() });
    assert.ok('chainPem' in loaded, JSON.stringify(loaded));
    assert.equal(loaded.chainPem, east.certificatePem);
  }
});

const year = 365 * 86_400_000;
const faults: readonly (readonly [IssuerFaultReason, IssuerPems, number?])[] = [
  ['no-certificate', pems({ certificatePem: '' })],
  ['no-anchor', pems({ anchorsPem: 'none' })],
  ['unusable-key', pems({ keyPem: 'none' })],
  ['key-mismatch', pems({ keyPem: keyPemOf(anchor) })],
  ['foreign-anchor', pems({ anchorsPem: otherAnchor.certificatePem })],
  ['expired', pems(), year + 1000],
  ['not-yet-valid', pems(), -60_000],
  ['not-constrained', pems(issuerPermitting(undefined))],
  ['not-constrained', pems(issuerPermitting(['mesh.local']))],
  ['not-constrained', pems(issuerPermitting(['east.mesh.local', 'west.mesh.local']))],
  ['wrong-domain', pems(issuerPermitting(['west.mesh.local']))],
  ['wrong-domain', pems(issuerPermitting(['st.mesh.local']))],
];

for (const [fault, given, later = 0] of faults) {
  test(`refused as ${fault}`, () => {
    const result = verifyIssuer(given, { cluster: 'east', now: clock.wall() + later });
    assert.ok('fault' in result, 'was accepted');
    assert.equal(result.fault, fault, result.detail);
    assert.doesNotMatch(result.detail, /PRIVATE KEY/);
  });
}
