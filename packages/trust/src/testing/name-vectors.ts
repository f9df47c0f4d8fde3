/** Certificates that differ in the names they carry. */
import { extension } from '../certificate-writer.ts';
import { contextTag, der, derOid, derSequence, tags } from '../der.ts';
import { forgeLeaf, generalName, leafUsages } from '../forgery.ts';
import { oids } from '../oids.ts';
import { accepted, east, free, identity, type Vector } from './certificate-vector.ts';

const dns = generalName.dns(identity);
const suffix = '.shop.serviceaccount.identity.mesh.east.mesh.local';

/** One name of each form of GeneralName (RFC 5280 §4.2.1.6), with the identity as its text where it has text. */
const forms: readonly (readonly [what: string, name: Buffer])[] = [
  ['URI', generalName.uri(identity)],
  ['SPIFFE URI', generalName.uri('spiffe://east.mesh.local/ns/shop/sa/cart')],
  ['email', generalName.email(identity)],
  ['email address', generalName.email(`cart@${identity}`)],
  ['IPv4 address', generalName.ip(10, 0, 0, 1)],
  ['IPv6 address', generalName.ip(...Buffer.alloc(16, 1))],
  [
    'otherName',
    der(
      contextTag(0, true),
      derOid('1.3.6.1.4.1.311.20.2.3'),
      der(contextTag(0, true), der(tags.utf8String, Buffer.from(identity))),
    ),
  ],
  ['registeredID', der(contextTag(8, false), Buffer.from('2a0304', 'hex'))],
  [
    'directoryName',
    der(
      contextTag(4, true),
      derSequence(
        der(tags.set, derSequence(derOid(oids.commonName), der(tags.utf8String, Buffer.from(identity)))),
      ),
    ),
  ],
];

const onlyOtherForms: readonly Vector[] = forms.flatMap(([what, name]) =>
  [east, free].map((issuer) => ({
    what: `${what} alone, ${issuer === east ? 'constrained issuer' : 'unconstrained issuer'}`,
    chain: [forgeLeaf(issuer, [name]), issuer],
    expect: 'wrong-name-type' as const,
  })),
);

const several: readonly Vector[] = [
  ...forms.flatMap(([what, name]) => [
    { what: `the identity, then ${what}`, chain: [forgeLeaf(east, [dns, name]), east] },
    { what: `${what}, then the identity`, chain: [forgeLeaf(east, [name, dns]), east] },
  ]),
  { what: 'the identity twice', chain: [forgeLeaf(east, [dns, dns]), east] },
  {
    what: 'the identity and an empty DNS name',
    chain: [forgeLeaf(free, [dns, generalName.dns('')]), free],
  },
  {
    what: 'two identities of one cluster',
    chain: [forgeLeaf(east, [dns, generalName.dns(`payments${suffix}`)]), east],
  },
  {
    what: 'identities of two clusters',
    chain: [forgeLeaf(free, [dns, generalName.dns(identity.replace('.east.', '.west.'))]), free],
  },
  {
    what: 'a hundred names',
    chain: [
      forgeLeaf(
        east,
        Array.from({ length: 100 }, (_, at) => generalName.dns(`n${at}${suffix}`)),
      ),
      east,
    ],
  },
].map((vector) => ({ ...vector, expect: 'several-names' as const }));

const labels = identity.split('.');

const wildcards: readonly Vector[] = [
  '*',
  '*.*',
  'c*rt',
  ...labels.map((_, at) => labels.map((label, index) => (index === at ? '*' : label)).join('.')),
  `c*${suffix}`,
  `*t${suffix}`,
  `*.cart${suffix}`,
  `\u0000*${suffix}`,
].map((name) => ({
  what: `wildcard ${JSON.stringify(name)}`,
  chain: [forgeLeaf(free, [generalName.dns(name)]), free],
  expect: 'wildcard-name' as const,
}));

const notOneName: readonly string[] = [
  '',
  '.',
  `${identity}.`,
  `${identity}..`,
  `.${identity}`,
  `cart.${suffix}`,
  `${identity}\0`,
  `\0${identity}`,
  `cart\0.evil.example${suffix}`,
  `${identity}\0.evil.example`,
  `evil.example\0${identity}`,
  `${identity} `,
  ` ${identity}`,
  `cart shop${suffix}`,
  `${identity}\n`,
  `${identity}\r\n`,
  `${identity}\t`,
  `ca_rt${suffix}`,
  `-cart${suffix}`,
  `cart-${suffix}`,
  `ca/rt${suffix}`,
  `${identity}/`,
  `${identity}:443`,
  `https://${identity}`,
  `cart%2e${suffix}`,
  `cart@shop${suffix}`,
  `c\u00e4rt${suffix}`,
  `cart\u00ff${suffix}`,
  `cart\u007f${suffix}`,
  `"cart"${suffix}`,
  `cart,${identity}`,
  `cart;${identity}`,
  `cart\\${suffix}`,
  `[cart]${suffix}`,
  `ca+rt${suffix}`,
  `ca=rt${suffix}`,
  `ca#rt${suffix}`,
  `ca?rt${suffix}`,
  `ca!rt${suffix}`,
  `ca~rt${suffix}`,
  `${'a'.repeat(64)}${suffix}`,
  `${'a.'.repeat(120)}${identity}`,
];

const malformed: readonly Vector[] = notOneName.map((name) => ({
  what: `DNS name ${JSON.stringify(name.slice(0, 80))}`,
  chain: [forgeLeaf(free, [generalName.dns(name)]), free],
  expect: 'malformed-name' as const,
}));

