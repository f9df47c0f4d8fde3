import { isNotFound, KubeApiError } from '@mesh/kube/api-error';
import type { ReconcileResult } from '@mesh/kube/controller';
import { EventRecorder } from '@mesh/kube/event-recorder';
import { controllerOf, isDeleting, parseKey } from '@mesh/kube/objects';
import { jsonEqual } from '@mesh/kube/patch';
import { pods, replicaSets } from '@mesh/kube/resources';
import { matchesSelector } from '@mesh/kube/selector';
import type { Pod, ReplicaSet, Stored } from '@mesh/kube/types';
import { claimChildren, release } from './claim.ts';
import { type Condition, withCondition, withoutCondition } from './conditions.ts';
import { apiTime, type ControllerContext } from './context.ts';
import { ControlLoop } from './control-loop.ts';
import { byOwner } from './informer-set.ts';
import { rankForDeletion } from './pod-ranking.ts';
import { availability, isActive, isReady } from './pod-state.ts';
import { podFromTemplate } from './template.ts';

/** Pods created or deleted by one reconcile at most; the rest follows at once in the next. */
const burst = 100;

/** Keeps as many pods of a template as asked for. */
export function replicaSetController(context: ControllerContext): ControlLoop {
  const reconciler = new ReplicaSetReconciler(context);
  return new ControlLoop(context, {
    name: 'replicaset-controller',
    reconcile: (key) => reconciler.reconcile(key),
  })
    .watch(replicaSets, (set) => [`${set.metadata.namespace}/${set.metadata.name}`])
    .watch(pods, (pod) => reconciler.keysOf(pod));
}

