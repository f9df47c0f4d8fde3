import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeClient } from '@mesh/kube/client';
import { deployments, endpointSlices, pods, services, statefulSets } from '@mesh/kube/resources';
import type { Endpoint, EndpointSlice, Stored } from '@mesh/kube/types';
import { eventually } from '@mesh/testkit/eventually';
import { makeDeployment, makeNamespace, startTestCluster, template } from './testing/test-cluster.ts';

const namespace = 'shop';

async function slicesOf(client: KubeClient, service: string): Promise<Stored<EndpointSlice>[]> {
  const labelSelector = `kubernetes.io/service-name=${service}`;
  return (await client.list(endpointSlices, { namespace, labelSelector })).items;
}

async function endpointsOf(client: KubeClient, service: string): Promise<Endpoint[]> {
  return (await slicesOf(client, service)).flatMap(({ endpoints }) => endpoints ?? []);
}

function byAddress(slice: EndpointSlice | undefined): Endpoint[] {
  return [...(slice?.endpoints ?? [])].sort((left, right) =>
    (left.addresses[0] ?? '') < (right.addresses[0] ?? '') ? -1 : 1,
  );
}

test('slices follow pods as they become ready, unready, terminating and gone', async (t) => {
  const { client, runner } = await startTestCluster(t);
  await makeNamespace(client, namespace);
  await client.create(services, {
    metadata: { name: 'cart', namespace, labels: { team: 'a' } },
    spec: {
      selector: { app: 'cart' },
      ports: [{ name: 'web', port: 80, targetPort: 'http', appProtocol: 'http' }],
    },
  });
  await eventually('one empty slice', async () => {
    const slices = await slicesOf(client, 'cart');
    return slices.length === 1 && (slices[0]?.endpoints ?? []).length === 0;
  });
  let held = true;
  runner.mayBeReady = () => !held;
  await makeDeployment(client, { namespace, name: 'cart', replicas: 2 });
  const conditions = async (): Promise<string[]> =>
    (await endpointsOf(client, 'cart')).map(
      ({ conditions: { ready, serving, terminating } = {} }) => `${ready} ${serving} ${terminating}`,
    );
  const become = async (...wanted: string[]): Promise<void> => {
    await eventually(wanted.join(', '), async () => {
      assert.deepEqual((await conditions()).sort(), wanted.sort());
      return true;
    });
  };
  await become('false false false', 'false false false');
  held = false;
  runner.look();
  await become('true true false', 'true true false');
  const [slice, ...others] = await slicesOf(client, 'cart');
  assert.equal(others.length, 0);
  assert.deepEqual(slice?.ports, [{ name: 'web', port: 8080, protocol: 'TCP', appProtocol: 'http' }]);
  assert.equal(slice?.addressType, 'IPv4');
  assert.equal(
    slice?.metadata.labels?.['endpointslice.kubernetes.io/managed-by'],
    'endpointslice-controller.k8s.io',
  );
  assert.equal(slice?.metadata.labels?.['team'], 'a');
  assert.equal(slice?.metadata.ownerReferences?.[0]?.kind, 'Service');
  const [endpoint] = slice?.endpoints ?? [];
  const pod = await client.get(pods, { namespace, name: endpoint?.targetRef?.name ?? '' });
  assert.deepEqual(endpoint?.addresses, [pod.status?.podIP]);
  assert.equal(endpoint?.targetRef?.uid, pod.metadata.uid);
  assert.equal(endpoint?.nodeName, 'node-1');

  runner.mayEnd = () => false;
  await client.patch(
    deployments,
    { namespace, name: 'cart' },
    { patch: { type: 'merge', body: { spec: { replicas: 1 } } } },
  );
  await become('true true false', 'false true true');
  runner.mayEnd = () => true;
  runner.look();
  await become('true true false');
  await client.patch(
    deployments,
    { namespace, name: 'cart' },
    { patch: { type: 'merge', body: { spec: { replicas: 0 } } } },
  );
  await become();
  await client.delete(services, { namespace, name: 'cart' });
  await eventually('slices go with the service', async () => (await slicesOf(client, 'cart')).length === 0);
});

test('a slice that was spoiled by hand is put right, and slices of others are left alone', async (t) => {
  const { client } = await startTestCluster(t);
  await makeNamespace(client, namespace);
  const foreign: EndpointSlice = {
    metadata: {
      name: 'cart-west',
      namespace,
      labels: { 'kubernetes.io/service-name': 'cart', 'endpointslice.kubernetes.io/managed-by': 'someone' },
    },
    addressType: 'IPv4',
    ports: [{ name: 'web', port: 4143, protocol: 'TCP' }],
    endpoints: [{ addresses: ['172.30.0.9'] }],
  };
  const before = await client.create(endpointSlices, foreign);
  await client.create(services, {
    metadata: { name: 'cart', namespace },
    spec: { selector: { app: 'cart' }, ports: [{ name: 'web', port: 80 }] },
  });
  await makeDeployment(client, { namespace, name: 'cart', replicas: 2 });
  const own = async (): Promise<Stored<EndpointSlice> | undefined> =>
    (await slicesOf(client, 'cart')).find(({ metadata }) => metadata.name !== 'cart-west');
  await eventually('two ready', async () => {
    const endpoints = (await own())?.endpoints ?? [];
    return endpoints.length === 2 && endpoints.every(({ conditions }) => conditions?.ready === true);
  });
  const good = await own();
  assert.ok(good !== undefined);
  await client.update(endpointSlices, { ...good, endpoints: [{ addresses: ['10.9.9.9'] }] });
  await eventually('put right', async () => {
    assert.deepEqual(byAddress(await own()), byAddress(good));
    return true;
  });
  await client.delete(endpointSlices, good.metadata);
  await eventually('made again', async () => (await own())?.endpoints?.length === 2);
  assert.equal(
    (await client.get(endpointSlices, before.metadata)).metadata.resourceVersion,
    before.metadata.resourceVersion,
  );
});

test('headless services name stateful pods, and publish unready ones when asked to', async (t) => {
  const { client, runner } = await startTestCluster(t);
  await makeNamespace(client, namespace);
  runner.mayBeReady = () => false;
  await client.create(services, {
    metadata: { name: 'db', namespace },
    spec: {
      clusterIP: 'None',
      publishNotReadyAddresses: true,
      selector: { app: 'db' },
      ports: [{ port: 5432 }],
    },
  });
  await client.create(statefulSets, {
    metadata: { name: 'db', namespace },
    spec: {
      replicas: 2,
      podManagementPolicy: 'Parallel',
      serviceName: 'db',
      selector: { matchLabels: { app: 'db' } },
      template: template('db'),
    },
  });
  await eventually('both, by name', async () => {
    const endpoints = await endpointsOf(client, 'db');
    assert.deepEqual(endpoints.map(({ hostname }) => hostname).sort(), ['db-0', 'db-1']);
    assert.ok(
      endpoints.every(({ conditions }) => conditions?.ready === true && conditions.serving === false),
    );
    return true;
  });
  const [slice] = await slicesOf(client, 'db');
  assert.equal(slice?.metadata.labels?.['service.kubernetes.io/headless'], '');
});
