import { jsonEqual } from '@mesh/kube/patch';
import type { Deployment, ReplicaSet, Stored } from '@mesh/kube/types';
import { type Condition, withCondition, withoutCondition } from './conditions.ts';
import { apiTime } from './context.ts';

type DeploymentStatus = NonNullable<Deployment['status']>;

interface StatusInput {
  deployment: Stored<Deployment>;
  fresh: Stored<ReplicaSet> | undefined;
  all: readonly Stored<ReplicaSet>[];
  /** Pods below the wanted number that may be unavailable. */
  maxUnavailable: number;
  collisionCount: number | undefined;
  wallMs: number;
}

/** The status of a Deployment from its ReplicaSets, and how long until its progress deadline may pass. */
export function deploymentStatus(input: StatusInput): {
  status: DeploymentStatus;
  recheckMs: number | undefined;
} {
  const { deployment, fresh, all, maxUnavailable, collisionCount, wallMs } = input;
  const now = apiTime(wallMs);
  const wanted = deployment.spec?.replicas ?? 1;
  const total = (value: (status: NonNullable<ReplicaSet['status']>) => number | undefined): number =>
    all.reduce((count, set) => count + (set.status === undefined ? 0 : (value(set.status) ?? 0)), 0);
  const replicas = total((status) => status.replicas);
  const readyReplicas = total((status) => status.readyReplicas);
  const availableReplicas = total((status) => status.availableReplicas);
  const updatedReplicas = fresh?.status?.replicas ?? 0;
  const unavailableReplicas = Math.max(
    0,
    all.reduce((sum, set) => sum + (set.spec?.replicas ?? 0), 0) - availableReplicas,
  );
  const counts = { replicas, updatedReplicas, readyReplicas, availableReplicas, unavailableReplicas };

  let conditions: Condition[] = deployment.status?.conditions ?? [];
  const enough = availableReplicas >= wanted - maxUnavailable;
  conditions = withCondition(
    conditions,
    {
      type: 'Available',
      status: enough ? 'True' : 'False',
      reason: enough ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable',
      message: enough
        ? 'Deployment has minimum availability.'
        : 'Deployment does not have minimum availability.',
      lastUpdateTime: now,
    },
    now,
  );
  const failing = all
    .flatMap((set) => set.status?.conditions ?? [])
    .find(({ type, status }) => type === 'ReplicaFailure' && status === 'True');
  conditions =
    failing === undefined
      ? withoutCondition(conditions, 'ReplicaFailure')
      : withCondition(conditions, { ...failing, lastUpdateTime: now }, now);
  const complete = updatedReplicas === wanted && replicas === wanted && availableReplicas === wanted;
  const moved = Object.entries(counts).some(
    ([name, value]) => value !== ((deployment.status as Record<string, unknown> | undefined)?.[name] ?? 0),
  );
  const progress = progressing({ deployment, fresh, complete, moved, conditions, wallMs });
  if (progress.condition !== undefined) conditions = withCondition(conditions, progress.condition, now);
  if (progress.touch && progress.condition !== undefined) {
    conditions = conditions.map((one) =>
      one.type === 'Progressing' ? { ...one, lastUpdateTime: now } : one,
    );
  }
  const status: DeploymentStatus = { conditions, observedGeneration: deployment.metadata.generation ?? 0 };
  for (const [name, value] of Object.entries(counts)) if (value > 0) Object.assign(status, { [name]: value });
  if (collisionCount !== undefined) status.collisionCount = collisionCount;
  if (status.conditions !== undefined && jsonEqual(status.conditions, [])) delete status.conditions;
  return { status, recheckMs: progress.recheckMs };
}

interface Progress {
  condition: Condition | undefined;
  /** Progress was made, so the deadline counts from now. */
  touch: boolean;
  recheckMs: number | undefined;
}

function progressing(input: {
  deployment: Stored<Deployment>;
  fresh: Stored<ReplicaSet> | undefined;
  complete: boolean;
  moved: boolean;
  conditions: readonly Condition[];
  wallMs: number;
}): Progress {
  const { deployment, fresh, complete, moved, conditions, wallMs } = input;
  const known = conditions.find(({ type }) => type === 'Progressing');
  const lastUpdateTime = apiTime(wallMs);
  const make = (condition: { status: string; reason: string; message: string }): Condition => ({
    type: 'Progressing',
    lastUpdateTime,
    ...condition,
  });
  if (deployment.spec?.paused === true) {
    const message = 'Deployment is paused';
    const condition = make({ status: 'Unknown', reason: 'DeploymentPaused', message });
    return { condition, touch: false, recheckMs: undefined };
  }
  const what =
    fresh === undefined ? `Deployment "${deployment.metadata.name}"` : `ReplicaSet "${fresh.metadata.name}"`;
  if (complete && fresh !== undefined) {
    const message = `${what} has successfully progressed.`;
    const condition = make({ status: 'True', reason: 'NewReplicaSetAvailable', message });
    return { condition, touch: false, recheckMs: undefined };
  }
  const done = known?.reason === 'NewReplicaSetAvailable';
  if (known === undefined || known.status === 'Unknown' || moved || (done && !complete)) {
    const message = `${what} is progressing.`;
    const condition = make({ status: 'True', reason: 'ReplicaSetUpdated', message });
    return { condition, touch: true, recheckMs: (deployment.spec?.progressDeadlineSeconds ?? 600) * 1000 };
  }
  const deadlineMs = (deployment.spec?.progressDeadlineSeconds ?? 600) * 1000;
  const since = Date.parse(known.lastUpdateTime ?? known.lastTransitionTime ?? '');
  const leftMs = (Number.isNaN(since) ? wallMs : since) + deadlineMs - wallMs;
  if (leftMs > 0) return { condition: undefined, touch: false, recheckMs: leftMs + 1000 };
  const message = `${what} has timed out progressing.`;
  const condition = make({ status: 'False', reason: 'ProgressDeadlineExceeded', message });
  return { condition, touch: false, recheckMs: undefined };
}
