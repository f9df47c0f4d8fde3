import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deployments, replicaSets } from '@mesh/kube/resources';
import { eventually } from '@mesh/testkit/eventually';
import { claimChildren } from './claim.ts';
import { makeDeployment, makeNamespace, startTestCluster, template } from './testing/test-cluster.ts';

const namespace = 'shop';

test('an owner that is being deleted adopts nothing, though the cached one does not know it', async (t) => {
  const { client } = await startTestCluster(t);
  await makeNamespace(client, namespace);
  await makeDeployment(client, { namespace, name: 'cart', replicas: 0 });
  const selector = { matchLabels: { app: 'cart' } };
  const claim = async (owner: Awaited<ReturnType<typeof cached>>): Promise<number> =>
    (await claimChildren({ client, childType: replicaSets, ownerType: deployments, owner, selector })).length;
  const ref = { namespace, name: 'cart' };
  const cached = async () => await client.get(deployments, ref);
  const hold = { metadata: { finalizers: ['example.com/hold'] } };
  await client.patch(deployments, ref, { patch: { type: 'merge', body: hold } });
  const before = await cached();
  await eventually('its own set', async () => (await claim(before)) === 1);
  await client.delete(deployments, ref);
  const orphan = {
    metadata: { name: 'orphan', namespace, labels: { app: 'cart' } },
    spec: { replicas: 0, selector, template: template('cart') },
  };
  const { metadata } = await client.create(replicaSets, orphan);
  assert.equal(await claim(before), 1, 'only what it has');
  const { ownerReferences } = (await client.get(replicaSets, metadata)).metadata;
  assert.equal(ownerReferences, undefined);
});
