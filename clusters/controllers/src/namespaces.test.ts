import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  configMaps,
  deployments,
  endpointSlices,
  events,
  namespaces,
  pods,
  replicaSets,
  secrets,
  serviceAccounts,
  services,
} from '@mesh/kube/resources';
import { eventually } from '@mesh/testkit/eventually';
import {
  defineWidgets,
  isReadyPod,
  makeDeployment,
  makeNamespace,
  startTestCluster,
  widgets,
} from './testing/test-cluster.ts';

test('every namespace has its default account and the cluster CA, and gets them back', async (t) => {
  const { client } = await startTestCluster(t);
  const namespace = await makeNamespace(client, 'shop');
  const account = { namespace, name: 'default' };
  const ca = { namespace, name: 'kube-root-ca.crt' };
  await eventually('CA', async () =>
    (await client.get(configMaps, ca)).data?.['ca.crt']?.includes('BEGIN CERTIFICATE'),
  );
  await eventually('in built-in namespaces too', async () =>
    client.find(serviceAccounts, { ...account, namespace: 'kube-system' }),
  );
  await client.delete(serviceAccounts, account);
  await client.patch(configMaps, ca, {
    patch: { type: 'merge', body: { data: { 'ca.crt': 'forged', extra: 'x' } } },
  });
  await eventually('restored', async () => {
    const { data } = await client.get(configMaps, ca);
    return (
      (await client.find(serviceAccounts, account)) !== undefined &&
      data?.['ca.crt'] !== 'forged' &&
      data?.['extra'] === undefined
    );
  });
});

test('deleting a namespace removes everything in it, custom objects included, and nothing else', async (t) => {
  const { client, runner } = await startTestCluster(t);
  const keep = await makeNamespace(client, 'keep');
  const namespace = await makeNamespace(client, 'shop');
  await defineWidgets(client);
  for (const where of [keep, namespace]) {
    await makeDeployment(client, { namespace: where, name: 'cart', replicas: 2 });
    await client.create(services, {
      metadata: { name: 'cart', namespace: where },
      spec: { selector: { app: 'cart' }, ports: [{ port: 80 }] },
    });
    await client.create(secrets, { metadata: { name: 'secret', namespace: where } });
    await eventually('widget', async () =>
      client.create(widgets, { metadata: { name: 'w', namespace: where } }),
    );
    await eventually('running', async () => {
      const { items } = await client.list(pods, { namespace: where });
      return items.length === 2 && items.every(isReadyPod);
    });
  }
  const held = { namespace, name: 'held' };
  await client.create(configMaps, { metadata: { ...held, finalizers: ['example.io/hold'] } });
  runner.mayEnd = () => false;
  await client.delete(namespaces, { name: namespace });
  await eventually('says what remains', async () => {
    const { status } = await client.get(namespaces, { name: namespace });
    const remaining = status?.conditions?.find(({ type }) => type === 'NamespaceContentRemaining');
    assert.equal(status?.phase, 'Terminating');
    assert.match(remaining?.message ?? '', /configmaps has 1 .*pods has 2/);
    return true;
  });
  await assert.rejects(client.create(secrets, { metadata: { name: 'late', namespace } }), /403/);
  runner.mayEnd = () => true;
  runner.look();
  await client.patch(configMaps, held, {
    patch: { type: 'merge', body: { metadata: { finalizers: null } } },
  });
  await eventually('gone', async () => (await client.find(namespaces, { name: namespace })) === undefined);
  for (const type of [
    pods,
    services,
    secrets,
    configMaps,
    serviceAccounts,
    deployments,
    replicaSets,
    endpointSlices,
    events,
    widgets,
  ]) {
    assert.deepEqual((await client.list(type, { namespace })).items, [], type.plural);
  }
  assert.equal((await client.list(pods, { namespace: keep })).items.filter(isReadyPod).length, 2);
  assert.equal((await client.list(widgets, { namespace: keep })).items.length, 1);
});
