import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import test from 'node:test';
import { distinguishedName } from '@mesh/trust/certificate-writer';
import { createKeyAndCsr } from '@mesh/trust/csr';
import {
  contextTag,
  der,
  derBitString,
  derBoolean,
  derInteger,
  derOid,
  derSequence,
  tags,
} from '@mesh/trust/der';
import { derDnsName } from '@mesh/trust/general-names';
import { identityName } from '@mesh/trust/names';
import { oids } from '@mesh/trust/oids';
import { checkCsr, maxCsrBytes } from './signing-request.ts';

const identity = identityName({ serviceAccount: 'cart', namespace: 'shop', cluster: 'east' });
const other = identityName({ serviceAccount: 'admin', namespace: 'shop', cluster: 'east' });

interface Forged {
  names?: readonly Buffer[];
  subject?: Buffer;
  key?: KeyObject;
  signedWith?: KeyObject;
  algorithm?: string;
  more?: readonly Buffer[];
  version?: number;
}

const p256 = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
const publicOf = (key: KeyObject): Buffer => createPublicKey(key).export({ type: 'spki', format: 'der' });

function forgeCsr(options: Forged = {}): Buffer {
  const key = options.key ?? p256();
  const names = options.names ?? [derDnsName(identity)];
  const extension = derSequence(derOid(oids.subjectAltName), der(tags.octetString, derSequence(...names)));
  const extensions = names.length === 0 ? [] : [extension];
  const attribute = derSequence(
    derOid(oids.extensionRequest),
    der(tags.set, derSequence(...extensions, ...(options.more ?? []))),
  );
  const info = derSequence(
    derInteger(Buffer.from([options.version ?? 0])),
    options.subject ?? distinguishedName(),
    publicOf(key),
    der(contextTag(0, true), attribute),
  );
  const signature = sign('sha256', info, options.signedWith ?? key);
  return derSequence(
    info,
    derSequence(derOid(options.algorithm ?? oids.ecdsaWithSha256)),
    derBitString(signature),
  );
}

test('a request made by the mesh is accepted', async () => {
  const { csrDer } = await createKeyAndCsr(identity);
  const checked = checkCsr(csrDer, identity);
  assert.ok('spki' in checked, JSON.stringify(checked));
});

test('a common name equal to the identity is accepted', () => {
  assert.ok('spki' in checkCsr(forgeCsr({ subject: distinguishedName(identity) }), identity));
});

test('requested extensions other than names are ignored, not granted', () => {
  const ca = derSequence(
    derOid(oids.basicConstraints),
    derBoolean(true),
    der(tags.octetString, derSequence(derBoolean(true))),
  );
  const checked = checkCsr(forgeCsr({ more: [ca] }), identity);
  assert.deepEqual(Object.keys(checked), ['spki']);
});

const refusals: readonly (readonly [what: string, csr: Buffer, fault: RegExp])[] = [
  ['empty', Buffer.alloc(0), /not a PKCS #10/],
  ['text', Buffer.from('-----BEGIN CERTIFICATE REQUEST-----'), /not a PKCS #10/],
  ['trailing bytes', Buffer.concat([forgeCsr(), Buffer.from([0])]), /not a PKCS #10/],
  ['too large', Buffer.alloc(maxCsrBytes + 1, 0x30), /4097 bytes/],
  ['no name', forgeCsr({ names: [] }), /names nobody/],
  ['another identity', forgeCsr({ names: [derDnsName(other)] }), /is for dns:admin/],
  ['a second DNS name', forgeCsr({ names: [derDnsName(identity), derDnsName(other)] }), /2 names/],
  ['the same name twice', forgeCsr({ names: [derDnsName(identity), derDnsName(identity)] }), /2 names/],
  [
    'a URI beside the name',
    forgeCsr({ names: [derDnsName(identity), der(contextTag(6, false), Buffer.from('spiffe://x'))] }),
    /2 names/,
  ],
  ['a URI only', forgeCsr({ names: [der(contextTag(6, false), Buffer.from(identity))] }), /is for uri:/],
  [
    'an IP only',
    forgeCsr({ names: [der(contextTag(7, false), Buffer.from([10, 0, 0, 1]))] }),
    /is for ip:10\.0\.0\.1/,
  ],
  ['upper case', forgeCsr({ names: [derDnsName(identity.toUpperCase())] }), /is for dns:/],
  ['trailing dot', forgeCsr({ names: [derDnsName(`${identity}.`)] }), /is for dns:/],
  [
    'wildcard',
    forgeCsr({ names: [derDnsName(`*.${identity.slice(identity.indexOf('.') + 1)}`)] }),
    /is for dns:\*/,
  ],
  ['NUL in the name', forgeCsr({ names: [derDnsName(`${identity}\0.evil`)] }), /is for dns:/],
  ['another common name', forgeCsr({ subject: distinguishedName(other) }), /common name/],
  [
    'an organisation in the subject',
    forgeCsr({
      subject: derSequence(
        der(tags.set, derSequence(derOid('2.5.4.10'), der(tags.utf8String, Buffer.from('system:masters')))),
      ),
    }),
    /common name only/,
  ],
  ['signed with another key', forgeCsr({ signedWith: p256() }), /possession/],
  [
    'RSA key',
    forgeCsr({ key: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey }),
    /not a P-256 key/,
  ],
  [
    'P-384 key',
    forgeCsr({ key: generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).privateKey }),
    /not a P-256 key/,
  ],
  [
    'secp256k1 key',
    forgeCsr({ key: generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey }),
    /not a P-256/,
  ],
  ['another algorithm named', forgeCsr({ algorithm: '1.2.840.10045.4.3.3' }), /not ecdsa-with-SHA256/],
  ['another version', forgeCsr({ version: 1 }), /incomplete request/],
  [
    'name extension twice',
    forgeCsr({
      more: [derSequence(derOid(oids.subjectAltName), der(tags.octetString, derSequence(derDnsName(other))))],
    }),
    /2 names/,
  ],
];

for (const [what, csr, fault] of refusals) {
  test(`refused: ${what}`, () => {
    const checked = checkCsr(csr, identity);
    assert.ok('fault' in checked, 'was accepted');
    assert.match(checked.fault, fault);
  });
}
