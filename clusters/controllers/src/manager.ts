import type { Clock, Random } from '@mesh/clock/clock';
import type { Cidr } from '@mesh/kube/cidr';
import type { KubeClient } from '@mesh/kube/client';
import type { Logger } from '@mesh/telemetry/log';
import type { Controller, ControllerContext } from './context.ts';
import { deploymentController } from './deployment.ts';
import { endpointSliceController } from './endpoint-slices.ts';
import { GarbageCollector } from './garbage-collector.ts';
import { InformerSet } from './informer-set.ts';
import { loadBalancerController } from './load-balancer.ts';
import { namespaceDefaultsController } from './namespace-defaults.ts';
import { namespaceDeletionController } from './namespace-deletion.ts';
import { nodeLifecycleController } from './node-lifecycle.ts';
import { podGarbageController } from './pod-gc.ts';
import { replicaSetController } from './replica-set.ts';
import { roleAggregationController } from './role-aggregation.ts';
import { scheduler } from './scheduler.ts';
import { statefulSetController } from './stateful-set.ts';

export interface ControllerManagerOptions {
  client: KubeClient;
  clock: Clock;
  random: Random;
  log: Logger;
  /** PEM of the API server's authority, given to every namespace. */
  clusterCa: string | undefined;
  /** Addresses for Services of type LoadBalancer; without it they stay pending. */
  loadBalancerPool?: Cidr | undefined;
  /** Silence of a node that is tolerated, in milliseconds. Default 40 000. */
  nodeGraceMs?: number;
  /** Time a deleted node's pods are kept, in milliseconds. Default 10 000. */
  podQuarantineMs?: number;
}

/** All controllers of one cluster. They follow the API server for as long as they run, also through its restarts. */
export class ControllerManager {
  readonly #informers: InformerSet;
  readonly #controllers: readonly Controller[];

  constructor({
    clusterCa,
    loadBalancerPool,
    nodeGraceMs = 40_000,
    podQuarantineMs = 10_000,
    ...shared
  }: ControllerManagerOptions) {
    this.#informers = new InformerSet(shared);
    const context: ControllerContext = { ...shared, informers: this.#informers };
    this.#controllers = [
      namespaceDefaultsController(context, clusterCa),
      scheduler(context),
      deploymentController(context),
      replicaSetController(context),
      statefulSetController(context),
      endpointSliceController(context),
      ...(loadBalancerPool === undefined ? [] : [loadBalancerController(context, loadBalancerPool)]),
      namespaceDeletionController(context),
      new GarbageCollector(context),
      podGarbageController(context, podQuarantineMs),
      nodeLifecycleController(context, nodeGraceMs),
      roleAggregationController(context),
    ];
  }

  start(): void {
    for (const controller of this.#controllers) controller.start();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#controllers.map((controller) => controller.stop()));
    await this.#informers.stop();
  }
}
