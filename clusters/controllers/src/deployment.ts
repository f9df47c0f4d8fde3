import { isAlreadyExists, isNotFound } from '@mesh/kube/api-error';
import type { ReconcileResult } from '@mesh/kube/controller';
import { EventRecorder } from '@mesh/kube/event-recorder';
import { annotationOf, controllerOf, controllerRef, isDeleting, parseKey } from '@mesh/kube/objects';
import { jsonEqual, subsetDiff } from '@mesh/kube/patch';
import { deployments, pods, replicaSets } from '@mesh/kube/resources';
import { matchesSelector } from '@mesh/kube/selector';
import type { Deployment, Pod, ReplicaSet, Stored } from '@mesh/kube/types';
import { claimChildren } from './claim.ts';
import type { ControllerContext } from './context.ts';
import { ControlLoop } from './control-loop.ts';
import { deploymentStatus } from './deployment-status.ts';
import { byOwner } from './informer-set.ts';
import { isTerminal } from './pod-state.ts';
import { nextSizes, rollingLimits, type SetView } from './rolling-update.ts';
import { sameTemplate, templateHash, templateHashLabel } from './template.ts';

const revisionAnnotation = 'deployment.kubernetes.io/revision';

/** Moves a Deployment's pods to its newest template, one ReplicaSet per template. */
export function deploymentController(context: ControllerContext): ControlLoop {
  const reconciler = new DeploymentReconciler(context);
  return new ControlLoop(context, {
    name: 'deployment-controller',
    reconcile: (key) => reconciler.reconcile(key),
  })
    .watch(deployments, ({ metadata }) => [`${metadata.namespace}/${metadata.name}`])
    .watch(replicaSets, (set) => reconciler.keysOf(set))
    .watch(pods, (pod) => reconciler.keysOfPod(pod));
}

