/** Certificates that differ in what their keys are, what they are for, and how they are encoded. */
import { type Extension, extension } from '../certificate-writer.ts';
import {
  contextTag,
  der,
  derBitString,
  derBoolean,
  derInteger,
  derOid,
  derSequence,
  derTime,
  tags,
} from '../der.ts';
import { type Forged, forgeIssuer, forgeLeaf, generalName, type KeyType, leafUsages } from '../forgery.ts';
import { oids } from '../oids.ts';
import {
  accepted,
  anchor,
  east,
  field,
  identity,
  replacing,
  rewrite,
  type Vector,
} from './certificate-vector.ts';

const san = extension.subjectAltName([generalName.dns(identity)]);
const codeSigning = '1.3.6.1.5.5.7.3.3';
const anyUsage = '2.5.29.37.0';
const good = forgeLeaf(east, [generalName.dns(identity)]);

function withExtensions(
  what: string,
  extensions: readonly Extension[],
  expect: Vector['expect'],
  more: Partial<Vector> = {},
): Vector {
  return { what, chain: [forgeLeaf(east, [], { extensions }), east], expect, ...more };
}

/** keyUsage by its bits, first bit digitalSignature. */
const bits = (...bytes: number[]): Extension => ({
  oid: oids.keyUsage,
  critical: true,
  value: derBitString(Buffer.from(bytes)),
});
const tls = extension.keyUsage('tls');
const eku = extension.extendedKeyUsage;

const usages: readonly Vector[] = [
  withExtensions('no extended usage', [tls, san], 'wrong-usage'),
  withExtensions('no usages at all', [san], 'wrong-usage'),
  withExtensions('for servers only, as a client', [tls, eku([oids.serverAuth]), san], 'wrong-usage'),
  withExtensions('for clients only, as a client', [tls, eku([oids.clientAuth]), san], accepted),
  withExtensions('for clients only, as a server', [tls, eku([oids.clientAuth]), san], 'wrong-usage', {
    role: 'server',
  }),
  withExtensions('for servers only, as a server', [tls, eku([oids.serverAuth]), san], accepted, {
    role: 'server',
  }),
  withExtensions('for both, as a server', [...leafUsages, san], accepted, { role: 'server' }),
  withExtensions('for code signing', [tls, eku([codeSigning]), san], 'wrong-usage'),
  withExtensions('for any usage, which is not ours', [tls, eku([anyUsage]), san], 'wrong-usage'),
  withExtensions(
    'for clients among others',
    [tls, eku([codeSigning, anyUsage, oids.clientAuth]), san],
    accepted,
  ),
  withExtensions('an empty list of usages', [tls, eku([]), san], 'wrong-usage', {}),
  withExtensions(
    'extended usage critical',
    [tls, { ...eku([oids.clientAuth]), critical: true }, san],
    accepted,
  ),
  withExtensions('no key usage', [eku([oids.clientAuth]), san], accepted),
  withExtensions(
    'key usage without digitalSignature',
    [bits(0x20), eku([oids.clientAuth]), san],
    'wrong-usage',
  ),
  withExtensions('key usage keyAgreement only', [bits(0x08), eku([oids.clientAuth]), san], 'wrong-usage'),
  withExtensions(
    'key usage with keyEncipherment as well',
    [bits(0xa0), eku([oids.clientAuth]), san],
    accepted,
  ),
  withExtensions(
    'key usage with certificate signing',
    [bits(0x84), eku([oids.clientAuth]), san],
    'ca-as-leaf',
  ),
  withExtensions(
    'an authority as a leaf',
    [extension.basicConstraints(true), ...leafUsages, san],
    'ca-as-leaf',
  ),
  withExtensions(
    'an authority with path length 0 as a leaf',
    [extension.basicConstraints(true, 0), ...leafUsages, san],
    'ca-as-leaf',
  ),
  withExtensions('CA false said', [extension.basicConstraints(false), ...leafUsages, san], accepted),
  { what: 'an issuer as a leaf', chain: [east], expect: 'ca-as-leaf' },
];

const unknown = (critical: boolean): Extension => ({
  oid: '1.3.6.1.4.1.55555.1',
  critical,
  value: Buffer.from('0500', 'hex'),
});
const policies: Extension = {
  oid: oids.certificatePolicies,
  critical: true,
  value: derSequence(derSequence(derOid(anyUsage))),
};

function issuerWith(what: string, more: Extension, expect: Vector['expect']): Vector {
  const issuer = forgeIssuer(anchor, 'east', {
    extensions: [extension.basicConstraints(true, 0), extension.keyUsage('sign'), more],
  });
  return { what, chain: [forgeLeaf(issuer, [generalName.dns(identity)]), issuer], expect };
}

const critical: readonly Vector[] = [
  withExtensions(
    'an unknown critical extension',
    [...leafUsages, san, unknown(true)],
    'unknown-critical-extension',
  ),
  withExtensions('an unknown extension', [...leafUsages, san, unknown(false)], accepted),
  withExtensions('critical policies', [...leafUsages, san, policies], accepted),
  issuerWith('an unknown critical extension of the issuer', unknown(true), 'unknown-critical-extension'),
  issuerWith('an unknown extension of the issuer', unknown(false), accepted),
];

const keyTypes: Readonly<Record<KeyType, Vector['expect']>> = {
  'P-256': accepted,
  'P-384': accepted,
  'P-521': accepted,
  ed25519: accepted,
  'rsa-2048': accepted,
  'rsa-1024': 'weak-key',
  secp256k1: 'weak-key',
  ed448: 'weak-key',
};

