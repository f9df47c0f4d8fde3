import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { isFault, parseCertificate } from './certificate.ts';
import { extension } from './certificate-writer.ts';
import { type ChainCheck, checkChain, checkVerifiedLeaf, parseAnchors } from './chain.ts';
import { contextTag, der, derSequence } from './der.ts';
import {
  type Forged,
  forge,
  forgeAnchor,
  forgeIssuer,
  forgeLeaf,
  generalName,
  identityOf,
  leafUsages,
} from './forgery.ts';
import { oids } from './oids.ts';
import { certificateDers, fingerprint, splitPem, toPem } from './pem.ts';

const hour = 3_600_000;
const anchor = forgeAnchor();
const east = forgeIssuer(anchor, 'east');
const identity = identityOf('cart', 'east');
const dns = generalName.dns(identity);
const leaf = forgeLeaf(east, [dns]);

function check(chain: readonly Forged[], overrides: Partial<ChainCheck> = {}): string {
  const verdict = checkChain({
    chain: chain.map(({ der: bytes }) => bytes),
    anchors: parseAnchors(toPem(anchor.der)),
    now: Date.now(),
    role: 'client',
    ...overrides,
  });
  return 'refused' in verdict ? verdict.refused : verdict.peer.name;
}

test('the identity, whatever the order of the intermediates and with the anchor sent or not', () => {
  const middle = forge({
    by: anchor,
    commonName: 'middle',
    extensions: [extension.basicConstraints(true, 1), extension.keyUsage('sign')],
  });
  const issuer = forgeIssuer(middle, 'east');
  const low = forgeLeaf(issuer, [dns]);
  for (const rest of [
    [issuer, middle],
    [middle, issuer],
    [anchor, middle, issuer],
    [east, issuer, middle],
  ]) {
    assert.equal(check([low, ...rest]), identity);
  }
  assert.equal(check([low, issuer]), 'foreign-anchor');
});

test('either of two anchors is enough, also when both have one name', () => {
  const twin = forgeAnchor();
  const both = parseAnchors(toPem(twin.der) + toPem(anchor.der));
  assert.equal(check([leaf, east], { anchors: both }), identity);
  const twinEast = forgeIssuer(twin, 'east');
  assert.equal(check([forgeLeaf(twinEast, [dns]), twinEast], { anchors: both }), identity);
});

test('an anchor that was issued anew for the same key takes the place of the former one at its end', () => {
  const now = Date.now();
  const former = forgeAnchor('renewed', { notAfter: now + 1000 });
  const renewed = forgeAnchor('renewed', { keyOf: former });
  const issuer = forgeIssuer(former, 'east');
  const chain = [forgeLeaf(issuer, [dns]), issuer];
  for (const order of [
    [former, renewed],
    [renewed, former],
  ]) {
    const anchors = parseAnchors(order.map(({ der: bytes }) => toPem(bytes)).join(''));
    const verdict = checkChain({
      chain: chain.map(({ der: bytes }) => bytes),
      anchors,
      now,
      role: 'client',
    });
    assert.ok('peer' in verdict && verdict.notAfter > now + 1000, 'it lasts as long as the newer one');
    assert.equal(check(chain, { anchors, now: now + 2000 }), identity);
  }
  // What is known of a chain is of the former while only that is valid.
  const later = forgeAnchor('renewed', { keyOf: former, notBefore: now + 500 });
  const anchors = parseAnchors(toPem(former.der) + toPem(later.der));
  assert.equal(check(chain, { anchors, now }), identity);
  assert.equal(check(chain, { anchors, now: now + 2000 }), identity);
  // An anchor is not passed by for a certificate of its key that leads elsewhere.
  const cross = forge({
    by: forgeAnchor('elsewhere'),
    keyOf: former,
    commonName: 'renewed',
    notAfter: now + 2 * hour,
    extensions: [extension.basicConstraints(true), extension.keyUsage('sign')],
  });
  assert.equal(check([...chain, cross], { anchors: parseAnchors(toPem(renewed.der)) }), identity);
});

test('name constraints are enforced here too, for permitted and excluded names and at every level', () => {
  const constrained = (permitted: Buffer[]): Forged =>
    forgeIssuer(anchor, 'east', {
      extensions: [
        extension.basicConstraints(true, 0),
        extension.keyUsage('sign'),
        extension.nameConstraints(permitted),
      ],
    });
  const excluding = forgeIssuer(anchor, 'east', {
    extensions: [
      extension.basicConstraints(true, 0),
      extension.keyUsage('sign'),
      {
        oid: oids.nameConstraints,
        critical: true,
        value: derSequence(
          der(
            contextTag(1, true),
            derSequence(generalName.dns('shop.serviceaccount.identity.mesh.east.mesh.local')),
          ),
        ),
      },
    ],
  });
  const verdictBelow = (issuer: Forged): string => check([forgeLeaf(issuer, [dns]), issuer]);
  assert.equal(verdictBelow(constrained([generalName.dns('east.mesh.local')])), identity);
  assert.equal(verdictBelow(constrained([generalName.dns('EAST.mesh.local')])), identity);
  assert.equal(verdictBelow(constrained([generalName.dns('.east.mesh.local')])), identity);
  assert.equal(verdictBelow(constrained([generalName.dns('west.mesh.local')])), 'outside-name-constraints');
  assert.equal(verdictBelow(constrained([generalName.dns('ast.mesh.local')])), 'outside-name-constraints');
  assert.equal(
    verdictBelow(constrained([generalName.dns('west.mesh.local'), generalName.dns('east.mesh.local')])),
    identity,
  );
  assert.equal(verdictBelow(excluding), 'outside-name-constraints');

  const narrow = forge({
    by: anchor,
    commonName: 'narrow',
    extensions: [
      extension.basicConstraints(true, 1),
      extension.keyUsage('sign'),
      extension.nameConstraints([generalName.dns('west.mesh.local')]),
    ],
  });
  const under = forgeIssuer(narrow, 'east');
  assert.equal(check([forgeLeaf(under, [dns]), under, narrow]), 'outside-name-constraints');
});

