import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { systemClock as clock } from '@mesh/clock/system';
import { MeshError } from '@mesh/errors/mesh-error';
import { KubeClient } from '@mesh/kube/client';
import { namespaces } from '@mesh/kube/resources';
import { applyAll, waitForDeployments } from './apply.ts';
import { listening } from '@mesh/testkit/servers';
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

test('an API server that is busy for a moment does not end the wait, one that refuses does', async (t) => {
  const answers: [status: number, body: unknown][] = [
    [503, {}],
    [429, {}],
    [200, { metadata: { generation: 1 }, spec: { replicas: 1 }, status: {} }],
    [
      200,
      {
        metadata: { generation: 1 },
        spec: { replicas: 1 },
        status: { observedGeneration: 1, updatedReplicas: 1, readyReplicas: 1 },
      },
    ],
    [403, {}],
  ];
  const server = createServer((_, response) => {
    const [status, body] = answers.shift() ?? [503, {}];
    response.writeHead(status).end(JSON.stringify(body));
  });
  const client = new KubeClient({
    server: `http://127.0.0.1:${await listening(t, server)}`,
    namespace: 'mesh',
    clock,
  });
  t.after(() => client.close());
  const wait = (timeoutMs: number): Promise<void> =>
    waitForDeployments(client, [{ namespace: 'mesh', name: 'mesh-identity' }], { clock, timeoutMs });
  await wait(60_000);
  await assert.rejects(wait(60_000), /403/);
  await assert.rejects(wait(0), /not ready after 0 s: GET .*mesh-identity: 503/);
});
