/** Certificates that differ in who signed them, when, and what the signer may sign. */
import { type Extension, extension } from '../certificate-writer.ts';
import { contextTag, der, derInteger, derSequence } from '../der.ts';
import {
  type Forged,
  forge,
  forgeAnchor,
  type ForgeOptions,
  forgeIssuer,
  forgeLeaf,
  generalName,
  identityOf,
  leafUsages,
} from '../forgery.ts';
import { oids } from '../oids.ts';
import { accepted, anchor, east, free, identity, type Vector } from './certificate-vector.ts';

const dns = generalName.dns(identity);
const second = 1000;
const hour = 3600 * second;
const good = forgeLeaf(east, [dns]);

let authorities = 0;

/** An authority below `by`; `pathLength` undefined sets no limit. */
function authority(
  by: Forged | undefined,
  pathLength?: number,
  overrides: Partial<ForgeOptions> = {},
): Forged {
  return forge({
    ...(by === undefined ? {} : { by }),
    commonName: `authority ${++authorities}`,
    extensions: [extension.basicConstraints(true, pathLength), extension.keyUsage('sign')],
    ...overrides,
  });
}

/** A leaf below authorities with these path lengths, highest first, and the chain that is sent. */
function below(...pathLengths: (number | undefined)[]): Forged[] {
  const above: Forged[] = [];
  for (const length of pathLengths) above.unshift(authority(above[0] ?? anchor, length));
  return [forgeLeaf(above[0] ?? anchor, [dns]), ...above];
}

const lengths: readonly Vector[] = [
  { what: 'straight below the anchor', chain: below(), expect: accepted },
  { what: 'one authority without a limit', chain: below(undefined), expect: accepted },
  { what: 'one authority, limit 0', chain: below(0), expect: accepted },
  { what: 'limit 1 with one below', chain: below(1, 0), expect: accepted },
  { what: 'limit 0 with one below', chain: below(0, 0), expect: 'path-too-long' },
  { what: 'limit 0 with one unlimited below', chain: below(0, undefined), expect: 'path-too-long' },
  { what: 'limit 1 with two below', chain: below(1, 1, 1), expect: 'path-too-long' },
  { what: 'limit 2 with two below', chain: below(2, 1, 0), expect: accepted },
  { what: 'a lower authority that claims more than it has', chain: below(1, 5, 5), expect: 'path-too-long' },
  { what: 'no limits, four authorities', chain: below(...Array(4)), expect: accepted },
  { what: 'no limits, five authorities', chain: below(...Array(5)), expect: accepted },
  {
    what: 'more certificates than are read',
    chain: below(...Array(6)),
    expect: 'path-too-long',
    inHandshake: {
      verdict: 'accepted',
      why: 'OpenSSL has built the path, and Node shows only the leaf of a verified client',
    },
  },
  {
    what: "the anchor's own limit",
    ...(() => {
      const tight = forgeAnchor('tight', {
        extensions: [extension.basicConstraints(true, 0), extension.keyUsage('sign')],
      });
      const issuer = authority(tight);
      return { chain: [forgeLeaf(issuer, [dns]), issuer], anchors: [tight] };
    })(),
    expect: 'path-too-long',
  },
];

const [low, ...rest] = below(2, 1, 0);
const leafOfThree = low as Forged;
const stranger = forgeAnchor('stranger');
const strangersEast = forgeIssuer(stranger, 'east');
const twin = forgeAnchor('test anchor');
const twinsEast = forgeIssuer(twin, 'east');

const firstOfAName = {
  verdict: 'bad-signature',
  why: 'without key identifiers OpenSSL tries only the first issuer of a name',
} as const;

const building: readonly Vector[] = [
  { what: 'intermediates in reverse', chain: [leafOfThree, ...rest.toReversed()], expect: accepted },
  { what: 'the anchor sent along', chain: [good, east, anchor], expect: accepted },
  { what: 'the anchor sent in the middle', chain: [good, anchor, east], expect: accepted },
  { what: 'the leaf sent twice', chain: [good, good, east], expect: accepted },
  { what: 'the issuer sent twice', chain: [good, east, east], expect: accepted },
  {
    what: 'strangers among the intermediates',
    chain: [good, strangersEast, east, stranger],
    expect: accepted,
    inHandshake: firstOfAName,
  },
  { what: 'the issuer left out', chain: [good], expect: 'foreign-anchor' },
  { what: 'an intermediate left out', chain: [leafOfThree, ...rest.slice(0, 2)], expect: 'foreign-anchor' },
  {
    what: 'another anchor',
    chain: [forgeLeaf(strangersEast, [dns]), strangersEast],
    expect: 'foreign-anchor',
  },
  {
    what: 'another anchor, sent along',
    chain: [forgeLeaf(strangersEast, [dns]), strangersEast, stranger],
    expect: 'foreign-anchor',
  },
  {
    what: 'another anchor of the same name',
    chain: [forgeLeaf(twinsEast, [dns]), twinsEast],
    expect: 'bad-signature',
  },
  {
    what: 'another anchor of the same name, believed as well',
    chain: [forgeLeaf(twinsEast, [dns]), twinsEast],
    anchors: [anchor, twin],
    expect: accepted,
    inHandshake: firstOfAName,
  },
  {
    what: 'the second of two anchors',
    chain: [forgeLeaf(strangersEast, [dns]), strangersEast],
    anchors: [anchor, stranger],
    expect: accepted,
  },
  { what: 'an anchor that is gone', chain: [good, east], anchors: [stranger], expect: 'foreign-anchor' },
  {
    what: 'self-signed',
    chain: [forge({ commonName: 'self', extensions: [...leafUsages, extension.subjectAltName([dns])] })],
    expect: 'foreign-anchor',
  },
  {
    what: "signed by a stranger in the issuer's name",
    chain: [forgeLeaf(east, [dns], { signedWith: stranger.key }), east],
    expect: 'bad-signature',
  },
  {
    what: "an issuer signed by a stranger in the anchor's name",
    ...(() => {
      const fake = forgeIssuer(anchor, 'east', { signedWith: stranger.key });
      return { chain: [forgeLeaf(fake, [dns]), fake] };
    })(),
    expect: 'bad-signature',
  },
  {
    what: 'a leaf signed by a leaf',
    chain: [forgeLeaf(good, [dns]), good, east],
    expect: 'not-a-ca',
  },
];

