import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { canonicalAuthority, canonicalize, hostOf, isPath, portOf } from './canonical.ts';
import type { RequestHead } from './message.ts';

function head(parts: Partial<RequestHead>): RequestHead {
  return {
    method: 'GET',
    scheme: '',
    authority: 'cart',
    path: '/',
    headers: [],
    upgrade: '',
    version: 11,
    ...parts,
  };
}

const authorities: [string, string | undefined][] = [
  ['', ''],
  ['cart', 'cart'],
  ['Cart.Shop:8080', 'cart.shop:8080'],
  ['cart.shop.svc.cluster.local.', 'cart.shop.svc.cluster.local'],
  ['Cart.:80', 'cart:80'],
  ['my_service', 'my_service'],
  ['10.0.0.1:1', '10.0.0.1:1'],
  ['[::1]', '[::1]'],
  ['[FE80::A]:443', '[fe80::a]:443'],
  ['.', undefined],
  ['..', undefined],
  ['.cart', undefined],
  ['cart..shop', undefined],
  ['cart..', undefined],
  [':80', undefined],
  ['cart:', undefined],
  ['cart:0', undefined],
  ['cart:080', undefined],
  ['cart:65536', undefined],
  ['cart:99999999999', undefined],
  ['cart:8o', undefined],
  ['cart:+80', undefined],
  ['cart:80:80', undefined],
  ['user@cart', undefined],
  ['user:pass@cart', undefined],
  ['cart,shop', undefined],
  ['cart shop', undefined],
  ['cart/', undefined],
  ['cart?', undefined],
  ['cart#', undefined],
  ['cart%2e', undefined],
  ['c\u00e4rt', undefined],
  ['\u{1F6D2}', undefined],
  ['::1', undefined],
  ['[::1', undefined],
  ['[::1]80', undefined],
  ['[fe80::1%eth0]', undefined],
  ['[fe80::1%25eth0]:80', undefined],
  ['[cart]', undefined],
  ['a'.repeat(255), undefined],
];

test('an authority has one form or none', () => {
  for (const [text, expected] of authorities) assert.equal(canonicalAuthority(text), expected, text);
});

test('the canonical form is a fixed point', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'aB.:-_[]1809%@ /') }), (text) => {
      const once = canonicalAuthority(text);
      if (once !== undefined) assert.equal(canonicalAuthority(once), once);
    }),
  );
});

test('host and port of an authority', () => {
  assert.equal(portOf('cart:80'), 80);
  assert.equal(portOf('[::1]:81'), 81);
  assert.equal(portOf('[::1]'), undefined);
  assert.equal(portOf('cart'), undefined);
  assert.equal(hostOf('cart:80'), 'cart');
  assert.equal(hostOf('[::1]:81'), '[::1]');
  assert.equal(hostOf('[::1]'), '[::1]');
});

test('paths', () => {
  for (const path of ['/', '//a', '/a%2fb?c=d&e', '/a?b#'.slice(0, 4), '/~x/{y}|z'])
    assert.ok(isPath(path), path);
  for (const path of [
    '',
    'a',
    '*',
    '/a b',
    '/#',
    '/\0',
    '/\x7f',
    '/\u00e4',
    '/\u0100',
    'http://x/',
    '%2fa',
    '/\t',
  ]) {
    assert.ok(!isPath(path), path);
  }
});

test('requests', () => {
  assert.equal(canonicalize(head({})), undefined);
  assert.equal(canonicalize(head({ method: 'PURGE-ALL' })), undefined);
  assert.equal(canonicalize(head({ method: '' })), 'bad-method');
  assert.equal(canonicalize(head({ method: 'G T' })), 'bad-method');
  assert.equal(canonicalize(head({ scheme: 'ftp' })), 'bad-scheme');
  assert.equal(canonicalize(head({ authority: 'a@b' })), 'bad-authority');
  assert.equal(canonicalize(head({ path: '*' })), 'bad-path');
  assert.equal(canonicalize(head({ method: 'OPTIONS', path: '*' })), undefined);
  assert.equal(canonicalize(head({ method: 'CONNECT', path: '', authority: 'cart:80' })), undefined);
  assert.equal(canonicalize(head({ method: 'CONNECT', path: '', authority: 'cart' })), 'bad-authority');
  assert.equal(canonicalize(head({ method: 'CONNECT', path: '/', authority: 'cart:80' })), 'bad-path');
  assert.equal(canonicalize(head({ method: 'CONNECT', path: '/chat', upgrade: 'websocket' })), undefined);
});

test('the authority is replaced by its canonical form', () => {
  const request = head({ authority: 'CART.shop.:80' });
  assert.equal(canonicalize(request), undefined);
  assert.equal(request.authority, 'cart.shop:80');
});
