import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Container, Pod } from '@mesh/kube/types';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import type { ContainerExit } from './container-runtime.ts';
import { PodAddresses } from './pod-addresses.ts';
import { PodWorker } from './pod-worker.ts';

interface Options {
  containers: Container[];
  /** Sandboxes that cannot be made before one can. */
  brokenSandboxes?: number;
}

function begin(t: TestContext, { containers, brokenSandboxes = 0 }: Options) {
  const directory = mkdtempSync(join(tmpdir(), 'pod-worker-'));
  const clock = new FakeClock();
  const events: string[] = [];
  const signals: string[] = [];
  let broken = brokenSandboxes;
  const pod: Pod = { metadata: { name: 'p', namespace: 'shop', uid: 'u' }, spec: { containers } };
  const worker = new PodWorker(pod, {
    clock,
    addresses: new PodAddresses({ base: 0x0a010000, prefix: 24 }),
    runtime: {
      start: ({ container }) => {
        const { promise: exited, resolve } = Promise.withResolvers<ContainerExit>();
        return Promise.resolve({
          exited,
          signal: (name) => {
            signals.push(`${container.name} ${name}`);
            if (name === 'SIGKILL') resolve({ code: 137, signal: 9 });
          },
          execute: () => Promise.resolve(0),
        });
      },
    },
    createSandbox: ({ address }) => {
      if (broken-- > 0) return Promise.reject(new Error('no more namespaces'));
      const ended = new Promise<void>(() => {});
      return Promise.resolve({ address, enter: [], ended, destroy: () => Promise.resolve() });
    },
    data: { configMap: () => undefined, secret: () => undefined, services: () => [] },
    issue: () => Promise.reject(new Error('no token is wanted')),
    runDirectory: directory,
    logDirectory: directory,
    nodeAddress: '100.64.255.1',
    apiAddress: '10.96.0.1',
    dnsAddress: '10.96.0.10',
    clusterDomain: 'cluster.local',
    backoff: { baseMs: 1000, capMs: 4000 },
    onChange: () => {},
    onEvent: (_pod, reason, message) => events.push(`${reason} ${message}`),
    onError: (_pod, error) => assert.fail(String(error)),
  });
  t.after(async () => {
    await worker.terminate(0);
    rmSync(directory, { recursive: true });
  });
  return { worker, pod, clock, events, signals };
}

const app: Container = { name: 'app', image: 'none', command: ['sleep'] };

test('a pod that cannot run here waits and says why; one that failed would be replaced for ever', async (t) => {
  const { worker, events } = begin(t, { containers: [{ name: 'app', image: 'nginx' }] });
  await eventually('it is refused', () => events.length === 1);
  assert.match(events[0] ?? '', /^Failed Error: container "app" has no command/);
  const { phase, containerStatuses } = worker.status();
  assert.equal(phase, 'Pending');
  assert.equal(containerStatuses?.[0]?.state?.waiting?.reason, 'CreateContainerConfigError');
  assert.match(containerStatuses?.[0]?.state?.waiting?.message ?? '', /has no command/);
  await worker.terminate();
  assert.ok(worker.view().finished);
});

test('namespaces that cannot be made are tried again', async (t) => {
  const { worker, clock, events } = begin(t, { containers: [app], brokenSandboxes: 2 });
  await eventually('it is told', () => events.length === 1);
  assert.deepEqual(events, ['FailedCreatePodSandBox no more namespaces']);
  await clock.advanceAsync(1000, 100);
  await eventually('it runs', () => worker.status().phase === 'Running');
  assert.equal(events.length, 1, 'the same fault is told once');
});

test('a second deletion with less grace ends the pod sooner', async (t) => {
  const { worker, pod, clock, signals } = begin(t, { containers: [app] });
  await eventually('it runs', () => worker.status().phase === 'Running');
  Object.assign(pod.metadata ?? {}, { deletionGracePeriodSeconds: 30 });
  void worker.terminate();
  await eventually('it is asked to end', () => signals.length === 1);
  await clock.advanceAsync(5000, 1000);
  Object.assign(pod.metadata ?? {}, { deletionGracePeriodSeconds: 2 });
  const ended = worker.terminate();
  await clock.advanceAsync(1999, 500);
  // What changes meanwhile says the same again and gives no new time.
  void worker.terminate();
  assert.deepEqual(signals, ['app SIGTERM']);
  await clock.advanceAsync(1);
  await ended;
  assert.deepEqual(signals, ['app SIGTERM', 'app SIGKILL']);
});