test('validity is judged by the injected clock, for every certificate of the path', () => {
  assert.equal(check([leaf, east], { now: Date.now() + 2 * hour }), 'expired');
  assert.equal(check([leaf, east], { now: Date.now() - 2 * hour }), 'not-yet-valid');
  const old = forgeIssuer(anchor, 'east', { notAfter: Date.now() - 1000 });
  assert.equal(check([forgeLeaf(old, [dns]), old]), 'expired');
  const oldAnchor = forgeAnchor('old', { notAfter: Date.now() - 1000 });
  const below = forgeIssuer(oldAnchor, 'east');
  assert.equal(
    check([forgeLeaf(below, [dns]), below], { anchors: parseAnchors(toPem(oldAnchor.der)) }),
    'expired',
  );
});

test('a chain that is known is judged anew by date, side and anchors', () => {
  const anchors = parseAnchors(toPem(anchor.der));
  const again = (overrides: Partial<ChainCheck>): string => check([leaf, east], { anchors, ...overrides });
  assert.equal(again({}), identity);
  assert.equal(again({}), identity);
  assert.equal(again({ now: Date.now() + 2 * hour }), 'expired');
  assert.equal(again({ suffix: 'other.local' }), 'unknown-domain');
  assert.equal(again({ anchors: parseAnchors(toPem(forgeAnchor('other').der)) }), 'foreign-anchor');
  const client = forgeLeaf(east, [], {
    extensions: [
      extension.keyUsage('tls'),
      extension.extendedKeyUsage([oids.clientAuth]),
      extension.subjectAltName([dns]),
    ],
  });
  assert.equal(check([client, east], { anchors }), identity);
  assert.equal(check([client, east], { anchors, role: 'server' }), 'wrong-usage');
});

test('weak keys and signatures, too many certificates, rubbish', () => {
  assert.equal(check([]), 'no-certificate');
  assert.equal(check([leaf, east, east, east, east, east, east]), 'path-too-long');
  assert.equal(check([forgeLeaf(east, [dns], { keyType: 'rsa-1024' }), east]), 'weak-key');
  assert.equal(check([forgeLeaf(east, [dns], { keyType: 'secp256k1' }), east]), 'weak-key');
  assert.equal(check([{ ...leaf, der: Buffer.from('rubbish') }, east]), 'malformed-certificate');
});

test('usages are per side of the connection', () => {
  const clientOnly = forgeLeaf(east, [], {
    extensions: [
      extension.keyUsage('tls'),
      extension.extendedKeyUsage([oids.clientAuth]),
      extension.subjectAltName([dns]),
    ],
  });
  assert.equal(check([clientOnly, east], { role: 'client' }), identity);
  assert.equal(check([clientOnly, east], { role: 'server' }), 'wrong-usage');
  const noUsage = forgeLeaf(east, [], { extensions: [extension.subjectAltName([dns])] });
  assert.equal(check([noUsage, east]), 'wrong-usage');
});

test('another suffix is another mesh', () => {
  assert.equal(check([leaf, east], { suffix: 'corp.example' }), 'unknown-domain');
});

test('a leaf that OpenSSL verified is still judged by itself', () => {
  const judge = (judged: Forged): string => {
    const verdict = checkVerifiedLeaf({
      leaf: judged.der,
      now: Date.now(),
      role: 'client',
      suffix: undefined,
    });
    return 'refused' in verdict ? verdict.refused : verdict.peer.name;
  };
  assert.equal(judge(leaf), identity);
  assert.equal(judge(forgeLeaf(east, [])), 'no-name');
  assert.equal(judge(forgeLeaf(east, [dns, dns])), 'several-names');
  assert.equal(judge(forgeLeaf(east, [dns], { notAfter: Date.now() - 1000 })), 'expired');
  assert.equal(
    judge(
      forge({
        by: east,
        extensions: [extension.basicConstraints(true), ...leafUsages, extension.subjectAltName([dns])],
      }),
    ),
    'ca-as-leaf',
  );
});

test('property: no changed byte of the leaf is accepted as another or the same identity, and nothing throws', () => {
  fc.assert(
    fc.property(fc.nat(leaf.der.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const changed = Buffer.from(leaf.der);
      changed[at] = (changed[at] ?? 0) ^ flip;
      assert.ok(!check([{ ...leaf, der: changed }, east]).includes('.'));
    }),
    { numRuns: 600 },
  );
});

test('property: certificate parsing never throws and refuses every cut', () => {
  for (const { der: bytes } of [anchor, east, leaf]) {
    for (let length = 0; length < bytes.length; length++) {
      assert.ok(isFault(parseCertificate(bytes.subarray(0, length))));
    }
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => isFault(parseCertificate(Buffer.from(bytes)))),
  );
});

test('PEM: blocks among text, fingerprints', () => {
  const text = `# east\n${toPem(east.der)}\r\nnoise\n${toPem(anchor.der)}`;
  assert.deepEqual(certificateDers(text), [east.der, anchor.der]);
  assert.deepEqual(splitPem(text), [toPem(east.der), toPem(anchor.der)]);
  assert.match(fingerprint(text) ?? '', /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
  assert.equal(fingerprint(text), fingerprint(toPem(east.der)));
  assert.equal(fingerprint('nothing'), undefined);
});
