import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { parseContextToken, parseWorkload } from './client-context.ts';
import { formatTarget, parseTarget } from './target.ts';

const domain = 'cluster.local';

test('names of services and of their pods', () => {
  const cart = { namespace: 'shop', service: 'cart', port: 8080, hostname: undefined };
  assert.deepEqual(parseTarget('cart.shop.svc.cluster.local:8080', domain), cart);
  assert.deepEqual(parseTarget('Cart.shop.svc.cluster.local.:8080', domain), cart);
  assert.deepEqual(parseTarget('cart.shop.svc:8080', domain), cart);
  assert.deepEqual(parseTarget('cart.shop.svc', domain), { ...cart, port: 80 });
  assert.deepEqual(parseTarget('db-0.db.shop.svc.cluster.local:1', domain), {
    namespace: 'shop',
    service: 'db',
    port: 1,
    hostname: 'db-0',
  });
});

test('addresses, other domains and nonsense are faults that name the value', () => {
  for (const text of [
    '10.0.0.1:80',
    '[::1]:80',
    'example.com:80',
    'svc:80',
    'cart.svc:80',
    'a.b.c.d.svc:80',
    'cart..svc:80',
    'cart.shop.svc.other:80',
    'cart.shop.svc:0',
    '',
  ]) {
    const target = parseTarget(text, domain);
    assert.ok('fault' in target, text);
  }
});

test('what is formatted is read back', () => {
  const name = fc.stringMatching(/^[a-z]([-a-z0-9]{0,10}[a-z0-9])?$/);
  fc.assert(
    fc.property(
      name,
      name,
      fc.option(name, { nil: undefined }),
      fc.integer({ min: 1, max: 65_535 }),
      (service, namespace, hostname, port) => {
        const target = { namespace, service, port, hostname };
        assert.deepEqual(parseTarget(formatTarget(target, domain), domain), target);
      },
    ),
  );
});

test('who asks', () => {
  assert.deepEqual(parseContextToken('{"ns":"shop","nodeName":"n1","pod":"p"}'), {
    namespace: 'shop',
    pod: 'p',
    nodeName: 'n1',
  });
  assert.equal(parseContextToken('ns:shop').namespace, 'shop');
  const long = JSON.stringify({ nodeName: 'n'.repeat(254) });
  assert.equal(parseContextToken(long).nodeName, undefined, 'no name is that long, and it would be kept');
  for (const text of ['', '{', 'null', '[]', '{"ns":1}'])
    assert.equal(parseContextToken(text).namespace, undefined);
  assert.deepEqual(parseWorkload('{"ns":"shop","pod":"p"}'), { namespace: 'shop', pod: 'p' });
  assert.deepEqual(parseWorkload('shop:p'), { namespace: 'shop', pod: 'p' });
  for (const text of ['', 'shop', 'a:b:c', '{"ns":"shop"}', '{}'])
    assert.equal(parseWorkload(text), undefined, text);
});
