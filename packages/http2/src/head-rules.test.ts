import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRequest } from './head-rules.ts';

const fields = (authority: string, ...more: string[]): string[] => [
  ':method',
  'GET',
  ':scheme',
  'http',
  ':path',
  '/items',
  ':authority',
  authority,
  ...more,
];

void test('a request has the one canonical authority, however it was spelled', () => {
  for (const spelled of ['Cart.Shop:80', 'cart.shop.:80', 'cart.shop:80']) {
    const parsed = parseRequest(fields(spelled, 'host', 'CART.shop:80'));
    assert.ok(typeof parsed === 'object', `${spelled}: ${String(parsed)}`);
    assert.equal(parsed.head.authority, 'cart.shop:80');
    assert.deepEqual(parsed.head.headers, []);
  }
});

void test('what has no canonical form is refused by name', () => {
  const faults: readonly (readonly [string[], string])[] = [
    [fields('user@cart'), 'bad-authority'],
    [fields('cart:'), 'bad-authority'],
    [fields('cart:080'), 'bad-authority'],
    [fields('cart%2eshop'), 'bad-authority'],
    [fields('cart', 'host', 'other'), 'host-differs'],
    [[':method', 'G T', ':scheme', 'http', ':path', '/'], 'bad-method'],
    [[':method', 'GET', ':scheme', 'ftp', ':path', '/'], 'bad-scheme'],
    [[':method', 'GET', ':scheme', 'http', ':path', 'items'], 'bad-path'],
    [[':method', 'GET', ':scheme', 'http', ':path', '/\xe9'], 'bad-path'],
    [[':method', 'CONNECT', ':authority', 'cart'], 'bad-authority'],
  ];
  for (const [list, fault] of faults) assert.equal(parseRequest(list), fault, list.join(' '));
});
