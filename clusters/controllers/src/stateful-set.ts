import { isNotFound } from '@mesh/kube/api-error';
import type { ReconcileResult } from '@mesh/kube/controller';
import { EventRecorder } from '@mesh/kube/event-recorder';
import { controllerOf, isDeleting, labelOf, parseKey } from '@mesh/kube/objects';
import { jsonEqual } from '@mesh/kube/patch';
import { pods, statefulSets } from '@mesh/kube/resources';
import type { Pod, StatefulSet, Stored } from '@mesh/kube/types';
import { claimChildren } from './claim.ts';
import type { ControllerContext } from './context.ts';
import { ControlLoop } from './control-loop.ts';
import { availability, isReady, isTerminal } from './pod-state.ts';
import { podFromTemplate, templateHash } from './template.ts';

const revisionLabel = 'controller-revision-hash';
const podNameLabel = 'statefulset.kubernetes.io/pod-name';
const podIndexLabel = 'apps.kubernetes.io/pod-index';

/**
 * Keeps pods `NAME-0` … `NAME-(n-1)`, each with a name that outlives it: created in order, removed in reverse, and
 * replaced one at a time from the highest ordinal. Templates of the past are not kept, so a pod below `partition`
 * that dies comes back with the newest template; volume claims are refused.
 */
export function statefulSetController(context: ControllerContext): ControlLoop {
  const reconciler = new StatefulSetReconciler(context);
  return new ControlLoop(context, {
    name: 'statefulset-controller',
    reconcile: (key) => reconciler.reconcile(key),
  })
    .watch(statefulSets, ({ metadata }) => [`${metadata.namespace}/${metadata.name}`])
    .watch(pods, (pod) => {
      const owner = controllerOf(pod);
      if (owner?.kind === 'StatefulSet') return [`${pod.metadata.namespace}/${owner.name}`];
      // a foreign pod in the way of one of ours
      const ordinal = /^(.+)-\d+$/.exec(pod.metadata.name);
      return owner === undefined && ordinal !== null ? [`${pod.metadata.namespace}/${ordinal[1]}`] : [];
    });
}

