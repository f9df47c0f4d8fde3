/**
 * What one proxy decides on is what the next one and the application read: 500 paths of the kinds that have bypassed
 * policies elsewhere arrive byte for byte or are refused with 400; no proxy decodes, merges or repairs any.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asApplication, asNeighbour, asPeer, ask, exchange, http2Session } from './testing/raw-client.ts';
import { startTwoClusters } from './testing/two-clusters.ts';
import { startHttp2Witness, startWitness } from './testing/witness.ts';

const dots = [
  '.',
  '..',
  '...',
  '%2e',
  '%2e%2e',
  '.%2e',
  '%2E.',
  '..;',
  '..;a=b',
  '.;',
  '%252e%252e',
  '%c0%ae',
  '..%00',
];
const slashes = [
  '/',
  '//',
  '///',
  '%2f',
  '%2F',
  '%252f',
  '%5c',
  '\\',
  '/%2f/',
  '/./',
  '/;/',
  '/;a=b/',
  '%ef%bc%8f',
];
const ends = [
  '',
  '/',
  '?',
  '?a=/../b',
  '?a#b',
  '#',
  '#/../x',
  ';',
  ';x',
  '%',
  '%0',
  '%zz',
  '%00',
  '%0d%0a',
  '%20',
  '+',
  '~',
  '*',
  '@',
  ':80',
  '"',
  '<',
  '[',
  '|',
  '^',
  '`',
  '{',
];

const generated: readonly string[] = [
  ...dots.flatMap((dot) =>
    slashes.flatMap((slash) => [`/public${slash}${dot}${slash}admin`, `/${dot}${slash}admin`]),
  ),
  ...ends.flatMap((end) => [
    `/admin${end}`,
    `/public/../admin${end}`,
    `//${end}`,
    `/a b${end}`,
    `/A${end}`,
    `/\u00e9${end}`,
    `/a\tb${end}`,
  ]),
  'admin',
  '*',
  '',
  '.',
  '../admin',
  '?',
  'cart:80/admin',
];

/** RFC 3986 without what no two readers agree on: visible ASCII, from a slash on, without a fragment. */
const plain = /^\/[!"$-~]*$/;

test(`${generated.length} paths arrive as they were sent, or not at all`, async (t) => {
  assert.ok(generated.length >= 500, `${generated.length}`);
  const witness = await startWitness(t);
  const two = await startHttp2Witness(t);
  const path = await startTwoClusters(t, { app: witness.port });
  const http2 = await startTwoClusters(t, { app: two.port });
  const session = await http2Session(t, http2, 'gateway');

  const head = (target: string, connection: string): string =>
    `GET ${target} HTTP/1.1\r\nhost: cart.shop.svc.cluster.local:80\r\nconnection: ${connection}\r\n\r\n`;
  for (const [who, entry] of [
    ['an application', asApplication],
    ['a peer', asPeer],
    ['a neighbour', asNeighbour],
  ] as const) {
    await t.test(`HTTP/1 of ${who}`, async () => {
      const good = generated.filter((target) => plain.test(target));
      witness.seen.length = 0;
      const all = good.map((target) => head(target, 'keep-alive')).join('');
      await exchange(await entry(path), all + head('/last', 'close'));
      assert.deepEqual(
        witness.seen.map((request) => request.path),
        [...good, '/last'],
      );
      witness.seen.length = 0;
      const bad = generated.filter((target) => !plain.test(target));
      // The rule is the codec's, the same at each way in.
      for (const target of bad.filter((_, at) => entry === asApplication || at % 5 === 0)) {
        assert.match(await exchange(await entry(path), head(target, 'close')), /^HTTP\/1\.1 400 /, target);
      }
      assert.deepEqual(witness.seen, []);
    });
  }

  await t.test('HTTP/2', async () => {
    for (const target of generated) {
      two.seen.length = 0;
      // node:http2 itself refuses to send some; those never were a request.
      const { status } = await ask(session, { ':path': target, ':method': 'GET' }).catch(() => ({
        status: 0,
      }));
      const seen = two.seen.map((request) => request.path);
      if (status === 200) assert.deepEqual(seen, [target]);
      else assert.deepEqual(seen, [], target);
      if (plain.test(target)) assert.equal(status, 200, target);
    }
  });
});
