import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import test from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
import {
  distinguishedName,
  type Extension,
  extension,
  writeCertificate,
} from '@mesh/trust/certificate-writer';
import { derGeneralName, type GeneralName } from '@mesh/trust/general-names';
import { toPem } from '@mesh/trust/pem';
import { type Authority, createAnchor, createIssuer } from './authority.ts';
import { issuerRemedy, type IssuerFaultReason, type IssuerPems, verifyIssuer } from './issuer-check.ts';
import { issuerConstraints } from './issuer-constraints.ts';

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

interface Custom {
  constraints?: readonly GeneralName[] | undefined;
  critical?: boolean;
  pathLength?: number | undefined;
  ca?: boolean;
  more?: readonly Extension[];
}

/** What a CA of one's own may have signed; by default exactly what is demanded. */
function custom(shape: Custom = {}): Partial<IssuerPems> {
  const { ca = true, critical = true, more = [] } = shape;
  const constraints = 'constraints' in shape ? shape.constraints : issuerConstraints('east.mesh.local');
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const certificate = writeCertificate({
    serial: Buffer.from([1]),
    issuer: anchor.certificate.subject,
    subject: distinguishedName('custom'),
    notBefore: clock.wall() - 1000,
    notAfter: clock.wall() + 1_000_000,
    spki: publicKey.export({ type: 'spki', format: 'der' }),
    extensions: [
      extension.basicConstraints(ca, ca ? ('pathLength' in shape ? shape.pathLength : 0) : undefined),
      extension.keyUsage('sign'),
      ...(constraints === undefined
        ? []
        : [{ ...extension.nameConstraints(constraints.map(derGeneralName)), critical }]),
      ...more,
    ],
    signingKey: anchor.key,
  });
  return {
    certificatePem: toPem(certificate),
    keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** The constraints of a cluster with other DNS bases. */
const permitting = (...domains: string[]): GeneralName[] => [
  ...domains.map((domain): GeneralName => ({ form: 'dns', value: Buffer.from(domain) })),
  ...issuerConstraints('east.mesh.local').filter(({ form }) => form !== 'dns'),
];
const without = (form: GeneralName['form']): GeneralName[] =>
  issuerConstraints('east.mesh.local').filter((base) => base.form !== form);

test('an issuer of another CA is accepted when it is constrained as ours are', () => {
  for (const given of [custom(), custom({ constraints: permitting('.east.mesh.local') })]) {
    const loaded = verifyIssuer(pems(given), { cluster: 'east', now: clock.wall() });
    assert.ok('chainPem' in loaded, JSON.stringify(loaded));
  }
});

test('the issuer of the cluster is accepted, also beside a second anchor', () => {
  for (const anchorsPem of [anchor.certificatePem, otherAnchor.certificatePem + anchor.certificatePem]) {
    const loaded = verifyIssuer(pems({ anchorsPem }), { cluster: 'east', now: clock.wall() });
    assert.ok('chainPem' in loaded, JSON.stringify(loaded));
    assert.equal(loaded.chainPem, east.certificatePem);
  }
});

const year = 365 * 86_400_000;

test('an issuer lasts as long as what is above it', () => {
  const notAfter = clock.wall() + 60_000;
  const short = writeCertificate({
    serial: Buffer.from([3]),
    issuer: anchor.certificate.subject,
    subject: anchor.certificate.subject,
    notBefore: clock.wall() - 1000,
    notAfter,
    spki: anchor.certificate.spki,
    extensions: [extension.basicConstraints(true), extension.keyUsage('sign')],
    signingKey: anchor.key,
  });
  for (const [anchorsPem, until] of [
    [anchor.certificatePem, east.certificate.notAfter],
    [toPem(short), notAfter],
    [toPem(short) + anchor.certificatePem, east.certificate.notAfter],
  ] as const) {
    const loaded = verifyIssuer(pems({ anchorsPem }), { cluster: 'east', now: clock.wall() });
    assert.ok('chainPem' in loaded, JSON.stringify(loaded));
    assert.equal(loaded.notAfter, until);
  }
});

test('the issuer stays fit when its anchor was issued anew for the same key, and the former one has expired', () => {
  const { certificate, key } = anchor;
  const renewed = writeCertificate({
    serial: Buffer.from([2]),
    issuer: certificate.subject,
    subject: certificate.subject,
    notBefore: clock.wall() - 1000,
    notAfter: clock.wall() + 20 * year,
    spki: certificate.spki,
    extensions: [extension.basicConstraints(true), extension.keyUsage('sign')],
    signingKey: key,
  });
  const now = clock.wall() + 10 * year + 60_000;
  assert.ok(now > certificate.notAfter);
  const issuer = createIssuer({
    anchor: { ...anchor, certificate: { ...certificate, notAfter: now + year } },
    cluster: 'east',
    clock,
    lifetimeMs: 11 * year,
  });
  const loaded = verifyIssuer(
    {
      certificatePem: issuer.certificatePem,
      keyPem: keyPemOf(issuer),
      anchorsPem: anchor.certificatePem + toPem(renewed),
    },
    { cluster: 'east', now },
  );
  assert.ok('chainPem' in loaded, JSON.stringify(loaded));
});
const faults: readonly (readonly [IssuerFaultReason, IssuerPems, number?])[] = [
  ['no-certificate', pems({ certificatePem: '' })],
  ['no-anchor', pems({ anchorsPem: 'none' })],
  ['unusable-key', pems({ keyPem: 'none' })],
  ['key-mismatch', pems({ keyPem: keyPemOf(anchor) })],
  ['foreign-anchor', pems({ anchorsPem: otherAnchor.certificatePem })],
  ['expired', pems(), year + 1000],
  ['not-yet-valid', pems(), -60_000],
  ['not-a-ca', pems(custom({ ca: false }))],
  ['path-length', pems(custom({ pathLength: 1 }))],
  ['path-length', pems(custom({ pathLength: undefined }))],
  [
    'unknown-critical',
    pems(custom({ more: [{ oid: '1.2.3.4', critical: true, value: Buffer.from([5, 0]) }] })),
  ],
  ['not-constrained', pems(custom({ constraints: undefined }))],
  ['not-constrained', pems(custom({ critical: false }))],
  ['not-constrained', pems(custom({ constraints: permitting('mesh.local') }))],
  ['not-constrained', pems(custom({ constraints: permitting('east.mesh.local', 'west.mesh.local') }))],
  ['not-constrained', pems(custom({ constraints: without('uri') }))],
  ['not-constrained', pems(custom({ constraints: without('email') }))],
  ['not-constrained', pems(custom({ constraints: without('ip') }))],
  ['wrong-domain', pems(custom({ constraints: permitting('west.mesh.local') }))],
  ['wrong-domain', pems(custom({ constraints: permitting('st.mesh.local') }))],
];

for (const [fault, given, later = 0] of faults) {
  test(`refused as ${fault}`, () => {
    const result = verifyIssuer(given, { cluster: 'east', now: clock.wall() + later });
    assert.ok('fault' in result, 'was accepted');
    assert.equal(result.fault, fault, result.detail);
    assert.doesNotMatch(result.detail, /PRIVATE KEY/);
    assert.match(issuerRemedy(result.fault, 'east'), /^[A-Z].{20}/);
  });
}
