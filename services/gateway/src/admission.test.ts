import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { GatewayTableSchema } from '@mesh/control-api/gen/mesh/gateway/v1/gateway_pb';
import {
  gatewayIdentity,
  identityName,
  mirrorIdentity,
  parseIdentity,
  type PeerIdentity,
} from '@mesh/trust/names';
import fc from 'fast-check';
import { type Admission, AdmissionTable } from './admission.ts';

const table = new AdmissionTable(
  create(GatewayTableSchema, {
    cluster: 'west',
    trustDomain: 'west.mesh.local',
    peers: [
      { cluster: 'east', allow: true },
      { cluster: 'north', allow: true },
      { cluster: 'south', allow: false },
    ],
    exports: [
      { namespace: 'shop', name: 'cart', ports: [{ name: 'http', port: 80 }], allowAllClusters: true },
      { namespace: 'shop', name: 'ledger', ports: [{ name: 'http', port: 80 }], allowedClusters: ['north'] },
      {
        namespace: 'shop',
        name: 'audit',
        ports: [{ name: 'http', port: 80 }],
        allowAllClusters: true,
        allowedIdentities: [identityName({ serviceAccount: 'auditor', namespace: 'shop', cluster: 'east' })],
      },
    ],
    federation: {
      authority: 'federation.multicluster.mesh.io',
      address: 'mirror:8087',
      identity: mirrorIdentity('west'),
    },
  }),
  { suffix: 'mesh.local', clusterDomain: 'cluster.local' },
);

function caller(cluster: string, serviceAccount = 'frontend'): PeerIdentity {
  const parsed = parseIdentity(identityName({ serviceAccount, namespace: 'shop', cluster }));
  assert.ok(parsed !== undefined);
  return parsed;
}

function named(name: string): PeerIdentity {
  const parsed = parseIdentity(name);
  assert.ok(parsed !== undefined);
  return parsed;
}

const reason = (admission: Admission): string =>
  admission.kind === 'refused' ? admission.reason : admission.kind;
const cart = 'cart.shop.svc.cluster.local:80';

const cases: readonly [what: string, who: PeerIdentity, authority: string, expected: string][] = [
  ['an exported service', caller('east'), cart, 'export'],
  ['a cluster that is not linked', caller('mars'), cart, 'peer-not-linked'],
  ['a cluster whose link does not allow it', caller('south'), cart, 'peer-not-allowed'],
  ['the own cluster, which has no link to itself', caller('west'), cart, 'peer-not-linked'],
  ['a service that is not exported', caller('east'), 'catalog.shop.svc.cluster.local:80', 'not-exported'],
  ['a port that is not exported', caller('east'), 'cart.shop.svc.cluster.local:81', 'port-not-exported'],
  ['no port', caller('east'), 'cart.shop.svc.cluster.local', 'bad-authority'],
  ['the short name', caller('east'), 'cart', 'bad-authority'],
  ['an address', caller('east'), '10.2.0.7:80', 'bad-authority'],
  ['another domain', caller('east'), 'cart.shop.svc.evil.example:80', 'bad-authority'],
  ['a longer name that ends alike', caller('east'), 'x.cart.shop.svc.cluster.local:80', 'bad-authority'],
  [
    'an export for another cluster',
    caller('east'),
    'ledger.shop.svc.cluster.local:80',
    'cluster-not-allowed',
  ],
  ['an export for this cluster', caller('north'), 'ledger.shop.svc.cluster.local:80', 'export'],
  [
    'an export for another identity',
    caller('east'),
    'audit.shop.svc.cluster.local:80',
    'identity-not-allowed',
  ],
  ['an export for this identity', caller('east', 'auditor'), 'audit.shop.svc.cluster.local:80', 'export'],
  [
    'federation by a mirror controller',
    named(mirrorIdentity('east')),
    'federation.multicluster.mesh.io',
    'federation',
  ],
  ['federation by a workload', caller('east'), 'federation.multicluster.mesh.io', 'not-a-mirror'],
  [
    'federation by a gateway',
    named(gatewayIdentity('east')),
    'federation.multicluster.mesh.io',
    'not-a-mirror',
  ],
  [
    'federation by a mirror that is not allowed',
    named(mirrorIdentity('south')),
    'federation.multicluster.mesh.io',
    'peer-not-allowed',
  ],
];

for (const [what, who, authority, expected] of cases) {
  test(`${expected}: ${what}`, () => assert.equal(reason(table.admit(who, authority)), expected));
}

test('whatever is asked for, only what the table names is admitted', () => {
  const word = fc.constantFrom(
    'cart',
    'shop',
    'svc',
    'cluster',
    'local',
    'kube-system',
    '',
    '10',
    '..',
    'CART',
  );
  const authority = fc
    .tuple(fc.array(word, { maxLength: 7 }), fc.constantFrom('', ':80', ':443', ':080', ':80:80'))
    .map(([words, port]) => words.join('.') + port);
  fc.assert(
    fc.property(authority, (text) => {
      const admission = table.admit(caller('east'), text);
      if (admission.kind !== 'refused') assert.equal(text, cart);
    }),
  );
});

test('a name one character away from an allowed one is another name', () => {
  const allowed = 'auditor';
  const letters = 'abcdefghijklmnopqrstuvwxyz0123456789-';
  const near = new Set<string>();
  for (let at = 0; at <= allowed.length; at++) {
    const [before, behind] = [allowed.slice(0, at), allowed.slice(at)];
    near.add(before + behind.slice(1));
    for (const letter of letters) {
      near.add(before + letter + behind);
      near.add(before + letter + behind.slice(1));
    }
  }
  near.delete(allowed);
  const audit = 'audit.shop.svc.cluster.local:80';
  let tried = 0;
  for (const name of near) {
    const who = parseIdentity(identityName({ serviceAccount: name, namespace: 'shop', cluster: 'east' }));
    if (who === undefined) continue;
    tried++;
    assert.equal(reason(table.admit(who, audit)), 'identity-not-allowed', name);
  }
  assert.ok(tried > 400, `${tried}`);
  assert.equal(reason(table.admit(caller('east', allowed), audit)), 'export');
});
