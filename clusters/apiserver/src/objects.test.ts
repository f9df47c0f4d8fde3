import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configMap, createAccount, pod, startFixture } from './api-fixture.ts';
import { at, listAt, textAt, type Json, type JsonObject } from './json.ts';

const maps = '/api/v1/namespaces/default/configmaps';

test('create, get, update and delete with optimistic concurrency', async (t) => {
  const api = await startFixture(t);
  const created = await api.call(maps, { body: configMap('a', { x: '1' }) });
  assert.equal(created.code, 201);
  assert.match(textAt(created.body, 'metadata', 'uid') ?? '', /^[0-9a-f-]{36}$/);
  assert.equal((await api.call(maps, { body: configMap('a') })).body['reason'], 'AlreadyExists');

  const first = await api.call(`${maps}/a`, {
    method: 'PUT',
    body: { ...created.body, data: { x: '2' } },
  });
  assert.equal(first.code, 200);
  const stale = await api.call(`${maps}/a`, { method: 'PUT', body: { ...created.body, data: { x: '3' } } });
  assert.equal(stale.code, 409);
  assert.equal(stale.body['reason'], 'Conflict');
  assert.match(textAt(stale.body, 'message') ?? '', /the object has been modified/);

  const same = await api.call(`${maps}/a`, { method: 'PUT', body: first.body });
  assert.equal(
    at(same.body, 'metadata', 'resourceVersion'),
    at(first.body, 'metadata', 'resourceVersion'),
    'an unchanged object keeps its version',
  );
  const wrong = await api.call(`${maps}/a`, {
    method: 'DELETE',
    body: { preconditions: { uid: 'other' } },
  });
  assert.equal(wrong.code, 409);
  assert.equal((await api.call(`${maps}/a`, { method: 'DELETE' })).body['status'], 'Success');
  assert.equal((await api.call(`${maps}/a`)).code, 404);
});

test('a body that is not what the path says is refused', async (t) => {
  const api = await startFixture(t);
  assert.equal((await api.call(maps, { body: pod('a') })).code, 400);
  assert.equal((await api.call(maps, { body: '{' })).code, 400);
  const elsewhere = configMap('a');
  elsewhere['metadata'] = { name: 'a', namespace: 'kube-system' };
  assert.equal((await api.call(maps, { body: elsewhere })).code, 400);
  const other = await api.call(`${maps}/b`, { method: 'PUT', body: configMap('a') });
  assert.match(textAt(other.body, 'message') ?? '', /does not match the name on the URL/);
});

test('names and required fields are checked, with one cause per fault', async (t) => {
  const api = await startFixture(t);
  const bad = await api.call(maps, { body: configMap('Not_A_Name') });
  assert.equal(bad.code, 422);
  assert.equal(textAt(bad.body, 'details', 'causes', 0, 'field'), 'metadata.name');
  const deployment = await api.call('/apis/apps/v1/namespaces/default/deployments', {
    body: {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'd' },
      spec: {
        selector: { matchLabels: { app: 'x' } },
        template: { metadata: { labels: { app: 'y' } }, spec: { containers: [{ name: 'c' }] } },
      },
    },
  });
  assert.equal(deployment.code, 422);
  assert.deepEqual(
    listAt(deployment.body, 'details', 'causes').map((cause) => textAt(cause, 'field')),
    ['spec.template.metadata.labels', 'spec.template.spec.containers[0].image'],
  );
});

test('generateName gives distinct names', async (t) => {
  const api = await startFixture(t);
  const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { generateName: 'job-' } };
  const names = await Promise.all(
    Array.from({ length: 5 }, async () => textAt((await api.call(maps, { body })).body, 'metadata', 'name')),
  );
  assert.equal(new Set(names).size, 5);
  for (const name of names) assert.match(name ?? '', /^job-[a-z0-9]{5}$/);
});

test('finalizers hold an object until the last one is removed', async (t) => {
  const api = await startFixture(t);
  const body = configMap('held');
  body['metadata'] = { name: 'held', finalizers: ['example.com/hold'] };
  await api.call(maps, { body });
  const deleted = await api.call(`${maps}/held`, { method: 'DELETE' });
  assert.equal(deleted.body['kind'], 'ConfigMap');
  assert.ok(textAt(deleted.body, 'metadata', 'deletionTimestamp'));
  const more = await api.patch(`${maps}/held`, 'merge', {
    metadata: { finalizers: ['example.com/hold', 'example.com/more'] },
  });
  assert.equal(more.code, 422, 'no new finalizers while terminating');
  assert.equal((await api.patch(`${maps}/held`, 'merge', { metadata: { finalizers: null } })).code, 200);
  assert.equal((await api.call(`${maps}/held`)).code, 404);
});

