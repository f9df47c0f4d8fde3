import type { Container, Pod } from '@mesh/kube/types';
import type { ContainerRun, ContainerState } from './container-run.ts';

type PodStatus = NonNullable<Pod['status']>;
type ContainerStatus = NonNullable<PodStatus['containerStatuses']>[number];
type Condition = NonNullable<PodStatus['conditions']>[number];

export type ContainerView = Pick<
  ContainerRun,
  'container' | 'state' | 'lastState' | 'restartCount' | 'ready' | 'started'
>;

export interface PodView {
  readonly pod: Pod;
  readonly initContainers: readonly ContainerView[];
  readonly containers: readonly ContainerView[];
  readonly hostIp: string;
  readonly podIp: string | undefined;
  /** Wall milliseconds. */
  readonly startedAt: number;
  /** Set when the pod ended without running to its end: refused, or its namespaces died. */
  readonly failure?: { reason: string; message: string } | undefined;
  /** Nothing of the pod runs any more and nothing will be restarted. */
  readonly finished: boolean;
}

/** RFC 3339 with seconds, as the API has it. */
export function apiTime(wallMs: number): string {
  return `${new Date(wallMs).toISOString().slice(0, 19)}Z`;
}

export function isSidecar(container: Container): boolean {
  return container.restartPolicy === 'Always';
}

/** The status of a pod as it is now. `wallMs` stamps conditions that differ from those the pod has already. */
export function podStatus(view: PodView, wallMs: number): PodStatus {
  const { pod, containers, initContainers, podIp, hostIp, startedAt, failure } = view;
  const initialized =
    failure === undefined &&
    initContainers.every((init) =>
      isSidecar(init.container)
        ? init.started || view.finished
        : init.state.kind === 'terminated' && init.state.exitCode === 0,
    );
  const phase = phaseOf(view, initialized);
  const sidecars = initContainers.filter(({ container }) => isSidecar(container));
  const unready = [...containers, ...sidecars]
    .filter(({ ready }) => !ready)
    .map(({ container }) => container.name);
  const ended = phase === 'Succeeded' || phase === 'Failed';
  const notReady = ended
    ? { reason: phase === 'Succeeded' ? 'PodCompleted' : 'PodFailed' }
    : { reason: 'ContainersNotReady', message: `containers with unready status: [${unready.join(' ')}]` };
  const allReady = initialized && !ended && unready.length === 0;
  const before = new Map((pod.status?.conditions ?? []).map((condition) => [condition.type, condition]));
  const gates = (pod.spec?.readinessGates ?? []).map(({ conditionType }) => conditionType);
  const shut = gates.filter((gate) => before.get(gate)?.status !== 'True');
  const gated = { reason: 'ReadinessGatesNotReady', message: gatesMessage(shut, before) };
  const initWaits = initContainers.filter(({ container, state, started }) =>
    isSidecar(container) ? !started : !(state.kind === 'terminated' && state.exitCode === 0),
  );
  const facts: [type: string, holds: boolean, why: { reason?: string; message?: string }][] = [
    ['PodReadyToStartContainers', podIp !== undefined && !ended, {}],
    [
      'Initialized',
      initialized,
      {
        reason: 'ContainersNotInitialized',
        message: `containers with incomplete status: [${initWaits.map(({ container }) => container.name).join(' ')}]`,
      },
    ],
    ['Ready', allReady && shut.length === 0, allReady ? gated : notReady],
    ['ContainersReady', allReady, notReady],
    ['PodScheduled', true, {}],
  ];
  const own = new Set(facts.map(([type]) => type));
  // Conditions of others, such as those that readiness gates name, are theirs.
  const foreign = (pod.status?.conditions ?? []).filter(({ type }) => !own.has(type));
  const conditions = facts.map(([type, holds, why]): Condition => {
    const status = holds ? 'True' : 'False';
    const previous = before.get(type);
    const lastTransitionTime =
      previous?.status === status && previous.lastTransitionTime !== undefined
        ? previous.lastTransitionTime
        : apiTime(wallMs);
    return { type, status, lastTransitionTime, ...(holds ? {} : why) };
  });
  return {
    phase,
    conditions: [...conditions, ...foreign],
    hostIP: hostIp,
    hostIPs: [{ ip: hostIp }],
    ...(podIp !== undefined && { podIP: podIp, podIPs: [{ ip: podIp }] }),
    startTime: apiTime(startedAt),
    qosClass: pod.status?.qosClass ?? 'BestEffort',
    ...(failure !== undefined && failure),
    initContainerStatuses: initContainers.map((container) => containerStatus(container, pod)),
    containerStatuses: containers.map((container) => containerStatus(container, pod)),
  };
}

/** Each readiness gate that is not open, as a kubelet says it. */
function gatesMessage(shut: readonly string[], known: ReadonlyMap<string, Condition>): string {
  return shut
    .map((gate) =>
      known.has(gate)
        ? `the status of pod readiness gate "${gate}" is not "True", but ${known.get(gate)?.status}`
        : `corresponding condition of pod readiness gate "${gate}" does not exist.`,
    )
    .join(', ');
}

function phaseOf({ containers, failure, finished, initContainers }: PodView, initialized: boolean): string {
  if (failure !== undefined) return 'Failed';
  if (!finished) {
    if (!initialized) return 'Pending';
    return containers.every(({ state, lastState }) => state.kind === 'waiting' && lastState === undefined)
      ? 'Pending'
      : 'Running';
  }
  const failedInit = initContainers.some(
    ({ container, state }) => !isSidecar(container) && !(state.kind === 'terminated' && state.exitCode === 0),
  );
  const ok = containers.every(({ state }) => state.kind === 'terminated' && state.exitCode === 0);
  return ok && !failedInit ? 'Succeeded' : 'Failed';
}

function containerStatus(view: ContainerView, pod: Pod): ContainerStatus {
  const { container, state, lastState, restartCount, ready, started } = view;
  const id = `mesh://${pod.metadata?.uid ?? ''}/${container.name}/${restartCount}`;
  return {
    name: container.name,
    image: container.image ?? '',
    imageID: container.image ?? '',
    restartCount,
    ready: isPlainInit(container, pod) ? state.kind === 'terminated' && state.exitCode === 0 : ready,
    started,
    state: stateStatus(state, id),
    lastState: lastState === undefined ? {} : stateStatus(lastState, id),
    ...(state.kind !== 'waiting' && { containerID: id }),
  };
}

function isPlainInit(container: Container, pod: Pod): boolean {
  return (
    !isSidecar(container) && (pod.spec?.initContainers?.some(({ name }) => name === container.name) ?? false)
  );
}

function stateStatus(state: ContainerState, containerID: string): NonNullable<ContainerStatus['state']> {
  if (state.kind === 'waiting') {
    return {
      waiting: { reason: state.reason, ...(state.message !== undefined && { message: state.message }) },
    };
  }
  if (state.kind === 'running') return { running: { startedAt: apiTime(state.startedAt) } };
  const { exitCode, signal, reason, startedAt, finishedAt } = state;
  return {
    terminated: {
      exitCode,
      ...(signal !== 0 && { signal }),
      reason,
      startedAt: apiTime(startedAt),
      finishedAt: apiTime(finishedAt),
      containerID,
    },
  };
}
