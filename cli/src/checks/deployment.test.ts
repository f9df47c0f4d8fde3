import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '@mesh/kube/types';
import { podTrouble } from './deployment.ts';

const killed = { name: 'cart', image: '', imageID: '', ready: false, restartCount: 2 };

test('containers that are not ready are trouble, but not of a pod that is going away', () => {
  const lastState = { terminated: { exitCode: 137, reason: 'Error' } };
  const pod: Pod = {
    metadata: { name: 'cart-1' },
    status: { containerStatuses: [{ ...killed, lastState, state: { running: {} } }] },
  };
  assert.deepEqual(podTrouble(pod), ['cart-1/cart: Error (2 restarts)']);
  const deletionTimestamp = '2026-01-01T00:00:00Z';
  assert.deepEqual(podTrouble({ ...pod, metadata: { name: 'cart-1', deletionTimestamp } }), []);
});

test('pods that have ended are no trouble, and a container that died says how', () => {
  const dead = { terminated: { exitCode: 1, reason: 'OOMKilled' } };
  const pod = (phase: string): Pod => ({
    metadata: { name: 'cart-1' },
    status: { phase, containerStatuses: [{ ...killed, state: dead }] },
  });
  assert.deepEqual(podTrouble(pod('Failed')), []);
  assert.deepEqual(podTrouble(pod('Running')), ['cart-1/cart: OOMKilled (2 restarts)']);
  assert.deepEqual(podTrouble(pod('Running'), new Set(['mesh-proxy'])), []);
});
