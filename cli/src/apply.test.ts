import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock as clock } from '@mesh/clock/system';
import { MeshError } from '@mesh/errors/mesh-error';
import { namespaces } from '@mesh/kube/resources';
import { applyAll } from './apply.ts';
import { startClusters } from './testing/test-clusters.ts';

test('an object of a namespace that is going away is refused with what to wait for, not for want of rights', async (t) => {
  const clusters = await startClusters(t, [{ context: 'east' }]);
  const client = clusters.client('east');
  await client.create(namespaces, { metadata: { name: 'mesh' } });
  // Nobody finishes it here.
  await client.delete(namespaces, { name: 'mesh' });
  const config = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'config', namespace: 'mesh' } };
  await assert.rejects(applyAll(client, [config], { clock }), (thrown) => {
    assert.ok(thrown instanceof MeshError);
    assert.match(thrown.message, /^ConfigMap mesh\/config was not applied: .* being terminated$/);
    assert.match(thrown.remedy, /^Wait until it is gone, .*namespace\/mesh/);
    return true;
  });
});
