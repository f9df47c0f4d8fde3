import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeClient } from '@mesh/kube/client';
import { configMaps, deployments, pods, replicaSets, type ResourceType } from '@mesh/kube/resources';
import type { ConfigMap, OwnerReference, Stored } from '@mesh/kube/types';
import { eventually } from '@mesh/testkit/eventually';
import {
  defineWidgets,
  isReadyPod,
  makeDeployment,
  makeNamespace,
  startTestCluster,
  widgets,
} from './testing/test-cluster.ts';

const namespace = 'shop';

async function make(
  client: KubeClient,
  name: string,
  owners: OwnerReference[] = [],
): Promise<Stored<ConfigMap>> {
  return await client.create(configMaps, { metadata: { name, namespace, ownerReferences: owners } });
}

function ownedBy({ metadata: { name, uid } }: Stored<ConfigMap>, blockOwnerDeletion = true): OwnerReference {
  return { apiVersion: 'v1', kind: 'ConfigMap', name, uid, blockOwnerDeletion };
}

test('background: dependents of all depths follow their owner, and only those without another', async (t) => {
  const { client } = await startTestCluster(t);
  await makeNamespace(client, namespace);
  const owner = await make(client, 'owner');
  const other = await make(client, 'other');
  const child = await make(client, 'child', [ownedBy(owner)]);
  await make(client, 'grandchild', [ownedBy(child)]);
  await make(client, 'shared', [ownedBy(owner), ownedBy(other)]);
  await make(client, 'free');
  await client.delete(configMaps, owner.metadata, { propagationPolicy: 'Background' });
  await eventually('collected', async () => {
    const names = (await client.list(configMaps, { namespace })).items.map(({ metadata }) => metadata.name);
    assert.deepEqual(names.filter((name) => name !== 'kube-root-ca.crt').sort(), ['free', 'other', 'shared']);
    const shared = await client.get(configMaps, { namespace, name: 'shared' });
    assert.deepEqual(
      shared.metadata.ownerReferences?.map(({ name }) => name),
      ['other'],
    );
    return true;
  });
});

test('an owner that never was, or that is another object of the same name, counts as gone', async (t) => {
  const { client } = await startTestCluster(t);
  await makeNamespace(client, namespace);
  const real = await make(client, 'real');
  await make(client, 'kept', [ownedBy(real)]);
  await make(client, 'impostor', [{ ...ownedBy(real), uid: '00000000-0000-4000-8000-000000000000' }]);
  await eventually(
    'collected',
    async () => (await client.find(configMaps, { namespace, name: 'impostor' })) === undefined,
  );
  assert.ok(await client.find(configMaps, { namespace, name: 'kept' }));
});

test('an owner of a type the server does not know keeps its dependents', async (t) => {
  const { client } = await startTestCluster(t);
  await makeNamespace(client, namespace);
  const uid = '00000000-0000-4000-8000-000000000001';
  await make(client, 'kept', [{ apiVersion: 'example.io/v1', kind: 'Widget', name: 'w', uid }]);
  await make(client, 'swept', [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'w', uid }]);
  await eventually(
    'a sure case is collected',
    async () => (await client.find(configMaps, { namespace, name: 'swept' })) === undefined,
  );
  assert.ok(await client.find(configMaps, { namespace, name: 'kept' }));
});

test('foreground: the owner stays until its dependents are gone', async (t) => {
  const { client, runner } = await startTestCluster(t);
  await makeNamespace(client, namespace);
  await makeDeployment(client, { namespace, name: 'cart', replicas: 2 });
  await eventually(
    'running',
    async () => (await client.list(pods, { namespace })).items.filter(isReadyPod).length === 2,
  );
  runner.mayEnd = () => false;
  const ref = { namespace, name: 'cart' };
  await client.delete(deployments, ref, { propagationPolicy: 'Foreground' });
  await eventually('pods asked to end', async () =>
    (await client.list(pods, { namespace })).items.every(
      ({ metadata }) => metadata.deletionTimestamp !== undefined,
    ),
  );
  assert.ok((await client.get(deployments, ref)).metadata.deletionTimestamp !== undefined);
  assert.equal((await client.list(replicaSets, { namespace })).items.length, 1);
  runner.mayEnd = () => true;
  runner.look();
  await eventually('all gone', async () => {
    const all: ResourceType[] = [pods, replicaSets, deployments];
    const left = await Promise.all(
      all.map(async (type) => (await client.list(type, { namespace })).items.length),
    );
    assert.deepEqual(left, [0, 0, 0]);
    return true;
  });
});

test('orphan: dependents stay, without the reference', async (t) => {
  const { client } = await startTestCluster(t);
  await makeNamespace(client, namespace);
  await makeDeployment(client, { namespace, name: 'cart', replicas: 1 });
  await eventually(
    'running',
    async () => (await client.list(pods, { namespace })).items.filter(isReadyPod).length === 1,
  );
  const ref = { namespace, name: 'cart' };
  await client.delete(deployments, ref, { propagationPolicy: 'Orphan' });
  await eventually('owner gone', async () => (await client.find(deployments, ref)) === undefined);
  const sets = (await client.list(replicaSets, { namespace })).items;
  assert.equal(sets.length, 1);
  assert.equal(sets[0]?.metadata.ownerReferences, undefined);
});

test('custom objects own and are owned as others are', async (t) => {
  const { client } = await startTestCluster(t);
  await makeNamespace(client, namespace);
  await defineWidgets(client);
  const widget = await eventually('widget', async () =>
    client.create(widgets, { metadata: { name: 'w', namespace } }),
  );
  const { uid, name } = widget.metadata;
  await make(client, 'owned', [{ apiVersion: 'example.io/v1', kind: 'Widget', name, uid }]);
  await client.delete(widgets, widget.metadata);
  await eventually(
    'collected',
    async () => (await client.find(configMaps, { namespace, name: 'owned' })) === undefined,
  );
});
