import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock, systemRandom } from '@mesh/clock/system';
import { Informer } from '@mesh/kube/informer';
import { deployments, events, pods, replicaSets } from '@mesh/kube/resources';
import type { Pod } from '@mesh/kube/types';
import { eventually } from '@mesh/testkit/eventually';
import {
  isReadyPod,
  makeDeployment,
  makeNamespace,
  startTestCluster,
  template,
} from './testing/test-cluster.ts';

test('a deployment brings up its pods, reports them, and follows its replica count', async (t) => {
  const { client } = await startTestCluster(t);
  const namespace = await makeNamespace(client, 'shop');
  await makeDeployment(client, { namespace, name: 'cart', replicas: 3 });
  const ready = async (count: number): Promise<void> => {
    await eventually(`${count} available`, async () => {
      const { status = {}, metadata } = await client.get(deployments, { namespace, name: 'cart' });
      assert.equal(status.availableReplicas ?? 0, count);
      assert.equal(status.updatedReplicas ?? 0, count);
      assert.equal(status.replicas ?? 0, count);
      assert.equal(status.observedGeneration, metadata.generation);
      return true;
    });
  };
  await ready(3);
  const { status, metadata } = await client.get(deployments, { namespace, name: 'cart' });
  const conditions = Object.fromEntries((status?.conditions ?? []).map(({ type, reason }) => [type, reason]));
  assert.deepEqual(conditions, {
    Available: 'MinimumReplicasAvailable',
    Progressing: 'NewReplicaSetAvailable',
  });
  assert.equal(metadata.annotations?.['deployment.kubernetes.io/revision'], '1');
  for (const count of [5, 1, 0]) {
    await client.patch(
      deployments,
      { namespace, name: 'cart' },
      { patch: { type: 'merge', body: { spec: { replicas: count } } } },
    );
    await ready(count);
    await eventually('pods', async () => (await client.list(pods, { namespace })).items.length === count);
  }
  const reasons = new Set((await client.list(events, { namespace })).items.map(({ reason }) => reason));
  for (const reason of ['ScalingReplicaSet', 'SuccessfulCreate', 'SuccessfulDelete', 'Scheduled']) {
    assert.ok(reasons.has(reason), `event ${reason}`);
  }
});

test('a rolling update never has fewer ready pods than allowed, nor more pods than allowed', async (t) => {
  const { client } = await startTestCluster(t);
  const namespace = await makeNamespace(client, 'shop');
  const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 1 } };
  await makeDeployment(client, { namespace, name: 'cart', replicas: 4 }, { strategy });
  await eventually('first version', async () => {
    const { status } = await client.get(deployments, { namespace, name: 'cart' });
    return status?.availableReplicas === 4;
  });
  const watcher = new Informer<Pod>({
    client,
    type: pods,
    namespace,
    clock: systemClock,
    random: systemRandom,
  });
  let fewest = Number.POSITIVE_INFINITY;
  let most = 0;
  watcher.start();
  await watcher.synced;
  watcher.onChange(() => {
    const alive = watcher.list().filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    fewest = Math.min(fewest, alive.filter(isReadyPod).length);
    most = Math.max(most, alive.length);
  });
  t.after(() => watcher.stop());
  for (const version of ['v2', 'v3']) {
    fewest = Number.POSITIVE_INFINITY;
    const body = { spec: { template: template('cart', version) } };
    await client.patch(deployments, { namespace, name: 'cart' }, { patch: { type: 'merge', body } });
    await eventually(
      `all on ${version}`,
      async () => {
        const { items } = await client.list(pods, { namespace });
        return (
          items.length === 4 &&
          items.every((pod) => isReadyPod(pod) && pod.spec?.containers[0]?.image === `cart:${version}`)
        );
      },
      { timeoutMs: 10_000 },
    );
    assert.ok(fewest >= 3, `${fewest} ready pods at the lowest`);
  }
  assert.ok(most <= 5, `${most} pods at the highest`);
});

test('an update that never becomes ready stops half way, and the way back uses the old set', async (t) => {
  const { client, runner } = await startTestCluster(t);
  const namespace = await makeNamespace(client, 'shop');
  runner.mayBeReady = (pod) => pod.spec?.containers[0]?.image !== 'cart:broken';
  await makeDeployment(
    client,
    { namespace, name: 'cart', replicas: 2 },
    {
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    },
  );
  const available = async (): Promise<number> =>
    (await client.get(deployments, { namespace, name: 'cart' })).status?.availableReplicas ?? 0;
  await eventually('first version', async () => (await available()) === 2);
  const change = async (version: string): Promise<void> => {
    const body = { spec: { template: template('cart', version) } };
    await client.patch(deployments, { namespace, name: 'cart' }, { patch: { type: 'merge', body } });
  };
  await change('broken');
  await eventually('one broken pod', async () => {
    const { items } = await client.list(pods, { namespace });
    return items.some(
      (pod) => pod.spec?.containers[0]?.image === 'cart:broken' && pod.status?.podIP !== undefined,
    );
  });
  assert.equal(await available(), 2);
  await change('v1');
  await eventually('back', async () => {
    const { items } = await client.list(pods, { namespace });
    return items.length === 2 && items.every(isReadyPod);
  });
  const sets = (await client.list(replicaSets, { namespace })).items;
  assert.equal(sets.length, 2, 'the first set was used again');
  const current = sets.find(({ spec }) => spec?.replicas === 2);
  assert.equal(current?.metadata.annotations?.['deployment.kubernetes.io/revision'], '3');
});

test('paused deployments scale but start no new template; Recreate ends the old pods first', async (t) => {
  const { client, runner } = await startTestCluster(t);
  const namespace = await makeNamespace(client, 'shop');
  const ref = { namespace, name: 'cart' };
  await makeDeployment(client, { namespace, name: 'cart', replicas: 1 }, { strategy: { type: 'Recreate' } });
  const merge = async (spec: object): Promise<void> => {
    await client.patch(deployments, ref, { patch: { type: 'merge', body: { spec } } });
  };
  const images = async (): Promise<string[]> =>
    (await client.list(pods, { namespace })).items.map((pod) => pod.spec?.containers[0]?.image ?? '').sort();
  await eventually('up', async () => (await client.get(deployments, ref)).status?.availableReplicas === 1);
  await merge({ paused: true, replicas: 2, template: template('cart', 'v2') });
  await eventually('scaled', async () => (await images()).length === 2);
  assert.deepEqual(await images(), ['cart:v1', 'cart:v1']);
  let ending = 0;
  runner.mayEnd = () => ++ending > 4;
  await merge({ paused: false });
  await eventually('both end', () => ending >= 2);
  assert.deepEqual(await images(), ['cart:v1', 'cart:v1'], 'nothing new while the old ones still end');
  ending = 10;
  runner.look();
  await eventually('replaced', async () => {
    assert.deepEqual(await images(), ['cart:v2', 'cart:v2']);
    return true;
  });
});
