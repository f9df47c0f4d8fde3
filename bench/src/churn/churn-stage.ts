/** Where the churn is: pods with the bundles that pods run, the application, and a control plane for each of two clusters. */
import { join } from 'node:path';
import type { Random } from '@mesh/clock/clock';
import { gatewayIdentity } from '@mesh/trust/names';
import { proxyPorts, type Scene, type Stage } from '../contestants/contestant.ts';
import { oursWithGateway } from '../contestants/ours.ts';
import { type ControlPlane, startControlPlane, type TableChange } from '../control-plane.ts';
import type { RunEnvironment } from '../endurance-program.ts';
import { closeStage, isReady, makeOwnStage } from '../own-stage.ts';
import type { Pod } from '../pod.ts';
import { type Cluster, clusters } from '../trust-material.ts';
import type { Watched } from './samples.ts';
import { podNetwork, ServiceChurn } from './service-churn.ts';

/** Renewed after 42 s; connections between proxies end with the certificate that they began with. */
const leafLifetimeMs = 60_000;

const scene: Scene = {
  name: 'churn',
  traffic: 'http',
  mtls: true,
  roundTripMs: 0,
  large: false,
  gateway: true,
};

export class ChurnStage {
  readonly services: ServiceChurn;
  readonly client: Pod;
  readonly watched: readonly Watched[];
  /** The trust anchors that everything began with. */
  readonly anchorsPem: string;
  readonly #stage: Stage;
  readonly #controlPlanes: ReadonlyMap<Cluster, ControlPlane>;

  private constructor(parts: {
    services: ServiceChurn;
    watched: readonly Watched[];
    stage: Stage;
    controlPlanes: ReadonlyMap<Cluster, ControlPlane>;
  }) {
    this.services = parts.services;
    this.watched = parts.watched;
    this.#stage = parts.stage;
    this.client = parts.stage.client;
    this.anchorsPem = parts.stage.trust.anchorsPem;
    this.#controlPlanes = parts.controlPlanes;
  }

  /** Resolves when all three proxies are ready. `brief`: what is unused is left soon. */
  static async open(
    { clock, root, directory }: RunEnvironment,
    { random, brief }: { random: Random; brief: boolean },
  ): Promise<ChurnStage> {
    const app = join(import.meta.dirname, 'app-main.ts');
    const settings: Record<string, string> = brief ? { MESH_DISCOVERY_IDLE: '2s' } : {};
    const stage = await makeOwnStage({ clock, root, directory, scene, app, settings });
    const { trust, middle, client, server } = stage;
    await server.claim(podNetwork);
    const gateway = middle ?? server;
    const services = new ServiceChurn({
      random,
      gateway: {
        endpoint: { host: gateway.address, port: proxyPorts.inbound },
        identity: gatewayIdentity('bench'),
      },
      podIdentity: trust.server.identity,
    });
    const controlPlanes = new Map<Cluster, ControlPlane>();
    for (const cluster of clusters) {
      const options = {
        cluster,
        trust,
        directory,
        leafLifetimeMs,
        inboundPolicy: 'all-authenticated',
      } as const;
      controlPlanes.set(
        cluster,
        await startControlPlane({ ...options, services: services.servedIn(cluster) }),
      );
    }
    const pods = { outbound: client, gateway, inbound: server };
    const watched = oursWithGateway(1)
      .start(stage)
      .map(({ name, pid }) => ({ name, pid, address: pods[name].address }));
    for (const { name, address } of watched) await isReady(clock, name, address);
    return new ChurnStage({ services, watched, stage, controlPlanes });
  }

  /** Tells control planes what is served now. */
  serve(): void {
    for (const [cluster, controlPlane] of this.#controlPlanes) {
      controlPlane.change({ services: this.services.servedIn(cluster) });
    }
  }

  change(change: TableChange): void {
    for (const controlPlane of this.#controlPlanes.values()) controlPlane.change(change);
  }

  async close(): Promise<void> {
    for (const controlPlane of this.#controlPlanes.values()) controlPlane.stop();
    await closeStage(this.#stage);
  }
}
