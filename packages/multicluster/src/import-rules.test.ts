import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  importableAnnotations,
  importableLabels,
  inCIDRs,
  isProtectedNamespace,
  parseIPv4,
} from './import-rules.ts';

test('control namespaces are out of reach for peers', () => {
  for (const namespace of ['kube-system', 'kube-public', 'mesh', 'mesh-multicluster']) {
    assert.equal(isProtectedNamespace(namespace), true, namespace);
  }
  assert.equal(isProtectedNamespace('shop'), false);
  assert.equal(isProtectedNamespace('meshed-shop'), false);
});

test('only known labels with valid values are copied', () => {
  assert.deepEqual(
    importableLabels({
      app: 'cart',
      version: 'bad value!',
      'app.kubernetes.io/name': 'cart',
      'mirror.mesh.io/exported': 'true',
      'kubernetes.io/service-name': 'kubernetes',
      'endpointslice.kubernetes.io/managed-by': 'me',
    }),
    { app: 'cart', 'app.kubernetes.io/name': 'cart' },
  );
});

test('only known, small annotations are copied', () => {
  assert.deepEqual(importableAnnotations({ 'mesh.io/opaque-ports': '3306', 'mesh.io/inject': 'disabled' }), {
    'mesh.io/opaque-ports': '3306',
  });
  assert.deepEqual(importableAnnotations({ 'mesh.io/opaque-ports': 'x'.repeat(2000) }), {});
});

test('addresses: strict dotted quads only', () => {
  assert.equal(parseIPv4('10.1.2.3'), 0x0a010203);
  for (const text of [
    '',
    '10.1.2',
    '10.1.2.3.4',
    '10.1.2.256',
    '010.1.2.3',
    '10.1.2.-1',
    '::1',
    '10.1.2.3 ',
  ]) {
    assert.equal(parseIPv4(text), undefined, text);
  }
});

test('CIDR membership agrees with the arithmetic of the mask', () => {
  const octet = fc.integer({ min: 0, max: 255 });
  fc.assert(
    fc.property(
      fc.tuple(octet, octet, octet, octet),
      fc.tuple(octet, octet, octet, octet),
      fc.integer({ min: 0, max: 32 }),
      (address, base, bits) => {
        const number = (quad: number[]): bigint => quad.reduce((sum, part) => sum * 256n + BigInt(part), 0n);
        const mask = bits === 0 ? 0n : (0xffffffffn << BigInt(32 - bits)) & 0xffffffffn;
        const expected = (number(address) & mask) === (number(base) & mask);
        assert.equal(inCIDRs(address.join('.'), [`${base.join('.')}/${bits}`]), expected);
      },
    ),
  );
});

test('a malformed block contains nothing', () => {
  for (const block of ['', '10.0.0.0', '10.0.0.0/33', '10.0.0/8', '10.0.0.0/x'])
    assert.equal(inCIDRs('10.0.0.1', [block]), false, block);
});
