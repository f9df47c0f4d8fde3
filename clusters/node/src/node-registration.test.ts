import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { startFixture } from '@mesh/apiserver/api-fixture';
import { systemClock } from '@mesh/clock/system';
import { KubeClient } from '@mesh/kube/client';
import { fromKubeconfig } from '@mesh/kube/config';
import { nodes } from '@mesh/kube/resources';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { NodeRegistration } from './node-registration.ts';

test('a node that was given up says at its next beat that it is ready', async (t) => {
  const api = await startFixture(t);
  const clientFor = (name: string): KubeClient => {
    const config = fromKubeconfig(join(api.directory, `${name}.kubeconfig`));
    const client = new KubeClient({ ...config, clock: systemClock });
    t.after(() => client.close());
    return client;
  };
  const admin = clientFor('admin');
  const clock = new FakeClock();
  const node = { name: 'node' };
  const registration = new NodeRegistration({
    client: clientFor('node'),
    clock,
    ...node,
    address: '100.64.255.1',
    podCidr: '10.1.0.0/24',
    onError: (error) => assert.fail(String(error)),
  });
  await registration.start();
  t.after(() => registration.stop());
  const readiness = async () =>
    (await admin.get(nodes, node)).status?.conditions?.find(({ type }) => type === 'Ready')?.status;
  assert.equal(await readiness(), 'True');
  const body = { status: { conditions: [{ type: 'Ready', status: 'Unknown' }] } };
  await admin.patch(nodes, node, { patch: { type: 'merge', body }, subresource: 'status' });
  await clock.advanceAsync(10_000);
  await eventually('it is ready again', async () => (await readiness()) === 'True');
});
