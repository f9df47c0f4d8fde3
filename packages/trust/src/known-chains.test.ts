import assert from 'node:assert/strict';
import test from 'node:test';
import { type Certificate, isFault, parseCertificate } from './certificate.ts';
import { forgeAnchor } from './forgery.ts';
import { KnownChains } from './known-chains.ts';

const { der } = forgeAnchor();
const parsed = parseCertificate(der);
assert.ok(!isFault(parsed));
const path: readonly Certificate[] = [parsed];

test('a chain is verified once, a refused one each time, and certificates that were cut otherwise are another chain', () => {
  const known = new KnownChains();
  let verified = 0;
  const verify = (): readonly Certificate[] => {
    verified++;
    return path;
  };
  assert.equal(known.pathOf([der, der], verify), path);
  assert.equal(known.pathOf([Buffer.from(der), der], verify), path);
  assert.equal(verified, 1);
  known.pathOf([Buffer.concat([der, der])], verify);
  assert.equal(verified, 2);
  const refused = { refused: 'bad-signature' };
  assert.equal(
    known.pathOf([der], () => refused),
    refused,
  );
  known.pathOf([der], verify);
  assert.equal(verified, 3);
});

test('the oldest of 256 chains makes room', () => {
  const known = new KnownChains();
  const chain = (index: number): Buffer[] => [Buffer.from(String(index))];
  for (let index = 0; index < 300; index++) known.pathOf(chain(index), () => path);
  assert.equal(known.size, 256);
  let verified = 0;
  for (const index of [299, 0]) {
    known.pathOf(chain(index), () => {
      verified++;
      return path;
    });
  }
  assert.equal(verified, 1);
});
