import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { createAccount, startFixture } from '@mesh/apiserver/api-fixture';
import { systemClock } from '@mesh/clock/system';
import { KubeClient } from '@mesh/kube/client';
import { fromKubeconfig } from '@mesh/kube/config';
import { pods } from '@mesh/kube/resources';
import type { Pod } from '@mesh/kube/types';
import { podStatus, type PodView } from './pod-status.ts';
import { writeStatus } from './status-writer.ts';

const gate = { type: 'shop.example/warm', status: 'True' };

test('a condition that somebody else writes meanwhile is kept', async (t) => {
  const api = await startFixture(t);
  await createAccount(api, 'default');
  const client = new KubeClient({
    ...fromKubeconfig(join(api.directory, 'admin.kubeconfig')),
    clock: systemClock,
  });
  t.after(() => client.close());
  const target = { namespace: 'default', name: 'p' };
  const known = await client.create(pods, {
    metadata: target,
    spec: {
      containers: [{ name: 'app', image: 'none' }],
      readinessGates: [{ conditionType: gate.type }],
    },
  });
  const openGate = async (): Promise<void> => {
    const body = { status: { conditions: [gate] } };
    await client.patch(pods, target, { patch: { type: 'merge', body }, subresource: 'status' });
  };
  let meanwhile: Promise<void> | undefined;
  const worker = {
    pod: known as Pod,
    status: () => podStatus(runningView(worker.pod), systemClock.wall()),
  };
  const once = new Proxy(client, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== 'function') return member;
      return async (...args: unknown[]): Promise<unknown> => {
        if (name === 'patch') await (meanwhile ??= openGate());
        return await (Reflect.apply(member, target, args) as Promise<unknown>);
      };
    },
  });
  assert.equal(await writeStatus(once, worker, known), false, 'somebody else was faster');
  assert.equal(await writeStatus(once, worker, known), true);
  const conditions = (await client.get(pods, target)).status?.conditions ?? [];
  const statusOf = (type: string) => conditions.find((condition) => condition.type === type)?.status;
  assert.deepEqual([statusOf(gate.type), statusOf('Ready')], ['True', 'True']);
});

function runningView(pod: Pod): PodView {
  const app = { name: 'app', image: 'none' };
  return {
    pod,
    initContainers: [],
    containers: [
      {
        container: app,
        state: { kind: 'running', startedAt: 0 },
        lastState: undefined,
        ...{ restartCount: 0, ready: true, started: true },
      },
    ],
    ...{ hostIp: '100.64.255.1', podIp: '10.1.0.2', startedAt: 0, finished: false },
  };
}
