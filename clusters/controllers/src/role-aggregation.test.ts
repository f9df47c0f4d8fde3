import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clusterRoles } from '@mesh/kube/resources';
import { eventually } from '@mesh/testkit/eventually';
import { startTestCluster } from './testing/test-cluster.ts';

test('a role that aggregates has the rules of the roles it selects, and loses them with those', async (t) => {
  const { client } = await startTestCluster(t);
  const toView = 'rbac.authorization.k8s.io/aggregate-to-view';
  const rule = (resource: string) => ({
    apiGroups: ['example.com'],
    resources: [resource],
    verbs: ['get'],
  });
  const resourcesOf = async (name: string): Promise<string[]> =>
    ((await client.get(clusterRoles, { name })).rules ?? []).flatMap(({ resources = [] }) => resources);
  await client.create(clusterRoles, {
    metadata: { name: 'widgets-view', labels: { [toView]: 'true' } },
    rules: [rule('widgets')],
  });
  for (const role of ['view', 'edit', 'admin']) {
    await eventually(`${role} sees them`, async () => (await resourcesOf(role)).includes('widgets'));
    assert.ok((await resourcesOf(role)).includes('pods'), `${role} keeps what it had`);
  }
  await client.create(clusterRoles, {
    metadata: { name: 'own' },
    aggregationRule: { clusterRoleSelectors: [{ matchLabels: { team: 'a' } }] },
    rules: [rule('nothing-of-this-stays')],
  });
  await eventually('written rules are replaced', async () => (await resourcesOf('own')).length === 0);
  await client.delete(clusterRoles, { name: 'widgets-view' });
  for (const role of ['view', 'edit', 'admin']) {
    await eventually(`${role} forgets them`, async () => !(await resourcesOf(role)).includes('widgets'));
  }
});