test('a pod on a node gets its grace period; one that runs nowhere goes at once', async (t) => {
  const api = await startFixture(t);
  await createAccount(api, 'default');
  const pods = '/api/v1/namespaces/default/pods';
  await api.call(pods, { body: pod('idle') });
  await api.call(`${pods}/idle`, { method: 'DELETE' });
  assert.equal((await api.call(`${pods}/idle`)).code, 404);

  await api.call(pods, { body: pod('busy') });
  const binding = { apiVersion: 'v1', kind: 'Binding', target: { kind: 'Node', name: 'node' } };
  assert.equal((await api.call(`${pods}/busy/binding`, { body: binding })).code, 201);
  assert.equal((await api.call(`${pods}/busy/binding`, { body: binding })).code, 409, 'bound once');
  const going = await api.call(`${pods}/busy`, { method: 'DELETE' });
  assert.equal(at(going.body, 'metadata', 'deletionGracePeriodSeconds'), 30);
  const sooner = await api.call(`${pods}/busy?gracePeriodSeconds=5`, { method: 'DELETE' });
  assert.equal(at(sooner.body, 'metadata', 'deletionGracePeriodSeconds'), 5);
  await api.call(`${pods}/busy`, { method: 'DELETE', body: { gracePeriodSeconds: 0 } });
  assert.equal((await api.call(`${pods}/busy`)).code, 404);
});

test('status is written only through its subresource, and generation counts changes of the rest', async (t) => {
  const api = await startFixture(t);
  const path = '/apis/apps/v1/namespaces/default/deployments';
  const created = await api.call(path, {
    body: {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'd' },
      spec: {
        selector: { matchLabels: { app: 'x' } },
        template: {
          metadata: { labels: { app: 'x' } },
          spec: { containers: [{ name: 'c', image: 'i' }] },
        },
      },
      status: { replicas: 9 },
    },
  });
  assert.deepEqual(created.body['status'], {});
  assert.equal(at(created.body, 'spec', 'replicas'), 1, 'defaulted');
  const main = await api.patch(`${path}/d`, 'merge', { status: { replicas: 9 } });
  assert.deepEqual(main.body['status'], {});
  const status = await api.patch(`${path}/d/status`, 'merge', {
    status: { replicas: 2 },
    spec: { replicas: 7 },
  });
  assert.equal(at(status.body, 'status', 'replicas'), 2);
  assert.equal(at(status.body, 'spec', 'replicas'), 1);
  assert.equal(at(status.body, 'metadata', 'generation'), 1);
  const scaled = await api.patch(`${path}/d/scale`, 'merge', { spec: { replicas: 4 } });
  assert.equal(scaled.body['kind'], 'Scale');
  assert.equal(at(scaled.body, 'status', 'selector'), 'app=x');
  const after = await api.call(`${path}/d`);
  assert.equal(at(after.body, 'spec', 'replicas'), 4);
  assert.equal(at(after.body, 'metadata', 'generation'), 2);
});

test('a dry run changes nothing', async (t) => {
  const api = await startFixture(t);
  assert.equal((await api.call(`${maps}?dryRun=All`, { body: configMap('a') })).code, 201);
  assert.equal((await api.call(`${maps}/a`)).code, 404);
  await api.call(maps, { body: configMap('a') });
  assert.equal((await api.call(`${maps}?dryRun=All`, { body: configMap('a') })).code, 409);
  await api.call(`${maps}/a?dryRun=All`, { method: 'DELETE' });
  assert.equal((await api.call(`${maps}/a`)).code, 200);
});

test('an eviction that is a dry run evicts nobody, and one of another pod is refused', async (t) => {
  const api = await startFixture(t);
  await createAccount(api, 'default');
  const path = '/api/v1/namespaces/default/pods';
  await api.call(path, { body: pod('p') });
  const evict = (metadata: JsonObject, deleteOptions: JsonObject) =>
    api.call(`${path}/p/eviction`, {
      body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata, deleteOptions },
    });
  assert.equal((await evict({ name: 'other' }, {})).code, 400);
  assert.equal((await evict({ name: 'p' }, { dryRun: ['All'] })).code, 201);
  assert.equal((await api.call(`${path}/p`)).code, 200);
  assert.equal((await evict({ name: 'p' }, {})).code, 201);
  assert.equal((await api.call(`${path}/p`)).code, 404);
});

