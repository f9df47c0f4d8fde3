import assert from 'node:assert/strict';
import test from 'node:test';
import { type Certificate, isFault, parseCertificate } from './certificate.ts';
import { forgeAnchor } from './forgery.ts';
import { KnownChains } from './known-chains.ts';

const { der } = forgeAnchor();
const parsed = parseCertificate(der);
assert.ok(!isFault(parsed));
const path: readonly Certificate[] = [parsed];
const now = parsed.notBefore;

test('a chain is verified once, a refused one each time, and certificates that were cut otherwise are another chain', () => {
  const known = new KnownChains();
  let verified = 0;
  const verify = (): readonly Certificate[] => {
    verified++;
    return path;
  };
  assert.equal(known.pathOf([der, der], now, verify), path);
  assert.equal(known.pathOf([Buffer.from(der), der], now, verify), path);
  assert.equal(verified, 1);
  known.pathOf([Buffer.concat([der, der])], now, verify);
  assert.equal(verified, 2);
  const refused = { refused: 'bad-signature' };
  assert.equal(
    known.pathOf([der], now, () => refused),
    refused,
  );
  known.pathOf([der], now, verify);
  assert.equal(verified, 3);
});

test('the oldest of 256 chains makes room', () => {
  const known = new KnownChains();
  const chain = (index: number): Buffer[] => [Buffer.from(String(index))];
  for (let index = 0; index < 300; index++) known.pathOf(chain(index), now, () => path);
  assert.equal(known.size, 256);
  let verified = 0;
  for (const index of [299, 0]) {
    known.pathOf(chain(index), now, () => {
      verified++;
      return path;
    });
  }
  assert.equal(verified, 1);
});

test('of peers that come with a new certificate each time only those are kept that have not expired', () => {
  const known = new KnownChains();
  const lifeMs = 60_000;
  for (let index = 0; index < 100; index++) {
    const at = now + index * 42_000;
    const leaf = { ...parsed, notAfter: at + lifeMs };
    known.pathOf([Buffer.from(String(index))], at, () => [leaf, parsed]);
  }
  assert.equal(known.size, 2, 'the latest, and the one before it, which is valid for 18 s still');
});