const spelled: readonly Vector[] = [
  ...labels.map((_, at) =>
    labels.map((label, index) => (index === at ? label.toUpperCase() : label)).join('.'),
  ),
  identity.toUpperCase(),
].map((name) => ({
  what: `upper case in ${name}`,
  chain: [forgeLeaf(free, [generalName.dns(name)]), free],
  expect: accepted,
}));

/** Names that look alike but are other names: each is only itself. */
const lookAlikes: readonly Vector[] = ['car', 'carts', 'xn--cart-9qa', 'c4rt', '0', 'ca--rt', 'c-a-r-t'].map(
  (serviceAccount) => ({
    what: `ServiceAccount ${serviceAccount}`,
    chain: [forgeLeaf(east, [generalName.dns(`${serviceAccount}${suffix}`)]), east],
    expect: { accepted: `${serviceAccount}${suffix}` },
  }),
);

const noIdentity: readonly string[] = [
  'east.mesh.local',
  'mesh.local',
  'local',
  'cart',
  'cart.shop',
  'cart.shop.svc.cluster.local',
  '10.0.0.1',
  identity.slice(identity.indexOf('.') + 1),
  `more.${identity}`,
  `${identity}.evil.example`,
  `${identity}local`,
  identity.replace('.mesh.local', '.mesh.loca'),
  identity.replace('.mesh.local', '.mesh.example'),
  identity.replace('.mesh.local', 'mesh.local'),
  identity.replace('.mesh.local', '.evilmesh.local'),
  identity.replace('serviceaccount', 'serviceaccounts'),
  identity.replace('serviceaccount', 'user'),
  identity.replace('identity', 'identities'),
  identity.replace('identity.mesh', 'mesh.identity'),
  identity.replace('identity.mesh', 'identity.linkerd'),
  identity.replace('identity.mesh', 'identity.mesh.extra'),
  identity.replace('east', 'a'.repeat(21)),
  identity.replace('east', 'east.east'),
  'serviceaccount.identity.mesh.east.mesh.local',
];

const foreign: readonly Vector[] = [
  ...noIdentity.map((name) => ({
    what: `no identity: ${name}`,
    chain: [forgeLeaf(free, [generalName.dns(name)]), free],
    expect: 'unknown-domain' as const,
  })),
  ...['west', 'eas', 'eastt', 'xeast', 'north-east'].map((cluster) => ({
    what: `east's issuer names a workload of ${cluster}`,
    chain: [forgeLeaf(east, [generalName.dns(identity.replace('.east.', `.${cluster}.`))]), east],
    expect: 'outside-name-constraints' as const,
  })),
];

function withSan(value: Buffer, what: string, expect: Vector['expect'], commonName = identity): Vector {
  return {
    what,
    chain: [
      forgeLeaf(free, [], {
        commonName,
        extensions: [...leafUsages, { oid: oids.subjectAltName, critical: true, value }],
      }),
      free,
    ],
    expect,
  };
}

const sanEncodings: readonly Vector[] = [
  {
    what: 'no SAN: the common name counts for nothing',
    chain: [forgeLeaf(east, [], { commonName: identity }), east],
    expect: 'no-name',
  },
  { what: 'no name at all', chain: [forgeLeaf(east, []), east], expect: 'no-name' },
  withSan(derSequence(), 'an empty SAN beside a common name', 'no-name'),
  withSan(derSequence(dns), 'a common name beside the SAN does not matter', accepted, 'somebody else'),
  withSan(Buffer.alloc(0), 'a SAN without a value', 'malformed-certificate'),
  withSan(dns, 'a SAN that is no sequence', 'malformed-certificate'),
  withSan(derSequence(dns, Buffer.from([0x82])), 'a SAN whose last name is cut', 'malformed-certificate'),
  withSan(Buffer.concat([derSequence(dns), dns]), 'bytes behind the SAN', 'malformed-certificate'),
  withSan(der(tags.set, dns), 'a SAN that is a set', 'malformed-certificate'),
  withSan(derSequence(der(tags.utf8String, Buffer.from(identity))), 'a bare string', 'malformed-certificate'),
  withSan(derSequence(der(0x22, Buffer.from(identity))), 'a universal tag', 'malformed-certificate'),
  withSan(
    Buffer.concat([Buffer.from([0x30, 0x80]), dns, Buffer.from([0, 0])]),
    'indefinite length',
    'malformed-certificate',
  ),
  withSan(
    Buffer.concat([Buffer.from([0x30, 0x82, 0x00, dns.length]), dns]),
    'a length with a leading zero byte',
    'malformed-certificate',
  ),
  withSan(
    derSequence(Buffer.concat([Buffer.from([0x82, 0x81, identity.length]), Buffer.from(identity)])),
    'a long length where a short one is due',
    'malformed-certificate',
  ),
  {
    what: 'the SAN extension twice',
    chain: [
      forgeLeaf(free, [], {
        extensions: [
          ...leafUsages,
          extension.subjectAltName([dns]),
          extension.subjectAltName([generalName.dns(`payments${suffix}`)]),
        ],
      }),
      free,
    ],
    expect: 'malformed-certificate',
  },
  {
    what: 'the SAN not critical, as most issuers write it',
    chain: [
      forgeLeaf(free, [], {
        commonName: 'x',
        extensions: [...leafUsages, { ...extension.subjectAltName([dns]), critical: false }],
      }),
      free,
    ],
    expect: accepted,
  },
];

export const nameVectors: readonly Vector[] = [
  { what: 'the plain good one', chain: [forgeLeaf(east, [dns]), east], expect: accepted },
  { what: 'a good one of an unconstrained issuer', chain: [forgeLeaf(free, [dns]), free], expect: accepted },
  ...onlyOtherForms,
  ...several,
  ...wildcards,
  ...malformed,
  ...spelled,
  ...lookAlikes,
  ...foreign,
  ...sanEncodings,
];
