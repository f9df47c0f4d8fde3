import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  annotationFaults,
  balanceMode,
  enoughReady,
  exportRequest,
  federatedName,
  isClusterName,
  labels,
  mirrorName,
  spillThreshold,
} from './names.ts';

test('a mirror is named after service and cluster', () => {
  assert.equal(mirrorName('cart', 'west'), 'cart-west');
  assert.equal(federatedName('cart'), 'cart-federated');
});

test('a mirror name over 63 characters is refused with its length', () => {
  const name = mirrorName('a'.repeat(60), 'west');
  assert.ok(typeof name === 'object');
  assert.equal(name.reason, 'NameTooLong');
  assert.match(name.message, /65 characters/);
});

test('a service name that is no DNS label is refused', () => {
  for (const service of ['', 'Cart', '-cart', 'ca_rt', '1cart', 'cart.shop']) {
    const name = mirrorName(service, 'west');
    assert.ok(typeof name === 'object', service);
    assert.equal(name.reason, 'InvalidName');
  }
});

test('cluster names are DNS labels of at most 20 characters', () => {
  assert.equal(isClusterName('east'), true);
  assert.equal(isClusterName('a'.repeat(20)), true);
  for (const name of ['', 'a'.repeat(21), 'East', 'eu.west', '1st', 'a-', 'a_b'])
    assert.equal(isClusterName(name), false, name);
});

test('labels say what is exported and how', () => {
  assert.deepEqual(exportRequest(undefined), { kind: 'none' });
  assert.deepEqual(exportRequest({ [labels.exported]: 'true' }), {
    kind: 'export',
    mode: 'gateway',
    exported: true,
    federated: false,
  });
  assert.deepEqual(exportRequest({ [labels.federated]: 'member' }), {
    kind: 'export',
    mode: 'gateway',
    exported: false,
    federated: true,
  });
  assert.equal(exportRequest({ [labels.exported]: 'remote-discovery' }).kind, 'export');
});

test('an unknown label value is a fault that names label and value', () => {
  for (const [label, value] of [
    [labels.exported, 'yes'],
    [labels.exported, ''],
    [labels.federated, 'true'],
  ] as const) {
    const request = exportRequest({ [label]: value });
    assert.ok(request.kind === 'fault');
    assert.match(request.message, new RegExp(`${label}=${value} `));
  }
});

test('a mirror is never exported again', () => {
  assert.deepEqual(exportRequest({ [labels.exported]: 'true', [labels.mirroredService]: 'true' }), {
    kind: 'none',
  });
});

test('a spill threshold is a number of endpoints or a share of them, and nothing else', () => {
  const key = 'mirror.mesh.io/spill-below';
  const needed = (value: string, size: number): number => enoughReady(spillThreshold({ [key]: value }), size);
  assert.equal(spillThreshold({}), undefined);
  assert.deepEqual(
    [
      needed('3', 10),
      needed('3', 1),
      needed('50%', 10),
      needed('50%', 3),
      needed('1%', 0),
      needed('100%', 4),
    ],
    [3, 3, 5, 2, 1, 4],
  );
  for (const value of ['', '0', '0%', '-1', '101%', '5 %', '50.5%', '99999', 'half', '٣']) {
    const [fault = ''] = annotationFaults({ [key]: value });
    assert.ok(fault.includes(`${key}=${value} is not known: allowed is a number`), fault);
    assert.equal(needed(value, 10), 1);
  }
  assert.deepEqual(annotationFaults({ [key]: '50%', 'mirror.mesh.io/mode': 'balanced' }), []);
  assert.match(annotationFaults({ 'mirror.mesh.io/mode': 'fastest' }).join(), /mode=fastest is not known/);
});

test('an unknown mode falls back to local-first and says so', () => {
  assert.deepEqual(balanceMode({ 'mirror.mesh.io/mode': 'fastest' }), { mode: 'local-first', known: false });
  assert.deepEqual(balanceMode({ 'mirror.mesh.io/mode': 'balanced' }), { mode: 'balanced', known: true });
});
