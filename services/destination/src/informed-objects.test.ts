import assert from 'node:assert/strict';
import test from 'node:test';
import { seededRandom } from '@mesh/clock/seeded';
import { systemClock } from '@mesh/clock/system';
import { KubeClient } from '@mesh/kube/client';
import { silentLogger } from '@mesh/telemetry/log';
import { eventually } from '@mesh/testkit/eventually';
import { assertNoLeaks } from '@mesh/testkit/leaks';
import { InformedObjects } from './informed-objects.ts';
import { Notifier } from './notifier.ts';
import { TargetRegistry } from './target-registry.ts';
import { ListServer } from './testing/list-server.ts';
import { modelSettings } from './testing/model-cluster.ts';

const slices = '/apis/discovery.k8s.io/v1/endpointslices';
const links = '/apis/multicluster.mesh.io/v1alpha1/links';

test('follows the cluster, with Links only once they exist', async (context) => {
  assertNoLeaks(context);
  const api = await ListServer.start(context);
  for (const path of ['/api/v1/pods', '/api/v1/namespaces', '/api/v1/nodes', slices])
    api.collections.set(path, []);
  // Retries come at once here; what is slow stays slow.
  const clock = {
    ...systemClock,
    after: (delayMs: number, task: () => void, background?: boolean) =>
      systemClock.after(delayMs < 20_000 ? delayMs / 50 : delayMs, task, background),
  };
  const notifier = new Notifier({ clock: systemClock, delayMs: 1 });
  const client = new KubeClient({ server: api.url, namespace: 'default', clock });
  const objects = new InformedObjects({
    client,
    clock,
    random: seededRandom(1),
    notifier,
    log: silentLogger,
  });
  context.after(async () => {
    await objects.stop();
    client.close();
    notifier.stop();
  });
  objects.start();
  await eventually('all but services', () => objects.missing.length === 1);
  assert.deepEqual(objects.missing, ['services']);

  api.collections.set('/api/v1/services', [
    {
      metadata: { name: 'cart', namespace: 'shop', uid: 'u', resourceVersion: '1' },
      spec: { clusterIP: '10.96.0.1', ports: [{ port: 80 }] },
    } as never,
  ]);
  await objects.synced();
  assert.equal(objects.links.hasSynced, false);

  const registry = new TargetRegistry({ objects, notifier, settings: modelSettings });
  let changes = 0;
  const watched = registry.watch(
    { namespace: 'shop', service: 'cart', port: 80, hostname: undefined },
    'all',
    () => changes++,
  );
  assert.equal(watched.resolution.kind === 'known' && watched.resolution.endpoints.size, 0);
  await eventually('the watch is open', () => api.watchers(slices) === 1);
  api.emit(slices, 'ADDED', {
    metadata: {
      name: 'cart-x',
      namespace: 'shop',
      uid: 'v',
      labels: { 'kubernetes.io/service-name': 'cart' },
    },
    addressType: 'IPv4',
    ports: [{ port: 8080 }],
    endpoints: [{ addresses: ['10.0.0.7'] }],
  } as never);
  await eventually('the endpoint', () => changes === 1);
  assert.deepEqual(watched.resolution.kind === 'known' ? [...watched.resolution.endpoints.keys()] : [], [
    '10.0.0.7:8080',
  ]);
  watched.stop();
  assert.equal(registry.size, 0);

  api.collections.set(links, []);
  await eventually('links', () => objects.links.hasSynced);
});
