import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeClient } from '@mesh/kube/client';
import { events, services } from '@mesh/kube/resources';
import { eventually } from '@mesh/testkit/eventually';
import { startTestCluster } from './testing/test-cluster.ts';

const namespace = 'default';

async function balancer(client: KubeClient, name: string, more: object = {}): Promise<void> {
  await client.create(services, {
    metadata: { name, namespace },
    spec: { type: 'LoadBalancer', ports: [{ port: 80 }], ...more },
  });
}

async function addresses(client: KubeClient): Promise<Record<string, string | undefined>> {
  const { items } = await client.list(services, { namespace });
  return Object.fromEntries(
    items.map(({ metadata, status }) => [metadata.name, status?.loadBalancer?.ingress?.[0]?.ip]),
  );
}

test('load balancers get different addresses of the pool, or the one they ask for', async (t) => {
  const { client } = await startTestCluster(t);
  await Promise.all(['a', 'b', 'c'].map((name) => balancer(client, name)));
  await balancer(client, 'wanted', { loadBalancerIP: '172.30.0.9' });
  await eventually('all have one', async () => {
    const { a, b, c, wanted } = await addresses(client);
    assert.equal(wanted, '172.30.0.9');
    for (const one of [a, b, c]) assert.match(one ?? '', /^172\.30\.0\.([1-9]|1[0-4])$/);
    assert.equal(new Set([a, b, c, wanted]).size, 4);
    return true;
  });
  await balancer(client, 'second', { loadBalancerIP: '172.30.0.9' });
  await balancer(client, 'foreign', { loadBalancerClass: 'example.com/other' });
  await eventually('an event says why', async () =>
    (await client.list(events, { namespace })).items.some(
      ({ reason, involvedObject }) => reason === 'SyncLoadBalancerFailed' && involvedObject.name === 'second',
    ),
  );
  await client.delete(services, { namespace, name: 'wanted' });
  await eventually(
    'the address went to the one that waited',
    async () => (await addresses(client))['second'] === '172.30.0.9',
    { timeoutMs: 10_000 },
  );
  assert.equal((await addresses(client))['foreign'], undefined, 'of another class: somebody else’s');
});

test('an address is kept through updates and given back with the type', async (t) => {
  const { client } = await startTestCluster(t);
  await balancer(client, 'a');
  const given = await eventually('an address', async () => (await addresses(client))['a']);
  await client.patch(
    services,
    { namespace, name: 'a' },
    { patch: { type: 'merge', body: { metadata: { labels: { changed: 'yes' } } } } },
  );
  await balancer(client, 'b');
  const other = await eventually('another address', async () => (await addresses(client))['b']);
  assert.notEqual(other, given);
  assert.equal((await addresses(client))['a'], given);
  await client.patch(
    services,
    { namespace, name: 'a' },
    { patch: { type: 'merge', body: { spec: { type: 'ClusterIP' } } } },
  );
  await eventually('no address', async () => (await addresses(client))['a'] === undefined);
});
