import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { seededRandom } from '@mesh/clock/seeded';
import { systemClock } from '@mesh/clock/system';
import { Informer } from '@mesh/kube/informer';
import { endpointSlices, namespaces, pods, serviceAccounts, services } from '@mesh/kube/resources';
import { eventually } from '@mesh/testkit/eventually';
import { ExportTable, sliceServiceIndex } from './export-table.ts';
import { startCluster, type TestCluster, TestTrust } from './testing/test-mirror.ts';

async function exportsOf(t: TestContext, { client, name }: TestCluster): Promise<ExportTable> {
  const common = {
    client,
    clock: systemClock,
    random: seededRandom(1),
    onError: (error: unknown) => t.diagnostic(String(error)),
  };
  const informers = {
    services: new Informer({ ...common, type: services }),
    namespaces: new Informer({ ...common, type: namespaces }),
    slices: new Informer({ ...common, type: endpointSlices, indexers: sliceServiceIndex }),
    pods: new Informer({ ...common, type: pods }),
  };
  const table = new ExportTable({ cluster: name, suffix: 'mesh.local', ...informers, onInvalid() {} });
  for (const informer of Object.values(informers)) {
    informer.start();
    t.after(() => informer.stop());
    await informer.synced;
  }
  table.start();
  return table;
}

void test('ports are opaque by number, range and name, as the annotation means them everywhere', async (t) => {
  const west = await startCluster(t, 'west', { trust: new TestTrust(), mirror: false });
  await west.client.create(services, {
    metadata: {
      name: 'store',
      namespace: 'shop',
      labels: { 'mirror.mesh.io/exported': 'true' },
      annotations: { 'mesh.io/opaque-ports': '3306, 4000-4010,queue' },
    },
    spec: {
      ports: [
        { name: 'sql', port: 3306 },
        { name: 'peers', port: 4005 },
        { name: 'queue', port: 5672 },
        { name: 'http', port: 80 },
      ],
    },
  });
  const table = await exportsOf(t, west);
  const ports = table.visible('shop/store', 'east')?.ports.map(({ name, opaque }) => [name, opaque]);
  assert.deepEqual(ports, [
    ['sql', true],
    ['peers', true],
    ['queue', true],
    ['http', false],
  ]);
});

void test('ports are opaque by the annotation of the namespace, too, as soon as it says so, unless the Service has its own', async (t) => {
  const west = await startCluster(t, 'west', { trust: new TestTrust(), mirror: false });
  for (const [name, annotations] of [
    ['store', {}],
    ['web', { 'mesh.io/opaque-ports': '' }],
  ] as const) {
    await west.client.create(services, {
      metadata: { name, namespace: 'shop', labels: { 'mirror.mesh.io/exported': 'true' }, annotations },
      spec: { ports: [{ port: 7000 }] },
    });
  }
  const table = await exportsOf(t, west);
  const opaque = (name: string) => table.visible(`shop/${name}`, 'east')?.ports.map((port) => port.opaque);
  assert.deepEqual([opaque('store'), opaque('web')], [[false], [false]]);
  const body = { metadata: { annotations: { 'mesh.io/opaque-ports': '7000' } } };
  await west.client.patch(namespaces, { name: 'shop' }, { patch: { type: 'merge', body } });
  await eventually('the Service without one of its own is opaque', () => opaque('store')?.[0] === true);
  assert.deepEqual(opaque('web'), [false]);
});

void test('a pod of a flat network is told once its identity is known, whichever of slice and pod comes first', async (t) => {
  const west = await startCluster(t, 'west', { trust: new TestTrust(), mirror: false });
  const { client } = west;
  const makePod = (name: string, labels: Record<string, string>) =>
    client.create(pods, {
      metadata: { name, namespace: 'shop', labels },
      spec: { serviceAccountName: 'cart', containers: [{ name: 'app', image: 'app' }] },
    });
  await client.create(serviceAccounts, { metadata: { name: 'cart', namespace: 'shop' } });
  await client.create(services, {
    metadata: { name: 'cart', namespace: 'shop', labels: { 'mirror.mesh.io/exported': 'remote-discovery' } },
    spec: { ports: [{ port: 80 }] },
  });
  await makePod('early', { 'mesh.io/control-plane-ns': 'mesh' });
  await client.create(endpointSlices, {
    metadata: { name: 'cart-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'cart' } },
    addressType: 'IPv4',
    endpoints: ['early', 'late'].map((name, index) => ({
      addresses: [`10.2.0.${index + 1}`],
      conditions: { ready: true },
      targetRef: { kind: 'Pod', namespace: 'shop', name },
    })),
    ports: [{ name: '', port: 8080, protocol: 'TCP' }],
  });
  const table = await exportsOf(t, west);
  const told = () =>
    table.visible('shop/cart', 'east')?.flatEndpoints.map(({ address, identity }) => [address, identity]);
  const identity = 'cart.shop.serviceaccount.identity.mesh.west.mesh.local';
  assert.deepEqual(told(), [['10.2.0.1', identity]]);
  await makePod('late', { 'mesh.io/control-plane-ns': 'mesh' });
  await eventually('both are told', () => told()?.length === 2);
  assert.deepEqual(told()?.[1], ['10.2.0.2', identity]);
  // Gone without a word, as with its node, and the slice not corrected yet.
  await client.delete(pods, { namespace: 'shop', name: 'early' }, { gracePeriodSeconds: 0 });
  await eventually('one is left', () => told()?.length === 1);
  // One without a sidecar is told without an identity, so that peers say why they refuse it.
  await makePod('early', {});
  await eventually('it is told', () => told()?.length === 2);
  assert.deepEqual(told()?.[0], ['10.2.0.1', '']);
});
