import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Deployment, ReplicaSet, Stored } from '@mesh/kube/types';
import { deploymentStatus } from './deployment-status.ts';

const start = Date.UTC(2026, 0, 1);
const meta = (name: string) => ({
  name,
  uid: name,
  resourceVersion: '1',
  creationTimestamp: '',
  generation: 3,
});

function look(
  available: number,
  { previous, seconds }: { previous?: Deployment['status']; seconds: number },
) {
  const deployment: Stored<Deployment> = {
    metadata: meta('cart'),
    spec: { replicas: 3, progressDeadlineSeconds: 60, selector: {}, template: {} },
    ...(previous !== undefined && { status: previous }),
  };
  const fresh: Stored<ReplicaSet> = {
    metadata: meta('cart-x'),
    spec: { replicas: 3, selector: {} },
    status: { replicas: 3, readyReplicas: available, availableReplicas: available },
  };
  return deploymentStatus({
    deployment,
    fresh,
    all: [fresh],
    maxUnavailable: 1,
    collisionCount: undefined,
    wallMs: start + seconds * 1000,
  });
}

const reasonOf = ({ status }: ReturnType<typeof look>, wanted: string): string =>
  status.conditions
    ?.filter(({ type }) => type === wanted)
    .map(({ status: is, reason }) => `${is} ${reason}`)
    .join() ?? '';

test('progress is dated by the last change, and its deadline passes only without one', () => {
  const first = look(0, { seconds: 0 });
  assert.equal(reasonOf(first, 'Progressing'), 'True ReplicaSetUpdated');
  assert.equal(reasonOf(first, 'Available'), 'False MinimumReplicasUnavailable');
  assert.equal(first.recheckMs, 60_000);
  const second = look(1, { previous: first.status, seconds: 50 });
  const waiting = look(1, { previous: second.status, seconds: 100 });
  assert.deepEqual(waiting.status, second.status, 'nothing moved, nothing to write');
  assert.equal(waiting.recheckMs, 11_000);
  const late = look(1, { previous: waiting.status, seconds: 111 });
  assert.equal(reasonOf(late, 'Progressing'), 'False ProgressDeadlineExceeded');
  assert.deepEqual(look(1, { previous: late.status, seconds: 500 }).status, late.status);
  const done = look(3, { previous: late.status, seconds: 600 });
  assert.equal(reasonOf(done, 'Progressing'), 'True NewReplicaSetAvailable');
  assert.equal(reasonOf(done, 'Available'), 'True MinimumReplicasAvailable');
  assert.deepEqual(look(3, { previous: done.status, seconds: 900 }).status, done.status);
});

test('counts of zero are left out, as the API does', () => {
  const { status } = look(0, { seconds: 0 });
  assert.deepEqual(
    { ...status, conditions: [] },
    { replicas: 3, updatedReplicas: 3, unavailableReplicas: 3, observedGeneration: 3, conditions: [] },
  );
});
