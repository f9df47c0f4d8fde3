import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configMap, startFixture } from './api-fixture.ts';
import { at, textAt } from './json.ts';

const namespaces = '/api/v1/namespaces';

test('a namespace ends in two steps, and takes nothing new in between', async (t) => {
  const api = await startFixture(t);
  const maps = `${namespaces}/shop/configmaps`;
  assert.equal((await api.call(maps, { body: configMap('a') })).code, 404, 'not there yet');
  const created = await api.call(namespaces, {
    body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
  });
  assert.equal(at(created.body, 'metadata', 'labels', 'kubernetes.io/metadata.name'), 'shop');
  assert.equal(textAt(created.body, 'status', 'phase'), 'Active');
  await api.call(maps, { body: configMap('a') });

  const deleted = await api.call(`${namespaces}/shop`, { method: 'DELETE' });
  assert.equal(textAt(deleted.body, 'status', 'phase'), 'Terminating');
  const late = await api.call(maps, { body: configMap('b') });
  assert.equal(late.code, 403);
  assert.equal(textAt(late.body, 'details', 'causes', 0, 'reason'), 'NamespaceTerminating');
  assert.equal((await api.call(`${maps}/a`)).code, 200, 'what is inside is the controller’s to delete');
  await api.call(`${maps}/a`, { method: 'DELETE' });

  const read = await api.call(`${namespaces}/shop`);
  const updated = await api.call(`${namespaces}/shop`, {
    method: 'PUT',
    body: { ...read.body, spec: { finalizers: [] } },
  });
  assert.deepEqual(at(updated.body, 'spec', 'finalizers'), ['kubernetes'], 'only finalize changes these');
  const finalized = await api.call(`${namespaces}/shop/finalize`, {
    method: 'PUT',
    body: { ...read.body, spec: { finalizers: [] } },
  });
  assert.equal(finalized.code, 200, finalized.text);
  assert.equal((await api.call(`${namespaces}/shop`)).code, 404);
});

test('the namespaces of every cluster exist and cannot be deleted', async (t) => {
  const api = await startFixture(t);
  for (const name of ['default', 'kube-system', 'kube-public', 'kube-node-lease']) {
    assert.equal((await api.call(`${namespaces}/${name}`)).code, 200, name);
  }
  assert.equal((await api.call(`${namespaces}/default`, { method: 'DELETE' })).code, 403);
});
