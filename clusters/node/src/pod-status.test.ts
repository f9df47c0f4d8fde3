import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Container, Pod } from '@mesh/kube/types';
import type { ContainerState } from './container-run.ts';
import { podStatus, type ContainerView, type PodView } from './pod-status.ts';

const running: ContainerState = { kind: 'running', startedAt: 0 };
const waiting: ContainerState = { kind: 'waiting', reason: 'PodInitializing' };
const ended = (exitCode: number): ContainerState => ({
  ...{ kind: 'terminated', exitCode, signal: 0, reason: 'Completed' },
  ...{ startedAt: 0, finishedAt: 1000 },
});

function container(
  name: string,
  state: ContainerState,
  extra: Partial<ContainerView> & { spec?: Partial<Container> } = {},
): ContainerView {
  const { spec, ...rest } = extra;
  const up = state.kind === 'running';
  return {
    container: { name, ...spec },
    state,
    lastState: undefined,
    restartCount: 0,
    ready: up,
    started: up,
    ...rest,
  };
}

function status(view: Partial<PodView>): { phase: string; true: string[] } & ReturnType<typeof podStatus> {
  const inits = view.initContainers ?? [];
  const pod: Pod = {
    metadata: { uid: 'u' },
    spec: { containers: [], initContainers: inits.map((init) => init.container) },
  };
  const made = podStatus(
    {
      pod,
      initContainers: [],
      containers: [],
      hostIp: '100.64.255.1',
      podIp: '10.1.0.2',
      startedAt: 0,
      finished: false,
      ...view,
    },
    5000,
  );
  const holding = (made.conditions ?? [])
    .filter((condition) => condition.status === 'True')
    .map(({ type }) => type);
  return { ...made, phase: made.phase ?? '', true: holding };
}

const sidecar = { spec: { restartPolicy: 'Always' } };

void test('pending while it initializes, running and ready afterwards', () => {
  const starting = status({
    initContainers: [container('init', running)],
    containers: [container('app', waiting)],
  });
  assert.equal(starting.phase, 'Pending');
  assert.deepEqual(starting.true, ['PodReadyToStartContainers', 'PodScheduled']);
  const up = status({
    initContainers: [container('init', ended(0))],
    containers: [container('app', running)],
  });
  assert.equal(up.phase, 'Running');
  assert.ok(up.true.includes('Ready') && up.true.includes('Initialized'));
});

void test('an unready sidecar makes the pod unready, and is named', () => {
  const pod = status({
    initContainers: [container('proxy', running, { ...sidecar, ready: false })],
    containers: [container('app', running)],
  });
  const ready = pod.conditions?.find(({ type }) => type === 'Ready');
  assert.equal(ready?.status, 'False');
  assert.equal(ready?.message, 'containers with unready status: [proxy]');
});

void test('a crashing container leaves the pod running', () => {
  const pod = status({
    containers: [
      container(
        'app',
        { kind: 'waiting', reason: 'CrashLoopBackOff' },
        { lastState: ended(1), restartCount: 2 },
      ),
    ],
  });
  assert.equal(pod.phase, 'Running');
  assert.equal(pod.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 1);
  assert.equal(pod.containerStatuses?.[0]?.restartCount, 2);
});

void test('the end of a pod', () => {
  assert.equal(status({ containers: [container('app', ended(0))], finished: true }).phase, 'Succeeded');
  assert.equal(status({ containers: [container('app', ended(3))], finished: true }).phase, 'Failed');
  const refused = status({ finished: true, failure: { reason: 'UnsupportedSpec', message: 'no command' } });
  assert.deepEqual(
    [refused.phase, refused.reason, refused.message],
    ['Failed', 'UnsupportedSpec', 'no command'],
  );
  assert.ok(!refused.true.includes('Initialized'));
  const init = { initContainers: [container('init', ended(1))], containers: [container('app', waiting)] };
  assert.equal(status({ ...init, finished: true }).phase, 'Failed');
});

void test('a condition keeps its transition time while it does not change', () => {
  const conditions = [
    { type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' },
    { type: 'Initialized', status: 'False', lastTransitionTime: '2026-01-01T00:00:00Z' },
  ];
  const pod: Pod = { spec: { containers: [] }, status: { conditions } };
  const made = status({ pod, containers: [container('app', running)] });
  const times = new Map(made.conditions?.map(({ type, lastTransitionTime }) => [type, lastTransitionTime]));
  assert.equal(times.get('Ready'), '2026-01-01T00:00:00Z');
  assert.equal(times.get('Initialized'), '1970-01-01T00:00:05Z');
});

void test('readiness gates hold the pod back until their conditions are true, and those stay as others wrote them', () => {
  const gate = 'shop.example/warm';
  const made = (...conditions: { type: string; status: string }[]) =>
    status({
      pod: { spec: { containers: [], readinessGates: [{ conditionType: gate }] }, status: { conditions } },
      containers: [container('app', running)],
    });
  const ready = (of: ReturnType<typeof made>) => of.conditions?.find(({ type }) => type === 'Ready');
  const missing = made();
  assert.ok(missing.true.includes('ContainersReady') && !missing.true.includes('Ready'));
  assert.equal(ready(missing)?.reason, 'ReadinessGatesNotReady');
  assert.equal(
    ready(missing)?.message,
    `corresponding condition of pod readiness gate "${gate}" does not exist.`,
  );
  const shut = made({ type: gate, status: 'False' });
  assert.equal(ready(shut)?.message, `the status of pod readiness gate "${gate}" is not "True", but False`);
  assert.deepEqual(shut.conditions?.at(-1), { type: gate, status: 'False' });
  assert.ok(made({ type: gate, status: 'True' }).true.includes('Ready'));
});
