import { isConflict, isNotFound, KubeApiError } from '@mesh/kube/api-error';
import type { ReconcileResult } from '@mesh/kube/controller';
import { EventRecorder } from '@mesh/kube/event-recorder';
import { isDeleting, keyOf, parseKey } from '@mesh/kube/objects';
import { nodes, pods, resourcePath } from '@mesh/kube/resources';
import type { Pod, Stored } from '@mesh/kube/types';
import { type Condition, withCondition } from './conditions.ts';
import { apiTime, type ControllerContext } from './context.ts';
import { ControlLoop } from './control-loop.ts';
import { byNode } from './informer-set.ts';
import { misfit } from './node-fit.ts';

/** Binds each pod to a node that fits: the single one, or one after the other of several. */
export function scheduler(context: ControllerContext): ControlLoop {
  const assigner = new NodeAssigner(context);
  const loop: ControlLoop = new ControlLoop(context, {
    name: 'scheduler',
    concurrency: 1,
    reconcile: (key) => assigner.reconcile(key),
  }).watch(pods, (pod) => (isPending(pod) ? [keyOf(pod)] : []));
  return loop.watch(nodes, () => context.informers.of(pods).byIndex(byNode, '').filter(isPending).map(keyOf));
}

class NodeAssigner {
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  #last = '';

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#events = new EventRecorder({ ...context, component: 'default-scheduler' });
  }

  async reconcile(key: string): Promise<ReconcileResult> {
    const { client, informers } = this.#context;
    const known = informers.of(pods).getByKey(key);
    if (known === undefined || !isPending(known)) return;
    const all = informers.of(nodes).list();
    const reasons = new Map<string, number>();
    const fitting: string[] = [];
    for (const node of all) {
      const reason = misfit(known, node);
      if (reason === undefined) fitting.push(node.metadata.name);
      else reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
    const chosen = this.#next(fitting);
    if (chosen !== undefined) {
      await this.#bind(known, chosen);
      return;
    }
    const counted = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort();
    const why =
      counted.length === 0
        ? 'no nodes available to schedule pods'
        : `0/${all.length} nodes are available: ${counted.join(', ')}.`;
    const pod = await client.find(pods, parseKey(key));
    if (pod !== undefined && isPending(pod)) await this.#markUnschedulable(pod, why);
  }

  #next(names: readonly string[]): string | undefined {
    const sorted = [...names].sort();
    const next = sorted.find((name) => name > this.#last) ?? sorted[0];
    if (next !== undefined) this.#last = next;
    return next;
  }

  async #bind(pod: Stored<Pod>, node: string): Promise<void> {
    const { name, namespace, uid } = pod.metadata;
    const path = resourcePath(pods, { namespace, name, subresource: 'binding' });
    const body = JSON.stringify({
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name, namespace, uid },
      target: { apiVersion: 'v1', kind: 'Node', name: node },
    });
    const answer = await this.#context.client.raw('POST', path, { body });
    if (answer.status > 299) {
      const refused = new KubeApiError({ ...answer, request: `POST ${path}` });
      // bound or deleted meanwhile; the watch will tell
      if (isConflict(refused) || isNotFound(refused)) return;
      throw refused;
    }
    this.#events.record(pods, pod, {
      type: 'Normal',
      reason: 'Scheduled',
      message: `Successfully assigned ${keyOf(pod)} to ${node}`,
    });
  }

  async #markUnschedulable(pod: Stored<Pod>, message: string): Promise<void> {
    const { client, clock } = this.#context;
    const before: Condition[] = pod.status?.conditions ?? [];
    const wanted = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message };
    const conditions = withCondition(before, wanted, apiTime(clock.wall()));
    if (conditions.every((condition) => before.includes(condition))) return;
    await client.updateStatus(pods, { ...pod, status: { ...pod.status, conditions } });
    this.#events.record(pods, pod, { type: 'Warning', reason: 'FailedScheduling', message });
  }
}

function isPending(pod: Stored<Pod>): boolean {
  return (
    pod.spec?.nodeName === undefined &&
    !isDeleting(pod) &&
    (pod.spec?.schedulingGates ?? []).length === 0 &&
    (pod.spec?.schedulerName ?? 'default-scheduler') === 'default-scheduler'
  );
}
