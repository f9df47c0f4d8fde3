import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endpointSlices, events, leases, namespaces, nodes, pods, services } from '@mesh/kube/resources';
import { eventually } from '@mesh/testkit/eventually';
import { addNode } from './testing/pod-runner.ts';
import { isReadyPod, makeDeployment, makeNamespace, startTestCluster } from './testing/test-cluster.ts';

const namespace = 'shop';

test('pods are spread over ready nodes in turn', async (t) => {
  const { client } = await startTestCluster(t, { nodes: ['a', 'b'] });
  await addNode(client, 'broken', 'False');
  await makeNamespace(client, namespace);
  await makeDeployment(client, { namespace, name: 'cart', replicas: 4 });
  await eventually('two on each', async () => {
    const on = (await client.list(pods, { namespace })).items.map(({ spec }) => spec?.nodeName).sort();
    assert.deepEqual(on, ['a', 'a', 'b', 'b']);
    return true;
  });
});

test('a pod that fits nowhere says why, and is placed once a node fits', async (t) => {
  const { client } = await startTestCluster(t);
  await makeNamespace(client, namespace);
  const containers = [{ name: 'c', image: 'i' }];
  await client.create(pods, {
    metadata: { name: 'picky', namespace },
    spec: { containers, nodeSelector: { disk: 'fast' } },
  });
  await eventually('reason', async () => {
    const { status } = await client.get(pods, { namespace, name: 'picky' });
    const condition = status?.conditions?.find(({ type }) => type === 'PodScheduled');
    assert.equal(condition?.status, 'False');
    assert.equal(condition?.reason, 'Unschedulable');
    assert.match(condition?.message ?? '', /^0\/1 nodes are available: 1 node\(s\) didn't match/);
    return true;
  });
  await eventually('event', async () =>
    (await client.list(events, { namespace })).items.some(({ reason }) => reason === 'FailedScheduling'),
  );
  await client.patch(
    nodes,
    { name: 'node-1' },
    { patch: { type: 'merge', body: { metadata: { labels: { disk: 'fast' } } } } },
  );
  await eventually('placed', async () => {
    const { spec, status } = await client.get(pods, { namespace, name: 'picky' });
    const condition = status?.conditions?.find(({ type }) => type === 'PodScheduled');
    return spec?.nodeName === 'node-1' && condition?.status === 'True';
  });
});

test('a taint keeps pods away that do not tolerate it', async (t) => {
  const { client } = await startTestCluster(t);
  await makeNamespace(client, namespace);
  const taints = [{ key: 'only', value: 'db', effect: 'NoSchedule' }];
  await client.patch(nodes, { name: 'node-1' }, { patch: { type: 'merge', body: { spec: { taints } } } });
  const containers = [{ name: 'c', image: 'i' }];
  const tolerations = [{ key: 'only', operator: 'Exists' }];
  await client.create(pods, { metadata: { name: 'away', namespace }, spec: { containers } });
  await client.create(pods, { metadata: { name: 'welcome', namespace }, spec: { containers, tolerations } });
  await eventually(
    'placed',
    async () => (await client.get(pods, { namespace, name: 'welcome' })).spec?.nodeName,
  );
  await eventually('refused', async () => {
    const { status } = await client.get(pods, { namespace, name: 'away' });
    return status?.conditions?.some(({ message }) => /untolerated taint \{only: db\}/.test(message ?? ''));
  });
});

test('a silent node becomes Unknown and its pods leave the slices; a renewed lease keeps it', async (t) => {
  const { client, runner } = await startTestCluster(t, { nodes: ['quiet', 'lively'], nodeGraceMs: 1500 });
  await makeNamespace(client, namespace);
  const leaseNamespace = 'kube-node-lease';
  if ((await client.find(namespaces, { name: leaseNamespace })) === undefined)
    await makeNamespace(client, leaseNamespace);
  const ref = { namespace: leaseNamespace, name: 'lively' };
  await client.create(leases, {
    metadata: ref,
    spec: { holderIdentity: 'lively', leaseDurationSeconds: 40 },
  });
  const renew = setInterval(() => {
    const renewTime = new Date().toISOString().replace('Z', '000Z');
    client.patch(leases, ref, { patch: { type: 'merge', body: { spec: { renewTime } } } }).catch(() => {});
  }, 300);
  t.after(() => clearInterval(renew));
  await client.create(services, {
    metadata: { name: 'cart', namespace },
    spec: { selector: { app: 'cart' }, ports: [{ port: 80 }] },
  });
  await makeDeployment(client, { namespace, name: 'cart', replicas: 2 });
  const readyNodes = async (): Promise<string[]> =>
    (await client.list(endpointSlices, { namespace })).items
      .flatMap(({ endpoints }) => endpoints ?? [])
      .filter(({ conditions }) => conditions?.ready === true)
      .map(({ nodeName = '' }) => nodeName)
      .sort();
  await eventually('both serve', async () => (await readyNodes()).length === 2);
  const statusOf = async (name: string): Promise<string | undefined> =>
    (await client.get(nodes, { name })).status?.conditions?.find(({ type }) => type === 'Ready')?.status;
  await runner.stop();
  await eventually('unknown', async () => (await statusOf('quiet')) === 'Unknown');
  await eventually('its pod serves no more', async () => {
    assert.deepEqual(await readyNodes(), ['lively']);
    return true;
  });
  assert.equal(await statusOf('lively'), 'True');
  const taintsOf = async (name: string): Promise<string[]> =>
    ((await client.get(nodes, { name })).spec?.taints ?? []).map(({ key, effect }) => `${key}:${effect}`);
  await eventually('nothing new goes to the quiet one', async () => {
    assert.deepEqual(await taintsOf('quiet'), ['node.kubernetes.io/unreachable:NoSchedule']);
    return true;
  });
  assert.deepEqual(await taintsOf('lively'), [], 'the taint of a new node goes once it is ready');
});

test('pods of a node that is gone, and deleted pods that never had one, are removed', async (t) => {
  const { client, runner } = await startTestCluster(t, { nodes: ['a'] });
  await makeNamespace(client, namespace);
  const spec = { containers: [{ name: 'c', image: 'i' }] };
  await client.create(pods, {
    metadata: { name: 'homeless', namespace },
    spec: { ...spec, nodeSelector: { none: 'such' } },
  });
  await client.create(pods, { metadata: { name: 'stranded', namespace }, spec });
  await eventually('running', async () =>
    isReadyPod(await client.get(pods, { namespace, name: 'stranded' })),
  );
  await runner.stop();
  await client.delete(nodes, { name: 'a' });
  await client.delete(pods, { namespace, name: 'homeless' });
  await eventually(
    'unplaced one gone',
    async () => (await client.find(pods, { namespace, name: 'homeless' })) === undefined,
  );
  await eventually(
    'stranded one gone',
    async () => (await client.find(pods, { namespace, name: 'stranded' })) === undefined,
  );
});
