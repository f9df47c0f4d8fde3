import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configMap, createAccount, pod, startFixture, type ApiFixture } from './api-fixture.ts';
import { at, listAt, textAt } from './json.ts';

const maps = '/api/v1/namespaces/default/configmaps';
const pods = '/api/v1/namespaces/default/pods';

function names(body: unknown): string[] {
  return listAt(body, 'items').map((item) => textAt(item, 'metadata', 'name') ?? '');
}

async function fill(api: ApiFixture, count: number): Promise<void> {
  for (let index = 0; index < count; index++) await api.call(maps, { body: configMap(`m${index}`) });
}

test('pages of one list show the state at its first page', async (t) => {
  const api = await startFixture(t);
  await fill(api, 5);
  const first = await api.call(`${maps}?limit=2`);
  assert.deepEqual(names(first.body), ['m0', 'm1']);
  assert.equal(at(first.body, 'metadata', 'remainingItemCount'), 3);
  await api.call(`${maps}/m3`, { method: 'DELETE' });
  await api.call(maps, { body: configMap('m2b') });
  const token = textAt(first.body, 'metadata', 'continue') ?? '';
  const second = await api.call(`${maps}?limit=2&continue=${token}`);
  assert.deepEqual(names(second.body), ['m2', 'm3']);
  assert.equal(at(second.body, 'metadata', 'resourceVersion'), at(first.body, 'metadata', 'resourceVersion'));
  const rest = await api.call(`${maps}?continue=${textAt(second.body, 'metadata', 'continue') ?? ''}`);
  assert.deepEqual(names(rest.body), ['m4']);
  assert.equal(at(rest.body, 'metadata', 'continue'), undefined);
});

test('a continue token older than the window is 410', async (t) => {
  const api = await startFixture(t, { limits: { apiserver_watch_window: 4 } });
  await fill(api, 3);
  const first = await api.call(`${maps}?limit=1`);
  for (let index = 0; index < 8; index++) {
    await api.patch(`${maps}/m0`, 'merge', { data: { index: String(index) } });
  }
  const token = textAt(first.body, 'metadata', 'continue') ?? '';
  const late = await api.call(`${maps}?continue=${token}`);
  assert.equal(late.code, 410);
  assert.equal(late.body['reason'], 'Expired');
  assert.equal((await api.call(`${maps}?continue=nonsense`)).code, 400);
});

test('label selectors', async (t) => {
  const api = await startFixture(t);
  for (const [name, labels] of [
    ['a', { app: 'cart', tier: 'back' }],
    ['b', { app: 'shop', weight: '7' }],
    ['c', {}],
  ] as const) {
    const body = configMap(name);
    body['metadata'] = { name, labels };
    await api.call(maps, { body });
  }
  const cases: [selector: string, expected: string[]][] = [
    ['app=cart', ['a']],
    ['app==cart', ['a']],
    ['app!=cart', ['b', 'c']],
    ['app in (cart, shop)', ['a', 'b']],
    ['app notin (cart)', ['b', 'c']],
    ['app', ['a', 'b']],
    ['!app', ['c']],
    ['app in (cart,shop),!tier', ['b']],
    ['weight>6', ['b']],
    ['weight < 7', []],
    ['app>1', []],
  ];
  for (const [selector, expected] of cases) {
    const answer = await api.call(`${maps}?labelSelector=${encodeURIComponent(selector)}`);
    assert.deepEqual(names(answer.body), expected, selector);
  }
  const bad = await api.call(`${maps}?labelSelector=${encodeURIComponent('app in cart')}`);
  assert.equal(bad.code, 400);
});

test('field selectors', async (t) => {
  const api = await startFixture(t);
  await createAccount(api, 'default');
  for (const name of ['a', 'b']) await api.call(pods, { body: pod(name) });
  const binding = { apiVersion: 'v1', kind: 'Binding', target: { kind: 'Node', name: 'n1' } };
  await api.call(`${pods}/a/binding`, { body: binding });
  await api.patch(`${pods}/a/status`, 'merge', { status: { phase: 'Running' } });
  const cases: [selector: string, expected: string[]][] = [
    ['metadata.name=b', ['b']],
    ['spec.nodeName=n1', ['a']],
    ['spec.nodeName=', ['b']],
    ['spec.nodeName!=n1', ['b']],
    ['status.phase=Running,metadata.namespace=default', ['a']],
  ];
  for (const [selector, expected] of cases) {
    const answer = await api.call(`/api/v1/pods?fieldSelector=${encodeURIComponent(selector)}`);
    assert.deepEqual(names(answer.body), expected, selector);
  }
  assert.equal((await api.call('/api/v1/pods?fieldSelector=spec.image%3Da')).code, 400);
});

test('a version from the future is refused', async (t) => {
  const api = await startFixture(t);
  const answer = await api.call(`${maps}?resourceVersion=999999&resourceVersionMatch=NotOlderThan`);
  assert.equal(answer.code, 504);
  assert.equal(textAt(answer.body, 'details', 'causes', 0, 'reason'), 'ResourceVersionTooLarge');
});

test('tables carry the columns of the kind, metadata-only lists only metadata', async (t) => {
  const api = await startFixture(t);
  await api.call(maps, { body: configMap('a', { x: '1', y: '2' }) });
  const table = await api.call(maps, {
    headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' },
  });
  assert.equal(table.body['kind'], 'Table');
  assert.deepEqual(
    listAt(table.body, 'columnDefinitions').map((column) => textAt(column, 'name')),
    ['Name', 'Data', 'Age'],
  );
  assert.deepEqual(listAt(table.body, 'rows', 0, 'cells').slice(0, 2), ['a', 2]);
  await createAccount(api, 'default');
  const gated = pod('p');
  Object.assign(gated['spec'] ?? {}, {
    readinessGates: [{ conditionType: 'a/b' }, { conditionType: 'a/c' }],
  });
  await api.call(pods, { body: gated });
  await api.patch(`${pods}/p/status`, 'merge', { status: { conditions: [{ type: 'a/b', status: 'True' }] } });
  const wide = await api.call(pods, { headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' } });
  assert.equal(listAt(wide.body, 'rows', 0, 'cells').at(-1), '1/2', 'readiness gates');
  const partial = await api.call(maps, {
    headers: { accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io' },
  });
  assert.equal(partial.body['kind'], 'PartialObjectMetadataList');
  assert.equal(at(partial.body, 'items', 0, 'data'), undefined);
  assert.equal((await api.call(maps, { headers: { accept: 'text/html' } })).code, 406);
});