const noConstraints = { oid: oids.basicConstraints, critical: true, value: derSequence() };
const signerKinds: readonly (readonly [what: string, extensions: Extension[], expect: Vector['expect']])[] = [
  ['CA false', [noConstraints, extension.keyUsage('sign')], 'not-a-ca'],
  ['no basicConstraints', [extension.keyUsage('sign')], 'not-a-ca'],
  ['no extension at all', [], 'not-a-ca'],
  [
    'a key that may not sign certificates',
    [extension.basicConstraints(true), extension.keyUsage('tls')],
    'not-a-ca',
  ],
  [
    'basicConstraints not critical',
    [{ ...extension.basicConstraints(true), critical: false }, extension.keyUsage('sign')],
    accepted,
  ],
  ['no key usage', [extension.basicConstraints(true)], accepted],
];

const signers: readonly Vector[] = signerKinds.map(([what, extensions, expect]) => {
  const issuer = authority(anchor, undefined, { extensions });
  return { what: `an issuer with ${what}`, chain: [forgeLeaf(issuer, [dns]), issuer], expect };
});

const nameOf = ['leaf', 'issuer', 'anchor'] as const;

/** A chain of three where one certificate has these times. */
function timed(
  which: (typeof nameOf)[number],
  times: { notBefore?: number; notAfter?: number },
): Pick<Vector, 'chain' | 'anchors'> {
  const at = (name: string): typeof times => (name === which ? times : {});
  const root = forgeAnchor(`timed ${which}`, at('anchor'));
  const issuer = forgeIssuer(root, 'east', at('issuer'));
  return { chain: [forgeLeaf(issuer, [dns], at('leaf')), issuer], anchors: [root] };
}

const now = Date.now();
const validity: readonly Vector[] = nameOf.flatMap((which): Vector[] => [
  {
    what: `${which} expired a minute ago`,
    ...timed(which, { notAfter: now - 60 * second }),
    expect: 'expired',
  },
  {
    what: `${which} expired last year`,
    ...timed(which, { notBefore: now - 10_000 * hour, notAfter: now - 9000 * hour }),
    expect: 'expired',
  },
  {
    what: `${which} starts in a minute`,
    ...timed(which, { notBefore: now + 60 * second }),
    expect: 'not-yet-valid',
  },
  {
    what: `${which} starts next year`,
    ...timed(which, { notBefore: now + 9000 * hour, notAfter: now + 9001 * hour }),
    expect: 'not-yet-valid',
  },
  {
    what: `${which} ends before it starts`,
    ...timed(which, { notBefore: now + hour, notAfter: now - hour }),
    expect: 'expired',
  },
  {
    what: `${which} from 1950 to 2049`,
    ...timed(which, { notBefore: Date.UTC(1950, 0, 1), notAfter: Date.UTC(2049, 11, 31) }),
    expect: accepted,
  },
  {
    what: `${which} until the year 9999`,
    ...timed(which, { notAfter: Date.UTC(9999, 11, 31, 23, 59, 59) }),
    expect: accepted,
  },
  {
    what: `${which} judged two hours later`,
    ...timed(which, { notAfter: now + hour }),
    after: 2 * hour,
    expect: 'expired',
  },
  {
    what: `${which} judged two hours earlier`,
    ...timed(which, { notBefore: now - hour }),
    after: -2 * hour,
    expect: 'not-yet-valid',
  },
]);

interface Constraint {
  /** DNS bases. */
  readonly permitted?: readonly string[];
  readonly excluded?: readonly string[];
}

function constraintsOf({ permitted = [], excluded = [] }: Constraint): Extension {
  const subtrees = (tag: number, bases: readonly string[]): Buffer[] =>
    bases.length === 0
      ? []
      : [der(contextTag(tag, true), ...bases.map((base) => derSequence(generalName.dns(base))))];
  return {
    oid: oids.nameConstraints,
    critical: true,
    value: derSequence(...subtrees(0, permitted), ...subtrees(1, excluded)),
  };
}