class StatefulSetReconciler {
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#events = new EventRecorder({ ...context, component: 'statefulset-controller' });
  }

  async reconcile(key: string): Promise<ReconcileResult> {
    const { client } = this.#context;
    const set = await client.find(statefulSets, parseKey(key));
    const spec = set?.spec;
    if (set === undefined || spec === undefined) return undefined;
    const claim = { client, childType: pods, ownerType: statefulSets, owner: set, selector: spec.selector };
    const owned = new Map<number, Stored<Pod>>();
    for (const pod of await claimChildren(claim)) {
      const ordinal = ordinalOf(set, pod);
      if (ordinal !== undefined) owned.set(ordinal, pod);
    }
    const revision = `${set.metadata.name}-${templateHash(spec.template)}`;
    let failure: unknown;
    if (!isDeleting(set)) {
      try {
        await this.#step(set, { owned, revision });
      } catch (thrown) {
        failure = thrown;
      }
    }
    const recheckMs = await this.#writeStatus(set, { owned, revision });
    if (failure !== undefined) throw failure;
    return recheckMs === undefined ? undefined : { requeueAfterMs: recheckMs };
  }

  /** As much as may be done now; the next pod event continues. */
  async #step(
    set: Stored<StatefulSet>,
    { owned, revision }: { owned: Map<number, Stored<Pod>>; revision: string },
  ): Promise<void> {
    const replicas = set.spec?.replicas ?? 1;
    const start = set.spec?.ordinals?.start ?? 0;
    const parallel = set.spec?.podManagementPolicy === 'Parallel';
    for (let ordinal = start; ordinal < start + replicas; ordinal++) {
      const pod = owned.get(ordinal);
      if (pod !== undefined && isTerminal(pod) && !isDeleting(pod)) {
        await this.#delete(set, pod);
        if (!parallel) return;
      } else if (pod === undefined) {
        owned.set(ordinal, await this.#create(set, { ordinal, revision }));
        if (!parallel) return;
      } else if (!parallel && !this.#isServing(set, pod)) {
        return;
      }
    }
    const condemned = [...owned.keys()].filter((ordinal) => ordinal < start || ordinal >= start + replicas);
    condemned.sort((left, right) => right - left);
    for (const ordinal of condemned) {
      const pod = owned.get(ordinal);
      if (pod === undefined) continue;
      if (!isDeleting(pod)) await this.#delete(set, pod);
      if (!parallel) return;
    }
    if (set.spec?.updateStrategy?.type === 'OnDelete') return;
    const partition = set.spec?.updateStrategy?.rollingUpdate?.partition ?? 0;
    for (let ordinal = start + replicas - 1; ordinal >= start + partition; ordinal--) {
      const pod = owned.get(ordinal);
      if (pod === undefined) return;
      if (labelOf(pod, revisionLabel) !== revision) {
        if (!isDeleting(pod)) await this.#delete(set, pod);
        return;
      }
      if (!this.#isServing(set, pod)) return;
    }
  }

  #isServing(set: Stored<StatefulSet>, pod: Stored<Pod>): boolean {
    const minReadySeconds = set.spec?.minReadySeconds ?? 0;
    const wallMs = this.#context.clock.wall();
    return !isDeleting(pod) && availability(pod, { minReadySeconds, wallMs }).available;
  }

  async #create(
    set: Stored<StatefulSet>,
    { ordinal, revision }: { ordinal: number; revision: string },
  ): Promise<Stored<Pod>> {
    const name = `${set.metadata.name}-${ordinal}`;
    try {
      if ((set.spec?.volumeClaimTemplates ?? []).length > 0) {
        throw new Error('volumeClaimTemplates are not supported here; use an emptyDir volume');
      }
      const pod = podFromTemplate(set.spec?.template ?? {}, set, statefulSets);
      pod.metadata.name = name;
      pod.metadata.labels = {
        ...pod.metadata.labels,
        [revisionLabel]: revision,
        [podNameLabel]: name,
        [podIndexLabel]: String(ordinal),
      };
      if (pod.spec !== undefined) {
        const { serviceName } = set.spec ?? {};
        pod.spec = {
          ...pod.spec,
          hostname: name,
          ...(serviceName !== undefined && { subdomain: serviceName }),
        };
      }
      const created = await this.#context.client.create(pods, pod);
      this.#record(set, {
        type: 'Normal',
        reason: 'SuccessfulCreate',
        message: `create Pod ${name} in StatefulSet ${set.metadata.name} successful`,
      });
      return created;
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      this.#record(set, {
        type: 'Warning',
        reason: 'FailedCreate',
        message: `create Pod ${name} in StatefulSet ${set.metadata.name} failed: ${why}`,
      });
      throw thrown;
    }
  }

  async #delete(set: Stored<StatefulSet>, pod: Stored<Pod>): Promise<void> {
    const { uid, name } = pod.metadata;
    try {
      await this.#context.client.delete(pods, pod.metadata, { preconditions: { uid } });
    } catch (thrown) {
      if (!isNotFound(thrown)) throw thrown;
      return;
    }
    this.#record(set, {
      type: 'Normal',
      reason: 'SuccessfulDelete',
      message: `delete Pod ${name} in StatefulSet ${set.metadata.name} successful`,
    });
  }

  #record(
    set: Stored<StatefulSet>,
    text: { type: 'Normal' | 'Warning'; reason: string; message: string },
  ): void {
    this.#events.record(statefulSets, set, text);
  }

  async #writeStatus(
    set: Stored<StatefulSet>,
    { owned, revision }: { owned: Map<number, Stored<Pod>>; revision: string },
  ): Promise<number | undefined> {
    const { client, clock } = this.#context;
    const wallMs = clock.wall();
    const minReadySeconds = set.spec?.minReadySeconds ?? 0;
    const alive = [...owned.values()].filter((pod) => !isTerminal(pod));
    const states = alive.map((pod) => availability(pod, { minReadySeconds, wallMs }));
    const updated = alive.filter(
      (pod) => labelOf(pod, revisionLabel) === revision && !isDeleting(pod),
    ).length;
    const ready = alive.filter((pod) => isReady(pod) && !isDeleting(pod)).length;
    const wanted = set.spec?.replicas ?? 1;
    const rolledOut = updated === wanted && alive.length === wanted && ready === wanted;
    const currentRevision = rolledOut ? revision : (set.status?.currentRevision ?? revision);
    const current = alive.filter((pod) => labelOf(pod, revisionLabel) === currentRevision).length;
    const status: NonNullable<StatefulSet['status']> = {
      replicas: alive.length,
      ...(ready > 0 && { readyReplicas: ready }),
      availableReplicas: states.filter(({ available }) => available).length,
      ...(current > 0 && { currentReplicas: current }),
      ...(updated > 0 && { updatedReplicas: updated }),
      currentRevision,
      updateRevision: revision,
      observedGeneration: set.metadata.generation ?? 0,
      collisionCount: set.status?.collisionCount ?? 0,
    };
    if (!jsonEqual(set.status ?? {}, status)) {
      await client.updateStatus(statefulSets, { ...set, status }).catch((thrown: unknown) => {
        if (!isNotFound(thrown)) throw thrown;
      });
    }
    const waits = states.flatMap(({ inMs }) => (inMs === undefined ? [] : [inMs]));
    return waits.length === 0 ? undefined : Math.min(...waits) + 10;
  }
}

function ordinalOf(set: Stored<StatefulSet>, pod: Stored<Pod>): number | undefined {
  const prefix = `${set.metadata.name}-`;
  const digits = pod.metadata.name.startsWith(prefix) ? pod.metadata.name.slice(prefix.length) : '';
  return /^\d+$/.test(digits) ? Number(digits) : undefined;
}
