import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '@mesh/kube/types';
import { isOpaquePodPort, isSkippedPodPort } from './ports.ts';

test('annotations may name ports of containers and of native sidecars, not those of other init containers', () => {
  const lists = { 'mesh.io/opaque-ports': 'db,cache,debug', 'mesh.io/skip-inbound-ports': 'cache' };
  const pod: Pod = {
    metadata: { annotations: lists },
    spec: {
      containers: [{ name: 'db', ports: [{ name: 'db', containerPort: 1 }] }],
      initContainers: [
        { name: 'cache', restartPolicy: 'Always', ports: [{ name: 'cache', containerPort: 2 }] },
        { name: 'migrate', ports: [{ name: 'debug', containerPort: 3 }] },
      ],
    },
  };
  const opaque = [1, 2, 3].map((port) => isOpaquePodPort({ pod, namespace: undefined, port, fallback: '' }));
  assert.deepEqual(opaque, [true, true, false]);
  const skipped = [1, 2, 3].map((port) => isSkippedPodPort({ pod, namespace: undefined, port }));
  assert.deepEqual(skipped, [false, true, false]);
});