class DeploymentReconciler {
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#events = new EventRecorder({ ...context, component: 'deployment-controller' });
  }

  keysOf(set: Stored<ReplicaSet>): string[] {
    const namespace = set.metadata.namespace ?? '';
    const owner = controllerOf(set);
    if (owner !== undefined) return owner.kind === 'Deployment' ? [`${namespace}/${owner.name}`] : [];
    return this.#context.informers
      .of(deployments)
      .list(namespace)
      .filter((deployment) => matchesSelector(deployment.spec?.selector, set.metadata.labels))
      .map((deployment) => `${namespace}/${deployment.metadata.name}`);
  }

  /** Only Recreate waits for pods themselves: the next template must not start beside the last one. */
  keysOfPod(pod: Stored<Pod>): string[] {
    const { informers } = this.#context;
    const namespace = pod.metadata.namespace ?? '';
    const set = informers.of(replicaSets).get(namespace, controllerOf(pod)?.name ?? '');
    const owner = set === undefined ? undefined : controllerOf(set);
    const deployment = informers.of(deployments).get(namespace, owner?.name ?? '');
    return deployment?.spec?.strategy?.type === 'Recreate'
      ? [`${namespace}/${deployment.metadata.name}`]
      : [];
  }

  async reconcile(key: string): Promise<ReconcileResult> {
    const { client } = this.#context;
    const deployment = await client.find(deployments, parseKey(key));
    const selector = deployment?.spec?.selector;
    if (deployment === undefined || selector === undefined) return undefined;
    const claim = { client, childType: replicaSets, ownerType: deployments, owner: deployment, selector };
    const all = await claimChildren(claim);
    if (isDeleting(deployment))
      return await this.#writeStatus(deployment, { all, fresh: this.#fresh(deployment, all) });
    const paused = deployment.spec?.paused === true;
    const recreate = deployment.spec?.strategy?.type === 'Recreate';
    let fresh = this.#fresh(deployment, all);
    if (paused) {
      await this.#scalePaused(deployment, all);
    } else if (recreate && !(await this.#drained(deployment, { all, fresh }))) {
      return await this.#writeStatus(deployment, { all, fresh });
    } else {
      if (fresh === undefined) {
        const created = await this.#createFresh(deployment, all);
        if (created === undefined) return { requeueAfterMs: 10 };
        fresh = created;
        all.push(fresh);
      }
      fresh = await this.#markRevision(deployment, { all, fresh });
      if (recreate) await this.#resize(deployment, { set: fresh, size: deployment.spec?.replicas ?? 1 });
      else await this.#roll(deployment, { all, fresh });
      await this.#prune(deployment, { all, fresh });
    }
    return await this.#writeStatus(deployment, { all, fresh });
  }

  #fresh(deployment: Stored<Deployment>, all: readonly Stored<ReplicaSet>[]): Stored<ReplicaSet> | undefined {
    const template = deployment.spec?.template;
    if (template === undefined) return undefined;
    return byAge(all).find((set) => sameTemplate(set.spec?.template ?? {}, template));
  }

  /** Undefined when the name was taken by another template: the next try salts the hash. */
  async #createFresh(
    deployment: Stored<Deployment>,
    all: readonly Stored<ReplicaSet>[],
  ): Promise<Stored<ReplicaSet> | undefined> {
    const { client } = this.#context;
    const { spec } = deployment;
    if (spec === undefined) return undefined;
    const hash = templateHash(spec.template, deployment.status?.collisionCount ?? 0);
    const labels = { ...spec.template.metadata?.labels, [templateHashLabel]: hash };
    const name = `${deployment.metadata.name}-${hash}`;
    const set: ReplicaSet = {
      metadata: {
        name,
        namespace: deployment.metadata.namespace ?? '',
        labels,
        annotations: { [revisionAnnotation]: String(lastRevision(all) + 1) },
        ownerReferences: [controllerRef(deployment, { kind: 'Deployment', apiVersion: 'apps/v1' })],
      },
      spec: {
        replicas: 0,
        ...(spec.minReadySeconds !== undefined && { minReadySeconds: spec.minReadySeconds }),
        selector: {
          ...spec.selector,
          matchLabels: { ...spec.selector.matchLabels, [templateHashLabel]: hash },
        },
        template: { ...spec.template, metadata: { ...spec.template.metadata, labels } },
      },
    };
    try {
      return await client.create(replicaSets, set);
    } catch (thrown) {
      if (!isAlreadyExists(thrown)) throw thrown;
      const other = await client.find(replicaSets, { namespace: deployment.metadata.namespace, name });
      const ours = other !== undefined && controllerOf(other)?.uid === deployment.metadata.uid;
      if (ours && sameTemplate(other.spec?.template ?? {}, spec.template)) return other;
      const collisionCount = (deployment.status?.collisionCount ?? 0) + 1;
      await client.updateStatus(deployments, {
        ...deployment,
        status: { ...deployment.status, collisionCount },
      });
      return undefined;
    }
  }

  /** The set in use carries the highest revision, also when it is an old one that was rolled back to, and our rules. */
  async #markRevision(
    deployment: Stored<Deployment>,
    { all, fresh }: { all: Stored<ReplicaSet>[]; fresh: Stored<ReplicaSet> },
  ): Promise<Stored<ReplicaSet>> {
    const { client } = this.#context;
    const others = all.filter((set) => set.metadata.uid !== fresh.metadata.uid);
    let marked = fresh;
    const last = lastRevision(others);
    const revision = revisionOf(fresh) > last ? revisionOf(fresh) : last + 1;
    const minReadySeconds = deployment.spec?.minReadySeconds ?? 0;
    const body = subsetDiff(fresh, {
      metadata: { annotations: { [revisionAnnotation]: String(revision) } },
      ...((fresh.spec?.minReadySeconds ?? 0) !== minReadySeconds && { spec: { minReadySeconds } }),
    });
    if (body !== undefined) {
      marked = await client.patch(replicaSets, fresh.metadata, { patch: { type: 'merge', body } });
      all.splice(all.indexOf(fresh), 1, marked);
    }
    if (annotationOf(deployment, revisionAnnotation) !== String(revision)) {
      const annotations = { [revisionAnnotation]: String(revision) };
      const { metadata } = await client.patch(deployments, deployment.metadata, {
        patch: { type: 'merge', body: { metadata: { annotations } } },
      });
      deployment.metadata = metadata;
    }
    return marked;
  }

  async #roll(
    deployment: Stored<Deployment>,
    { all, fresh }: { all: Stored<ReplicaSet>[]; fresh: Stored<ReplicaSet> },
  ): Promise<void> {
    const replicas = deployment.spec?.replicas ?? 1;
    const { maxSurge, maxUnavailable } = deployment.spec?.strategy?.rollingUpdate ?? {};
    const limits = rollingLimits(replicas, maxSurge, maxUnavailable);
    const old = byAge(all).filter((set) => set.metadata.uid !== fresh.metadata.uid);
    const sizes = nextSizes({ replicas, limits, fresh: viewOf(fresh), old: old.map(viewOf) });
    for (const [name, size] of sizes) {
      const set = all.find((candidate) => candidate.metadata.name === name);
      if (set !== undefined) await this.#resize(deployment, { set, size });
    }
  }

  /** A paused Deployment follows its replica count, but starts no new template. */
  async #scalePaused(deployment: Stored<Deployment>, all: Stored<ReplicaSet>[]): Promise<void> {
    const active = all.filter((set) => (set.spec?.replicas ?? 0) > 0);
    const only = active[0] ?? byAge(all).at(-1);
    if (only === undefined || active.length > 1) return;
    await this.#resize(deployment, { set: only, size: deployment.spec?.replicas ?? 1 });
  }

  /** Recreate: true once no pod of an old template is left; asks for that otherwise. */
  async #drained(
    deployment: Stored<Deployment>,
    { all, fresh }: { all: Stored<ReplicaSet>[]; fresh: Stored<ReplicaSet> | undefined },
  ): Promise<boolean> {
    const old = all.filter((set) => set.metadata.uid !== fresh?.metadata.uid);
    for (const set of old) await this.#resize(deployment, { set, size: 0 });
    const left = this.#context.informers.of(pods);
    return old.every(
      (set) =>
        (set.status?.replicas ?? 0) === 0 &&
        left.byIndex(byOwner, set.metadata.uid).every((pod) => isTerminal(pod)),
    );
  }

  async #resize(
    deployment: Stored<Deployment>,
    { set, size }: { set: Stored<ReplicaSet>; size: number },
  ): Promise<void> {
    const before = set.spec?.replicas ?? 0;
    if (before === size) return;
    const { uid, resourceVersion } = set.metadata;
    const updated = await this.#context.client.patch(replicaSets, set.metadata, {
      patch: { type: 'merge', body: { metadata: { uid, resourceVersion }, spec: { replicas: size } } },
    });
    Object.assign(set, updated);
    this.#events.record(deployments, deployment, {
      type: 'Normal',
      reason: 'ScalingReplicaSet',
      message: `Scaled ${size > before ? 'up' : 'down'} replica set ${set.metadata.name} from ${before} to ${size}`,
    });
  }

  async #prune(
    deployment: Stored<Deployment>,
    { all, fresh }: { all: Stored<ReplicaSet>[]; fresh: Stored<ReplicaSet> },
  ): Promise<void> {
    const keep = deployment.spec?.revisionHistoryLimit ?? 10;
    const idle = all.filter(
      (set) =>
        set.metadata.uid !== fresh.metadata.uid &&
        (set.spec?.replicas ?? 0) === 0 &&
        (set.status?.replicas ?? 0) === 0 &&
        !isDeleting(set),
    );
    idle.sort((left, right) => revisionOf(left) - revisionOf(right));
    for (const set of idle.slice(0, Math.max(0, idle.length - keep))) {
      const { uid } = set.metadata;
      await this.#context.client
        .delete(replicaSets, set.metadata, { preconditions: { uid } })
        .catch(ignoreGone);
      all.splice(all.indexOf(set), 1);
    }
  }

  async #writeStatus(
    deployment: Stored<Deployment>,
    { all, fresh }: { all: readonly Stored<ReplicaSet>[]; fresh: Stored<ReplicaSet> | undefined },
  ): Promise<ReconcileResult> {
    const { client, clock } = this.#context;
    const { maxSurge, maxUnavailable } = deployment.spec?.strategy?.rollingUpdate ?? {};
    const limits = rollingLimits(deployment.spec?.replicas ?? 1, maxSurge, maxUnavailable);
    const recreate = deployment.spec?.strategy?.type === 'Recreate';
    const { status, recheckMs } = deploymentStatus({
      deployment,
      all,
      fresh: all.find((set) => set.metadata.uid === fresh?.metadata.uid),
      maxUnavailable: recreate ? 0 : limits.unavailable,
      collisionCount: deployment.status?.collisionCount,
      wallMs: clock.wall(),
    });
    if (!jsonEqual(deployment.status ?? {}, status)) {
      await client.updateStatus(deployments, { ...deployment, status }).catch(ignoreGone);
    }
    return recheckMs === undefined ? undefined : { requeueAfterMs: recheckMs };
  }
}

function viewOf(set: Stored<ReplicaSet>): SetView {
  return {
    name: set.metadata.name,
    wanted: set.spec?.replicas ?? 0,
    available: set.status?.availableReplicas ?? 0,
  };
}

function revisionOf(set: Stored<ReplicaSet>): number {
  const revision = Number(annotationOf(set, revisionAnnotation) ?? '0');
  return Number.isInteger(revision) ? revision : 0;
}

function lastRevision(sets: readonly Stored<ReplicaSet>[]): number {
  return sets.reduce((last, set) => Math.max(last, revisionOf(set)), 0);
}

function byAge(sets: readonly Stored<ReplicaSet>[]): Stored<ReplicaSet>[] {
  const age = (set: Stored<ReplicaSet>): string => `${set.metadata.creationTimestamp} ${set.metadata.name}`;
  return [...sets].sort((left, right) => (age(left) < age(right) ? -1 : 1));
}

function ignoreGone(thrown: unknown): void {
  if (!isNotFound(thrown)) throw thrown;
}