class ReplicaSetReconciler {
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#events = new EventRecorder({ ...context, component: 'replicaset-controller' });
  }

  /** The set that controls the pod; for a pod without one, every set that could adopt it. */
  keysOf(pod: Stored<Pod>): string[] {
    const namespace = pod.metadata.namespace ?? '';
    const owner = controllerOf(pod);
    if (owner !== undefined) return owner.kind === 'ReplicaSet' ? [`${namespace}/${owner.name}`] : [];
    return this.#context.informers
      .of(replicaSets)
      .list(namespace)
      .filter((set) => matchesSelector(set.spec?.selector, pod.metadata.labels))
      .map((set) => `${namespace}/${set.metadata.name}`);
  }

  async reconcile(key: string): Promise<ReconcileResult> {
    const { client, informers } = this.#context;
    const set = await client.find(replicaSets, parseKey(key));
    const spec = set?.spec;
    if (set === undefined || spec === undefined) return undefined;
    const claim = {
      client,
      childType: pods,
      ownerType: replicaSets,
      owner: set,
      selector: spec.selector,
    };
    await release(claim, informers.of(pods).byIndex(byOwner, set.metadata.uid));
    let active = (await claimChildren(claim)).filter(isActive);
    let failure: unknown;
    if (!isDeleting(set)) {
      try {
        active = await this.#scale(set, active);
      } catch (thrown) {
        failure = thrown;
      }
    }
    const recheckMs = await this.#writeStatus(set, { active, failure });
    if (failure !== undefined) throw failure;
    return recheckMs === undefined ? undefined : { requeueAfterMs: recheckMs };
  }

  async #scale(set: Stored<ReplicaSet>, active: Stored<Pod>[]): Promise<Stored<Pod>[]> {
    const missing = (set.spec?.replicas ?? 1) - active.length;
    if (missing > 0) return [...active, ...(await this.#create(set, Math.min(missing, burst)))];
    if (missing === 0) return active;
    const doomed = rankForDeletion(active).slice(0, Math.min(-missing, burst));
    await Promise.all(doomed.map((pod) => this.#delete(set, pod)));
    return active.filter((pod) => !doomed.includes(pod));
  }

  /** Creates in batches of 1, 2, 4, … so that a template nobody accepts fails once and not a hundred times. */
  async #create(set: Stored<ReplicaSet>, count: number): Promise<Stored<Pod>[]> {
    const created: Stored<Pod>[] = [];
    for (let batch = 1; created.length < count; batch *= 2) {
      const size = Math.min(batch, count - created.length);
      const results = await Promise.allSettled(Array.from({ length: size }, () => this.#createOne(set)));
      for (const result of results) if (result.status === 'fulfilled') created.push(result.value);
      const failed = results.find((result) => result.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
    }
    return created;
  }

  async #createOne(set: Stored<ReplicaSet>): Promise<Stored<Pod>> {
    const pod = podFromTemplate(set.spec?.template ?? {}, set, replicaSets);
    pod.metadata.generateName = `${set.metadata.name}-`;
    try {
      const created = await this.#context.client.create(pods, pod);
      this.#events.record(replicaSets, set, {
        type: 'Normal',
        reason: 'SuccessfulCreate',
        message: `Created pod: ${created.metadata.name}`,
      });
      return created;
    } catch (thrown) {
      this.#events.record(replicaSets, set, {
        type: 'Warning',
        reason: 'FailedCreate',
        message: `Error creating: ${failureText(set, thrown)}`,
      });
      throw thrown;
    }
  }

  async #delete(set: Stored<ReplicaSet>, pod: Stored<Pod>): Promise<void> {
    const { uid } = pod.metadata;
    try {
      await this.#context.client.delete(pods, pod.metadata, { preconditions: { uid } });
    } catch (thrown) {
      if (!isNotFound(thrown)) throw thrown;
      return;
    }
    this.#events.record(replicaSets, set, {
      type: 'Normal',
      reason: 'SuccessfulDelete',
      message: `Deleted pod: ${pod.metadata.name}`,
    });
  }

  /** Writes the status if it changed; milliseconds until a ready pod becomes available, if one is about to. */
  async #writeStatus(
    set: Stored<ReplicaSet>,
    { active, failure }: { active: Stored<Pod>[]; failure: unknown },
  ): Promise<number | undefined> {
    const { client, clock } = this.#context;
    const wallMs = clock.wall();
    const minReadySeconds = set.spec?.minReadySeconds ?? 0;
    const availabilities = active.map((pod) => availability(pod, { minReadySeconds, wallMs }));
    const labels = set.spec?.template?.metadata?.labels ?? {};
    const fullyLabeled = active.filter((pod) =>
      matchesSelector({ matchLabels: labels }, pod.metadata.labels),
    );
    const known: Condition[] = set.status?.conditions ?? [];
    const conditions =
      failure === undefined
        ? withoutCondition(known, 'ReplicaFailure')
        : withCondition(
            known,
            {
              type: 'ReplicaFailure',
              status: 'True',
              reason: 'FailedCreate',
              message: failureText(set, failure),
            },
            apiTime(wallMs),
          );
    const ready = active.filter(isReady).length;
    const available = availabilities.filter((one) => one.available).length;
    const status: NonNullable<ReplicaSet['status']> = {
      replicas: active.length,
      ...(fullyLabeled.length > 0 && { fullyLabeledReplicas: fullyLabeled.length }),
      ...(ready > 0 && { readyReplicas: ready }),
      ...(available > 0 && { availableReplicas: available }),
      ...(conditions.length > 0 && { conditions }),
      observedGeneration: set.metadata.generation ?? 0,
    };
    if (!jsonEqual(set.status ?? {}, status)) {
      await client.updateStatus(replicaSets, { ...set, status }).catch((thrown: unknown) => {
        if (!isNotFound(thrown)) throw thrown;
      });
    }
    const waits = availabilities.flatMap(({ inMs }) => (inMs === undefined ? [] : [inMs]));
    return waits.length === 0 ? undefined : Math.min(...waits) + 10;
  }
}

/**
 * Why a create failed, the same text for each try: a generated name in it would make every failure look new, and the
 * status write that follows would start the next try at once.
 */
function failureText(set: Stored<ReplicaSet>, thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  const generated = thrown instanceof KubeApiError ? thrown.details?.name : undefined;
  return generated === undefined || generated === ''
    ? text
    : text.replaceAll(generated, `${set.metadata.name}-`);
}
