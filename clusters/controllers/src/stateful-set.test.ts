import assert from 'node:assert/strict';
import { test } from 'node:test';
import { events, pods, statefulSets } from '@mesh/kube/resources';
import type { Pod, Stored } from '@mesh/kube/types';
import { eventually } from '@mesh/testkit/eventually';
import { isReadyPod, makeNamespace, startTestCluster, template } from './testing/test-cluster.ts';

test('pods have stable names, come in order, go in reverse and update from the highest', async (t) => {
  const { client, runner } = await startTestCluster(t);
  const namespace = await makeNamespace(client, 'shop');
  const ref = { namespace, name: 'db' };
  const list = async (): Promise<Stored<Pod>[]> => (await client.list(pods, { namespace })).items;
  const names = async (): Promise<string[]> => (await list()).map(({ metadata }) => metadata.name).sort();
  const merge = async (spec: object): Promise<void> => {
    await client.patch(statefulSets, ref, { patch: { type: 'merge', body: { spec } } });
  };
  let held = 'db-1';
  runner.mayBeReady = (pod) => pod.metadata.name !== held;
  await client.create(statefulSets, {
    metadata: ref,
    spec: {
      replicas: 3,
      serviceName: 'db',
      selector: { matchLabels: { app: 'db' } },
      template: template('db'),
    },
  });
  await eventually('two, the second not ready', async () => {
    const all = await list();
    return all.length === 2 && all.every(({ status }) => status?.podIP !== undefined);
  });
  held = '';
  runner.look();
  await eventually('three ready', async () => {
    const { status } = await client.get(statefulSets, ref);
    return status?.readyReplicas === 3 && status.availableReplicas === 3 && status.updatedReplicas === 3;
  });
  assert.deepEqual(await names(), ['db-0', 'db-1', 'db-2']);
  const second = await client.get(pods, { namespace, name: 'db-1' });
  assert.equal(second.spec?.hostname, 'db-1');
  assert.equal(second.spec?.subdomain, 'db');
  assert.equal(second.metadata.labels?.['statefulset.kubernetes.io/pod-name'], 'db-1');

  await client.delete(pods, second.metadata);
  await eventually('db-1 is another pod of the same name', async () => {
    const pod = await client.find(pods, second.metadata);
    return pod !== undefined && pod.metadata.uid !== second.metadata.uid && isReadyPod(pod);
  });

  held = 'db-2';
  await merge({ template: template('db', 'v2') });
  await eventually('only db-2 is new, and waits', async () => {
    const pod = await client.find(pods, { namespace, name: 'db-2' });
    return pod?.spec?.containers[0]?.image === 'db:v2' && pod.status?.podIP !== undefined;
  });
  assert.equal((await client.get(pods, { namespace, name: 'db-1' })).spec?.containers[0]?.image, 'db:v1');
  held = '';
  runner.look();
  await eventually('all new', async () => {
    const { status } = await client.get(statefulSets, ref);
    assert.equal(status?.updatedReplicas, 3);
    assert.equal(status?.readyReplicas, 3);
    return status?.currentRevision === status?.updateRevision;
  });

  runner.mayEnd = (pod) => pod.metadata.name !== 'db-2';
  await merge({ replicas: 1 });
  await eventually('db-2 ends', async () => {
    const pod = await client.get(pods, { namespace, name: 'db-2' });
    return pod.metadata.deletionTimestamp !== undefined;
  });
  assert.equal((await client.get(pods, { namespace, name: 'db-1' })).metadata.deletionTimestamp, undefined);
  runner.mayEnd = () => true;
  runner.look();
  await eventually('one left', async () => {
    assert.deepEqual(await names(), ['db-0']);
    return true;
  });
});

test('Parallel starts all at once, OnDelete leaves pods alone, claims are refused with a reason', async (t) => {
  const { client, runner } = await startTestCluster(t);
  const namespace = await makeNamespace(client, 'shop');
  runner.mayBeReady = () => false;
  const selector = { matchLabels: { app: 'db' } };
  await client.create(statefulSets, {
    metadata: { namespace, name: 'db' },
    spec: {
      replicas: 3,
      serviceName: 'db',
      podManagementPolicy: 'Parallel',
      updateStrategy: { type: 'OnDelete' },
      selector,
      template: template('db'),
    },
  });
  await eventually('three', async () => (await client.list(pods, { namespace })).items.length === 3);
  const body = { spec: { template: template('db', 'v2') } };
  await client.patch(statefulSets, { namespace, name: 'db' }, { patch: { type: 'merge', body } });
  await eventually('the new revision is known', async () => {
    const { status } = await client.get(statefulSets, { namespace, name: 'db' });
    return status?.updateRevision !== status?.currentRevision;
  });
  await client.delete(pods, { namespace, name: 'db-1' });
  await eventually('the deleted one is new', async () => {
    const pod = await client.find(pods, { namespace, name: 'db-1' });
    return pod?.spec?.containers[0]?.image === 'db:v2';
  });
  assert.equal((await client.get(pods, { namespace, name: 'db-2' })).spec?.containers[0]?.image, 'db:v1');

  await client.create(statefulSets, {
    metadata: { namespace, name: 'disk' },
    spec: {
      serviceName: 'disk',
      selector: { matchLabels: { app: 'disk' } },
      template: template('disk'),
      volumeClaimTemplates: [
        {
          metadata: { name: 'data' },
          spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
        },
      ],
    },
  });
  await eventually('refused', async () => {
    const { items } = await client.list(events, { namespace });
    return items.some(
      ({ reason, message }) => reason === 'FailedCreate' && /volumeClaimTemplates/.test(message ?? ''),
    );
  });
});