const keys: readonly Vector[] = (Object.keys(keyTypes) as KeyType[]).map((keyType) => ({
  what: `key ${keyType}`,
  chain: [forgeLeaf(east, [generalName.dns(identity)], { keyType }), east],
  expect: keyTypes[keyType],
  ...(keyType === 'secp256k1'
    ? { inHandshake: { verdict: 'no-certificate', why: 'TLS 1.3 has no signatures on this curve' } as const }
    : {}),
}));

const algorithms: readonly Vector[] = [
  ['ecdsa-with-SHA1', '1.2.840.10045.4.1', 'weak-signature'],
  ['sha1WithRSA', '1.2.840.113549.1.1.5', 'weak-signature'],
  ['md5WithRSA', '1.2.840.113549.1.1.4', 'weak-signature'],
  ['an unknown algorithm', '1.3.6.1.4.1.55555.2', 'weak-signature'],
  ['ecdsa-with-SHA512 over a SHA-256 signature', '1.2.840.10045.4.3.4', 'bad-signature'],
  ['RSA over an EC signature', '1.2.840.113549.1.1.11', 'bad-signature'],
].map(([what = '', oid = '', expect]) => {
  const algorithm = derSequence(derOid(oid));
  return {
    what: `signature ${what}`,
    chain: [rewrite(good, east.key, replacing(field.algorithm, algorithm), algorithm), east],
    expect: expect as 'weak-signature' | 'bad-signature',
  };
});

const changed = (
  what: string,
  change: (elements: Buffer[]) => Buffer[],
  expect: Vector['expect'],
): Vector => ({
  what,
  chain: [rewrite(good, east.key, change), east],
  expect,
});
const time = (tag: number, text: string): Buffer => der(tag, Buffer.from(text));
const until = (element: Buffer): ((elements: Buffer[]) => Buffer[]) =>
  replacing(field.validity, derSequence(derTime(Date.now() - 3_600_000), element));
const cut = (bytes: Buffer, what: string): Vector => ({
  what,
  chain: [{ ...good, der: bytes }, east],
  expect: 'malformed-certificate',
});
const flipped = (certificate: Forged, fromEnd: number): Forged => {
  const bytes = Buffer.from(certificate.der);
  const at = bytes.length - fromEnd;
  bytes[at] = (bytes[at] ?? 0) ^ 0x01;
  return { ...certificate, der: bytes };
};
const malformed = 'malformed-certificate' as const;

const encodings: readonly Vector[] = [
  changed('version 1', (elements) => elements.slice(1), malformed),
  changed(
    'version 2',
    replacing(field.version, der(contextTag(0, true), derInteger(Buffer.from([1])))),
    malformed,
  ),
  changed(
    'version 4',
    replacing(field.version, der(contextTag(0, true), derInteger(Buffer.from([3])))),
    malformed,
  ),
  changed(
    'two algorithms',
    replacing(field.algorithm, derSequence(derOid('1.2.840.10045.4.3.3'))),
    malformed,
  ),
  changed('no serial', (elements) => elements.filter((_, at) => at !== field.serial), malformed),
  changed('no validity', (elements) => elements.filter((_, at) => at !== field.validity), malformed),
  changed('no key', (elements) => elements.filter((_, at) => at !== field.spki), malformed),
  changed('a key that is none', replacing(field.spki, derSequence()), 'weak-key'),
  changed(
    'something behind the extensions',
    (elements) => [...elements, derInteger(Buffer.from([1]))],
    malformed,
  ),
  changed(
    'extensions twice',
    (elements) => [...elements, elements[field.extensions] ?? Buffer.alloc(0)],
    malformed,
  ),
  changed(
    'extensions that are no sequence',
    replacing(field.extensions, der(contextTag(3, true), derBoolean(true))),
    malformed,
  ),
  changed('month 13', until(time(tags.utcTime, '491301000000Z')), malformed),
  changed('day 0', until(time(tags.utcTime, '490100000000Z')), malformed),
  changed('hour 24', until(time(tags.utcTime, '490101240000Z')), malformed),
  changed('second 60', until(time(tags.utcTime, '490101000060Z')), malformed),
  changed('a time without seconds', until(time(tags.utcTime, '4901010000Z')), malformed),
  changed('a time with an offset', until(time(tags.utcTime, '490101000000+0100')), malformed),
  changed('a time without a zone', until(time(tags.generalizedTime, '20490101000000')), malformed),
  changed('a time with a fraction', until(time(tags.generalizedTime, '20490101000000.5Z')), malformed),
  changed('a time that is a string', until(time(tags.printableString, '490101000000Z')), malformed),
  changed('a time that is empty', until(time(tags.utcTime, '')), malformed),
  changed(
    'three times',
    replacing(field.validity, derSequence(derTime(0), derTime(Date.now()), derTime(Date.now()))),
    malformed,
  ),
  cut(Buffer.alloc(0), 'no bytes'),
  cut(Buffer.from('rubbish'), 'rubbish'),
  cut(good.der.subarray(0, -1), 'the last byte cut'),
  cut(good.der.subarray(0, good.der.length / 2), 'half a certificate'),
  cut(Buffer.concat([good.der, Buffer.from([0])]), 'a byte behind'),
  cut(Buffer.concat([good.der, good.der]), 'two in one'),
  { what: 'a changed bit in the signature', chain: [flipped(good, 2), east], expect: 'bad-signature' },
  {
    what: "a changed bit in the issuer's signature",
    chain: [good, flipped(east, 2)],
    expect: 'bad-signature',
  },
];

export const usageVectors: readonly Vector[] = [...usages, ...critical, ...keys, ...algorithms, ...encodings];
