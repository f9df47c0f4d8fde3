import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import test from 'node:test';
import { MeshError } from '@mesh/errors/mesh-error';
import { CredentialStore, secureContextOf } from './credentials.ts';
import { credentialsOf, forgeAnchor, forgeIssuer, forgeLeaf, generalName, identityOf } from './forgery.ts';
import { fingerprint } from './pem.ts';

const anchor = forgeAnchor();
const east = forgeIssuer(anchor, 'east');
const make = () =>
  credentialsOf(forgeLeaf(east, [generalName.dns(identityOf('a', 'east'))]), [east], [anchor]);

test('listeners hear each update until they leave', () => {
  const store = new CredentialStore();
  const heard: unknown[] = [];
  const leave = store.onChange((credentials) => heard.push(credentials));
  const [first, second] = [make(), make()];
  store.update(first);
  leave();
  store.update(second);
  assert.deepEqual(heard, [first]);
  assert.equal(store.current, second);
});

test('who waits for the first credentials is told once, at once where there are some, unless it left', () => {
  const store = new CredentialStore();
  const told: string[] = [];
  store.whenPresent(() => told.push('waited'));
  const leave = store.whenPresent(() => told.push('left'));
  leave();
  assert.equal(told.length, 0);
  store.update(make());
  store.update(make());
  assert.deepEqual(told, ['waited']);
  store.whenPresent(() => told.push('late'));
  assert.deepEqual(told, ['waited', 'late']);
});

test('unusable credentials change nothing, tell nobody and keep their secrets', () => {
  const good = make();
  const store = new CredentialStore(good);
  store.onChange(() => assert.fail('was told'));
  for (const bad of [
    { ...good, chainPem: 'rubbish' },
    { ...good, key: make().key },
    { ...good, anchorsPem: '' },
  ]) {
    assert.throws(
      () => store.update(bad),
      (thrown) =>
        thrown instanceof MeshError &&
        thrown.code === 'credentials-invalid' &&
        !thrown.message.includes('KEY'),
    );
    assert.equal(store.current, good);
  }
});

test('one context per credentials object', () => {
  const credentials = make();
  assert.equal(secureContextOf(credentials), secureContextOf(credentials));
  assert.notEqual(secureContextOf(credentials), secureContextOf(make()));
});

test('the fingerprint is the one Node prints', () => {
  const { chainPem } = make();
  assert.equal(fingerprint(chainPem), new X509Certificate(chainPem).fingerprint256);
});
