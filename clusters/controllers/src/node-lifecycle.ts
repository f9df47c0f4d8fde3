import type { ReconcileResult } from '@mesh/kube/controller';
import { EventRecorder } from '@mesh/kube/event-recorder';
import { leases, nodes, pods } from '@mesh/kube/resources';
import type { Node, Pod, Stored } from '@mesh/kube/types';
import { type Condition, withCondition } from './conditions.ts';
import { apiTime, type ControllerContext } from './context.ts';
import { ControlLoop } from './control-loop.ts';
import { byNode } from './informer-set.ts';
import { isReady, isTerminal } from './pod-state.ts';

const leaseNamespace = 'kube-node-lease';

/**
 * Marks a node whose lease is no longer renewed as unknown, and its pods as not ready, so that nothing new goes there;
 * keeps the taints that follow from a node's condition.
 * Whether a lease is renewed is judged by our own clock from when it changed, never by comparing two machines' clocks.
 * @param graceMs silence that is tolerated
 */
export function nodeLifecycleController(context: ControllerContext, graceMs: number): ControlLoop {
  const monitor = new NodeMonitor(context, graceMs);
  return new ControlLoop(context, {
    name: 'node-lifecycle',
    reconcile: (name) => monitor.reconcile(name),
  })
    .watch(nodes, (node) => [node.metadata.name])
    .watch(leases, (lease) => (lease.metadata.namespace === leaseNamespace ? [lease.metadata.name] : []));
}

const conditionTaints = {
  notReady: 'node.kubernetes.io/not-ready',
  unknown: 'node.kubernetes.io/unreachable',
} as const;

function isConditionTaint({ key, effect }: { key: string; effect: string }): boolean {
  return effect === 'NoSchedule' && (Object.values(conditionTaints) as string[]).includes(key);
}

class NodeMonitor {
  readonly #context: ControllerContext;
  readonly #graceMs: number;
  readonly #events: EventRecorder;
  readonly #renewals: Map<string, { renewal: string; at: number }> = new Map();

  constructor(context: ControllerContext, graceMs: number) {
    this.#context = context;
    this.#graceMs = graceMs;
    this.#events = new EventRecorder({ ...context, component: 'node-controller' });
  }

  async reconcile(name: string): Promise<ReconcileResult> {
    const { client, clock, informers } = this.#context;
    const node = informers.of(nodes).get(undefined, name);
    if (node === undefined) {
      this.#renewals.delete(name);
      return undefined;
    }
    const lease = informers.of(leases).get(leaseNamespace, name);
    const heartbeat = node.status?.conditions?.find(({ type }) => type === 'Ready')?.lastHeartbeatTime;
    const renewal = `${lease?.spec?.renewTime ?? ''} ${heartbeat ?? ''}`;
    const known = this.#renewals.get(name);
    if (known?.renewal !== renewal) this.#renewals.set(name, { renewal, at: clock.now() });
    await this.#taint(node);
    const leftMs = (this.#renewals.get(name)?.at ?? clock.now()) + this.#graceMs - clock.now();
    if (leftMs > 0) return { requeueAfterMs: leftMs };
    const current = await client.find(nodes, { name });
    if (current === undefined) return undefined;
    await this.#markUnknown(current);
    for (const pod of informers.of(pods).byIndex(byNode, name)) await this.#markNotReady(pod);
    return { requeueAfterMs: this.#graceMs };
  }

  /** A node's condition as a taint (the API server gives every new node the first one). */
  async #taint({ metadata: { name, resourceVersion }, spec, status }: Stored<Node>): Promise<void> {
    const ready = status?.conditions?.find(({ type }) => type === 'Ready')?.status;
    const wanted =
      ready === 'True' ? undefined : ready === 'Unknown' ? conditionTaints.unknown : conditionTaints.notReady;
    const before = spec?.taints ?? [];
    const own = before.filter(isConditionTaint);
    if (wanted === undefined ? own.length === 0 : own.length === 1 && own[0]?.key === wanted) return;
    const taints = before.filter((taint) => !isConditionTaint(taint));
    if (wanted !== undefined) taints.push({ key: wanted, effect: 'NoSchedule' });
    const body = { metadata: { resourceVersion }, spec: { taints } };
    await this.#context.client.patch(nodes, { name }, { patch: { type: 'merge', body } });
  }

  async #markUnknown(node: Stored<Node>): Promise<void> {
    const { client, clock } = this.#context;
    const before: Condition[] = node.status?.conditions ?? [];
    const wanted = {
      type: 'Ready',
      status: 'Unknown',
      reason: 'NodeStatusUnknown',
      message: 'Kubelet stopped posting node status.',
    };
    const conditions = withCondition(before, wanted, apiTime(clock.wall()));
    if (conditions.every((condition) => before.includes(condition))) return;
    await client.updateStatus(nodes, { ...node, status: { ...node.status, conditions } });
    this.#events.record(nodes, node, {
      type: 'Normal',
      reason: 'NodeNotReady',
      message: `Node ${node.metadata.name} status is now: NodeNotReady`,
    });
  }

  async #markNotReady(pod: Stored<Pod>): Promise<void> {
    if (!isReady(pod) || isTerminal(pod)) return;
    const { client, clock } = this.#context;
    const wanted = {
      type: 'Ready',
      status: 'False',
      reason: 'NodeNotReady',
      message: 'The node is not answering.',
    };
    const conditions = withCondition(pod.status?.conditions ?? [], wanted, apiTime(clock.wall()));
    await client.updateStatus(pods, { ...pod, status: { ...pod.status, conditions } });
  }
}
