import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  clusterNameFault,
  controlPlaneIdentity,
  gatewayIdentity,
  identityName,
  isDnsName,
  mirrorIdentity,
  parseIdentity,
  trustDomain,
} from './names.ts';

test('fixed identities', () => {
  assert.equal(trustDomain('east'), 'east.mesh.local');
  assert.equal(
    gatewayIdentity('east'),
    'mesh-gateway.mesh-multicluster.serviceaccount.identity.mesh.east.mesh.local',
  );
  assert.equal(
    mirrorIdentity('east', 'corp.example'),
    'mesh-mirror.mesh-multicluster.serviceaccount.identity.mesh.east.corp.example',
  );
  assert.equal(
    controlPlaneIdentity('mesh-identity', 'east'),
    'mesh-identity.mesh.serviceaccount.identity.mesh.east.mesh.local',
  );
});

test('property: an identity and its parts', () => {
  const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$/);
  fc.assert(
    fc.property(
      label,
      label,
      label,
      fc.constantFrom(undefined, 'corp.example'),
      (sa, namespace, cluster, suffix) => {
        const parts = { serviceAccount: sa, namespace, cluster };
        const name = identityName(suffix === undefined ? parts : { ...parts, suffix });
        assert.deepEqual(parseIdentity(name, suffix), { ...parts, name });
      },
    ),
  );
});

test('names that are no identity', () => {
  const good = 'cart.shop.serviceaccount.identity.mesh.east.mesh.local';
  assert.notEqual(parseIdentity(good), undefined);
  for (const name of [
    '',
    'mesh.local',
    `${good}.`,
    `.${good}`,
    `x.${good}`,
    good.toUpperCase(),
    good.replace('serviceaccount', 'user'),
    good.replace('identity', 'other'),
    good.replace('.mesh.east', '.linkerd.east'),
    good.replace('east', 'e'.repeat(21)),
    good.replace('cart', '*'),
    good.replace('cart', 'ca rt'),
    good.replace('cart', 'cart\0'),
    good.replace('cart', ''),
    good.replace('mesh.local', 'mesh.local.evil.example'),
    good.replace('.mesh.local', 'xmesh.local'),
  ]) {
    assert.equal(parseIdentity(name), undefined, JSON.stringify(name));
  }
});

test('cluster names: the fault names the value', () => {
  for (const name of ['east', 'a', '1', 'eu-west-1', 'x'.repeat(20)])
    assert.equal(clusterNameFault(name), undefined);
  for (const name of ['', 'East', 'a_b', 'a.b', '-a', 'a-', 'x'.repeat(21), 'kind\n']) {
    assert.ok(clusterNameFault(name)?.includes(`"${name}"`), name);
  }
});

test('DNS names', () => {
  assert.ok(isDnsName('a.b-c.d1'));
  for (const name of [
    '',
    'a..b',
    'a.',
    'A.b',
    `${'a'.repeat(64)}.b`,
    'a.b\n',
    'a.'.repeat(130).slice(0, -1),
  ]) {
    assert.equal(isDnsName(name), false, name);
  }
});
