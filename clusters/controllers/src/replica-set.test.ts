import assert from 'node:assert/strict';
import { test } from 'node:test';
import { events, pods, replicaSets } from '@mesh/kube/resources';
import type { Pod, Stored } from '@mesh/kube/types';
import { eventually } from '@mesh/testkit/eventually';
import { isReadyPod, makeNamespace, startTestCluster, template } from './testing/test-cluster.ts';

test('a scale down takes the pods that are not ready', async (t) => {
  const { client, runner } = await startTestCluster(t);
  const namespace = await makeNamespace(client, 'shop');
  const broken = new Set<string>();
  runner.mayBeReady = (pod) => {
    if (broken.size < 2) broken.add(pod.metadata.name);
    return !broken.has(pod.metadata.name);
  };
  const ref = { namespace, name: 'cart' };
  await client.create(replicaSets, {
    metadata: ref,
    spec: { replicas: 5, selector: { matchLabels: { app: 'cart' } }, template: template('cart') },
  });
  const list = async (): Promise<Stored<Pod>[]> => (await client.list(pods, { namespace })).items;
  await eventually('3 of 5 ready', async () => {
    const all = await list();
    return all.length === 5 && all.filter(isReadyPod).length === 3;
  });
  await client.patch(replicaSets, ref, { patch: { type: 'merge', body: { spec: { replicas: 3 } } } });
  await eventually('3 left', async () => (await list()).length === 3);
  assert.ok((await list()).every((pod) => !broken.has(pod.metadata.name)));
});

test('deleted and failed pods are replaced, matching ones adopted, relabelled ones let go', async (t) => {
  const { client } = await startTestCluster(t);
  const namespace = await makeNamespace(client, 'shop');
  const stray = await client.create(pods, {
    metadata: { name: 'stray', namespace, labels: { app: 'cart' } },
    spec: { containers: [{ name: 'c', image: 'i' }] },
  });
  const set = await client.create(replicaSets, {
    metadata: { namespace, name: 'cart' },
    spec: { replicas: 3, selector: { matchLabels: { app: 'cart' } }, template: template('cart') },
  });
  const owned = async (): Promise<Stored<Pod>[]> =>
    (await client.list(pods, { namespace })).items.filter(({ metadata }) =>
      metadata.ownerReferences?.some(
        ({ uid, controller }) => uid === set.metadata.uid && controller === true,
      ),
    );
  await eventually('3 owned, one of them adopted', async () => {
    const all = await owned();
    return all.length === 3 && all.some(({ metadata }) => metadata.uid === stray.metadata.uid);
  });
  const [first, second, third] = await owned();
  assert.ok(first !== undefined && second !== undefined && third !== undefined);
  await client.delete(pods, first.metadata);
  // by patch, because the runner writes this status too
  const failed = { type: 'merge' as const, body: { status: { phase: 'Failed' } } };
  await client.patch(pods, second.metadata, { subresource: 'status', patch: failed });
  await client.patch(pods, third.metadata, {
    patch: { type: 'merge', body: { metadata: { labels: { app: 'debug' } } } },
  });
  await eventually('replaced', async () => {
    const all = (await owned()).filter(({ status }) => status?.phase !== 'Failed');
    return all.length === 3 && all.every(({ metadata }) => metadata.uid !== third.metadata.uid);
  });
  assert.equal((await client.get(pods, third.metadata)).metadata.ownerReferences, undefined);
});

test('a template that the server refuses is reported and not asked for without end', async (t) => {
  const { client } = await startTestCluster(t);
  const namespace = await makeNamespace(client, 'shop');
  await client.create(replicaSets, {
    metadata: { namespace, name: 'cart' },
    spec: {
      replicas: 50,
      selector: { matchLabels: { app: 'cart' } },
      template: {
        ...template('cart'),
        spec: {
          ...template('cart').spec,
          serviceAccountName: 'nobody',
          containers: [{ name: 'c', image: 'i' }],
        },
      },
    },
  });
  await eventually('reported', async () => {
    const { status } = await client.get(replicaSets, { namespace, name: 'cart' });
    const condition = status?.conditions?.find(({ type }) => type === 'ReplicaFailure');
    assert.match(condition?.message ?? '', /nobody/);
    return condition?.status === 'True';
  });
  await eventually('event', async () => {
    const failed = (await client.list(events, { namespace })).items.filter(
      ({ reason }) => reason === 'FailedCreate',
    );
    return failed.length === 1 && (failed[0]?.count ?? 1) > 2;
  });
  const { items } = await client.list(events, { namespace });
  assert.ok((items[0]?.count ?? 1) < 15, 'tries back off');
});