test('two controllers of one object, and a rolling update that cannot move, are refused', async (t) => {
  const api = await startFixture(t);
  const owner = (name: string) => ({ apiVersion: 'v1', kind: 'X', name, uid: name, controller: true });
  const body = { ...configMap('a'), metadata: { name: 'a', ownerReferences: [owner('x'), owner('y')] } };
  const owned = await api.call(maps, { body });
  assert.equal(owned.code, 422);
  assert.match(owned.text, /Only one reference can have Controller set to true/);
  const deploy = (maxSurge: Json, maxUnavailable: Json) =>
    api.call('/apis/apps/v1/namespaces/default/deployments?dryRun=All', {
      body: {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'd' },
        spec: {
          selector: { matchLabels: { app: 'x' } },
          strategy: { rollingUpdate: { maxSurge, maxUnavailable } },
          template: {
            metadata: { labels: { app: 'x' } },
            spec: { containers: [{ name: 'c', image: 'c' }] },
          },
        },
      },
    });
  const cases: [maxSurge: Json, maxUnavailable: Json, code: number][] = [
    [0, 0, 422],
    ['0%', 0, 422],
    [-1, 1, 422],
    ['half', 1, 422],
    [0, '101%', 422],
    [0, '100%', 201],
    ['200%', 0, 201],
  ];
  for (const [surge, unavailable, code] of cases) {
    assert.equal((await deploy(surge, unavailable)).code, code, `${surge} ${unavailable}`);
  }
});

test('duplicate members are refused, warned about or ignored as asked', async (t) => {
  const api = await startFixture(t);
  const body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"1","x":"2"}}';
  const strict = await api.call(`${maps}?fieldValidation=Strict`, { body });
  assert.equal(strict.code, 400);
  assert.match(textAt(strict.body, 'message') ?? '', /strict decoding error: duplicate field "data.x"/);
  const warned = await api.call(`${maps}?fieldValidation=Warn&dryRun=All`, { body });
  assert.equal(warned.headers['warning'], '299 - "duplicate field \\"data.x\\""');
  const ignored = await api.call(`${maps}?fieldValidation=Ignore&dryRun=All`, { body });
  assert.equal(ignored.headers['warning'], undefined);
});

test('built-in kinds know their members and types', async (t) => {
  const api = await startFixture(t);
  const path = '/apis/apps/v1/namespaces/default/deployments';
  const body = (spec: JsonObject, container: JsonObject): Json => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'd' },
    spec: {
      selector: { matchLabels: { app: 'x' } },
      template: {
        metadata: { labels: { app: 'x' } },
        spec: { containers: [{ name: 'c', image: 'i', ...container }] },
      },
      ...spec,
    },
  });
  const sized = body({}, { resources: { limits: { cpu: 1, memory: '1Gi' } } });
  assert.equal((await api.call(`${path}?dryRun=All`, { body: sized })).code, 201, 'numbers as quantities');
  const typo = body({ replica: 3 }, { livenessprobe: {} });
  const strict = await api.call(`${path}?fieldValidation=Strict`, { body: typo });
  assert.equal(strict.code, 400);
  assert.match(
    textAt(strict.body, 'message') ?? '',
    /unknown field "spec.template.spec.containers\[0\].livenessprobe", unknown field "spec.replica"/,
  );
  const warned = await api.call(path, { body: typo });
  assert.equal(warned.code, 201);
  assert.equal(at(warned.body, 'spec', 'replica'), undefined, 'dropped, as by a real server');
  const wrong = await api.call(path, { body: body({ replicas: '3' }, {}) });
  assert.equal(wrong.code, 400);
  assert.match(textAt(wrong.body, 'message') ?? '', /cannot unmarshal .spec.replicas/);
});

test('a body over the limit is 413', async (t) => {
  const api = await startFixture(t, { limits: { apiserver_request_body_bytes: 1000 } });
  const answer = await api.call(maps, { body: configMap('a', { x: 'x'.repeat(2000) }) });
  assert.equal(answer.code, 413);
});

test('deletecollection deletes what the selector names', async (t) => {
  const api = await startFixture(t);
  for (const [name, app] of [
    ['a', 'x'],
    ['b', 'y'],
  ] as const) {
    const body = configMap(name);
    body['metadata'] = { name, labels: { app } };
    await api.call(maps, { body });
  }
  assert.equal((await api.call(`${maps}?labelSelector=app%3Dx`, { method: 'DELETE' })).code, 200);
  assert.equal((await api.call(`${maps}/a`)).code, 404);
  assert.equal((await api.call(`${maps}/b`)).code, 200);
});
