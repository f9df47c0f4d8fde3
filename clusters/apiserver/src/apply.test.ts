import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { startFixture } from './api-fixture.ts';
import { at, listAt, textAt, type Json, type JsonObject } from './json.ts';

const deployments = '/apis/apps/v1/namespaces/default/deployments';

function deployment(spec: JsonObject, container: JsonObject = {}): Json {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'd' },
    spec: {
      selector: { matchLabels: { app: 'x' } },
      template: {
        metadata: { labels: { app: 'x' } },
        spec: { containers: [{ name: 'c', image: 'i:1', ...container }] },
      },
      ...spec,
    },
  };
}

test('apply creates, is idempotent, and removes what a manager no longer wants', async (t) => {
  const clock = new FakeClock(systemClock.wall());
  const api = await startFixture(t, { clock: { ...systemClock, wall: () => clock.wall() } });
  const created = await api.apply(`${deployments}/d`, deployment({ minReadySeconds: 3 }));
  assert.equal(created.code, 201, created.text);
  clock.advance(5000);
  const same = await api.apply(`${deployments}/d`, deployment({ minReadySeconds: 3 }));
  assert.deepEqual(same.body['metadata'], created.body['metadata'], 'nothing was written');
  const less = await api.apply(`${deployments}/d`, deployment({}));
  assert.equal(at(less.body, 'spec', 'minReadySeconds'), undefined);
  assert.equal(at(less.body, 'spec', 'replicas'), 1, 'a default belongs to nobody and stays');
});

test('a value that another manager set is a conflict, unless it is the same or forced', async (t) => {
  const api = await startFixture(t);
  await api.apply(`${deployments}/d`, deployment({ replicas: 2 }), 'fieldManager=one');
  const agreed = await api.apply(`${deployments}/d`, deployment({ replicas: 2 }), 'fieldManager=two');
  assert.equal(agreed.code, 200, 'the same value is shared');
  const refused = await api.apply(`${deployments}/d`, deployment({ replicas: 5 }), 'fieldManager=two');
  assert.equal(refused.code, 409);
  assert.deepEqual(at(refused.body, 'details', 'causes'), [
    {
      reason: 'FieldManagerConflict',
      message: 'conflict with "one"',
      field: '.spec.replicas',
    },
  ]);
  const forced = await api.apply(
    `${deployments}/d`,
    deployment({ replicas: 5 }),
    'fieldManager=two&force=true',
  );
  assert.equal(at(forced.body, 'spec', 'replicas'), 5);
  const owner = listAt(forced.body, 'metadata', 'managedFields').filter(
    (entry) => at(entry, 'fieldsV1', 'f:spec', 'f:replicas') !== undefined,
  );
  assert.deepEqual(
    owner.map((entry) => textAt(entry, 'manager')),
    ['two'],
  );
  const late = await api.apply(`${deployments}/d`, deployment({}), 'fieldManager=one');
  assert.equal(at(late.body, 'spec', 'replicas'), 5, 'what one lost is not removed with its intent');
});

test('an ordinary update takes ownership of what it changes', async (t) => {
  const api = await startFixture(t);
  await api.apply(`${deployments}/d`, deployment({ replicas: 2 }), 'fieldManager=one');
  await api.patch(`${deployments}/d?fieldManager=scaler`, 'merge', { spec: { replicas: 3 } });
  const refused = await api.apply(`${deployments}/d`, deployment({ replicas: 2 }), 'fieldManager=one');
  assert.match(
    textAt(refused.body, 'message') ?? '',
    /conflict with "scaler" using apps\/v1: .spec.replicas/,
  );
});

test('list items belong to whoever applied them', async (t) => {
  const api = await startFixture(t);
  const env = (...names: string[]): JsonObject => ({
    env: names.map((name) => ({ name, value: name })),
  });
  await api.apply(`${deployments}/d`, deployment({}, env('A', 'B')), 'fieldManager=one');
  const sidecar: Json = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'd' },
    spec: {
      template: {
        spec: {
          containers: [
            { name: 'proxy', image: 'p' },
            { name: 'c', ...env('C') },
          ],
        },
      },
    },
  };
  const joined = await api.apply(`${deployments}/d`, sidecar, 'fieldManager=two');
  assert.equal(joined.code, 200, joined.text);
  const path = ['spec', 'template', 'spec', 'containers'];
  assert.deepEqual(
    listAt(joined.body, ...path).map((item) => textAt(item, 'name')),
    ['c', 'proxy'],
  );
  const fewer = await api.apply(`${deployments}/d`, deployment({}, env('B')), 'fieldManager=one');
  assert.deepEqual(
    listAt(fewer.body, ...path, 0, 'env').map((item) => textAt(item, 'name')),
    ['B', 'C'],
  );
  assert.equal(listAt(fewer.body, ...path).length, 2, 'the item of the other manager stays');
});

test('apply needs a manager, and takes YAML', async (t) => {
  const api = await startFixture(t);
  const nobody = await api.apply(`${deployments}/d`, deployment({}), 'force=true');
  assert.match(
    textAt(nobody.body, 'message') ?? '',
    /fieldManager: Required value: is required for apply patch/,
  );
  const yaml = await api.call('/api/v1/namespaces/default/configmaps/y?fieldManager=test', {
    method: 'PATCH',
    headers: { 'content-type': 'application/apply-patch+yaml' },
    body: 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: y\ndata:\n  a: |\n    text\n',
  });
  assert.equal(yaml.code, 201);
  assert.equal(at(yaml.body, 'data', 'a'), 'text\n');
});