const withConstraints = (by: Forged, constraints: Extension, pathLength?: number): Forged =>
  authority(by, pathLength, {
    extensions: [extension.basicConstraints(true, pathLength), extension.keyUsage('sign'), constraints],
  });

/** DNS bases, and whether the identity lies within (RFC 5280 §4.2.1.10). */
const bases: readonly (readonly [base: string, within: boolean])[] = [
  [identity, true],
  [identity.toUpperCase(), true],
  ['shop.serviceaccount.identity.mesh.east.mesh.local', true],
  ['serviceaccount.identity.mesh.east.mesh.local', true],
  ['mesh.east.mesh.local', true],
  ['east.mesh.local', true],
  ['East.Mesh.Local', true],
  ['mesh.local', true],
  ['local', true],
  ['.east.mesh.local', true],
  [`x${identity}`, false],
  [`x.${identity}`, false],
  [identity.slice(1), false],
  ['ast.mesh.local', false],
  ['.ast.mesh.local', false],
  ['west.mesh.local', false],
  ['east.mesh.loca', false],
  ['east.mesh.local.evil', false],
  ['payments.shop.serviceaccount.identity.mesh.east.mesh.local', false],
  ['none.invalid', false],
  ['ocal', false],
];

const outside = 'outside-name-constraints' as const;

const constrained: readonly Vector[] = bases.flatMap(([base, within]): Vector[] => {
  const permitting = withConstraints(anchor, constraintsOf({ permitted: [base] }));
  const excluding = withConstraints(anchor, constraintsOf({ excluded: [base] }));
  const higher = withConstraints(anchor, constraintsOf({ permitted: [base] }));
  const lower = forgeIssuer(higher, 'east');
  const both = withConstraints(anchor, constraintsOf({ permitted: ['west.mesh.local', base] }));
  return [
    {
      what: `permitted ${base}`,
      chain: [forgeLeaf(permitting, [dns]), permitting],
      expect: within ? accepted : outside,
    },
    {
      what: `excluded ${base}`,
      chain: [forgeLeaf(excluding, [dns]), excluding],
      expect: within ? outside : accepted,
    },
    {
      what: `permitted ${base} two levels up`,
      chain: [forgeLeaf(lower, [dns]), lower, higher],
      expect: within ? accepted : outside,
    },
    {
      what: `permitted west or ${base}`,
      chain: [forgeLeaf(both, [dns]), both],
      expect: within ? accepted : outside,
    },
  ];
});

function ofIssuer(
  what: string,
  constraints: Extension,
  expect: Vector['expect'],
  more: Partial<Vector> = {},
): Vector {
  const issuer = withConstraints(anchor, constraints);
  return { what, chain: [forgeLeaf(issuer, [dns]), issuer], expect, ...more };
}

const raw = (value: Buffer): Extension => ({ oid: oids.nameConstraints, critical: true, value });
const permittedBase = (...parts: Buffer[]): Buffer =>
  derSequence(der(contextTag(0, true), derSequence(...parts)));

const constraintEncodings: readonly Vector[] = [
  ofIssuer(
    'permitted and excluded at once: excluded wins',
    constraintsOf({ permitted: ['mesh.local'], excluded: ['east.mesh.local'] }),
    outside,
  ),
  ofIssuer('constraints on other forms only', raw(permittedBase(generalName.uri('none.invalid'))), accepted),
  ofIssuer('an empty permitted DNS base', raw(permittedBase(generalName.dns(''))), accepted),
  ofIssuer('no constraint inside', raw(derSequence()), accepted),
  ofIssuer(
    'not critical, and enforced all the same',
    { ...constraintsOf({ permitted: ['west.mesh.local'] }), critical: false },
    outside,
  ),
  ofIssuer('no sequence', raw(Buffer.from('0500', 'hex')), 'malformed-certificate'),
  ofIssuer(
    'cut short',
    raw(permittedBase(generalName.dns('east.mesh.local')).subarray(0, -1)),
    'malformed-certificate',
  ),
  ofIssuer(
    'with a minimum distance',
    raw(permittedBase(generalName.dns('east.mesh.local'), der(contextTag(0, false), Buffer.from([1])))),
    'malformed-certificate',
  ),
  ofIssuer(
    'with bytes behind',
    raw(
      derSequence(
        der(contextTag(0, true), derSequence(generalName.dns('east.mesh.local'))),
        derInteger(Buffer.from([1])),
      ),
    ),
    'malformed-certificate',
  ),
];

export const pathVectors: readonly Vector[] = [
  ...lengths,
  ...building,
  ...signers,
  ...validity,
  ...constrained,
  ...constraintEncodings,
  {
    what: 'identity of another cluster under an unconstrained issuer: the name alone decides',
    chain: [forgeLeaf(free, [generalName.dns(identityOf('cart', 'west'))]), free],
    expect: { accepted: identityOf('cart', 'west') },
  },
];
