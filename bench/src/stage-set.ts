/** The stages of one scene: every contestant on one of its own, started once, so that repeats meet programs that are warm. */
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, sleep } from '@mesh/clock/clock';
import type { HostPort } from '@mesh/control-api/convert';
import { describeError } from '@mesh/errors/mesh-error';
import { gatewayIdentity } from '@mesh/trust/names';
import {
  appPorts,
  type Contestant,
  type Hop,
  inboundPolicyOf,
  proxyPorts,
  type Scene,
  type Stage,
} from './contestants/contestant.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import type { ServedService } from './control-plane-table.ts';
import { Pod } from './pod.ts';
import { proveClientCertificates } from './tls-proof.ts';
import { type Cluster, clusters, type TrustMaterial } from './trust-material.ts';
import { startWire, type Wire } from './wire.ts';

/** A contestant that is ready to be measured. */
export interface Playing {
  readonly contestant: Contestant;
  readonly stage: Stage;
  readonly hops: readonly Hop[];
  /** Of the service, as clients dial it. */
  readonly target: HostPort;
}

interface StageSetOptions {
  readonly clock: Clock;
  readonly trust: TrustMaterial;
  /** Existing; gets a folder for each stage. */
  readonly directory: string;
  readonly root: string;
  /** A contestant cannot play, and why: it does not answer within 30 s, or takes clients without a certificate. */
  readonly skip: (what: string) => void;
  /** Program of the application, and its arguments; default: the one that is cheap. */
  readonly application?: readonly string[];
}

export class StageSet {
  readonly playing: Playing[] = [];
  readonly #options: StageSetOptions;
  readonly #pods: Pod[] = [];
  readonly #wires: Wire[] = [];
  readonly #controlPlanes: ControlPlane[] = [];

  private constructor(options: StageSetOptions) {
    this.#options = options;
  }

  static async open(
    scene: Scene,
    contestants: readonly Contestant[],
    options: StageSetOptions,
  ): Promise<StageSet> {
    const set = new StageSet(options);
    const stages: [Contestant, Stage][] = [];
    for (const contestant of contestants) {
      stages.push([contestant, await set.#build(scene, contestant, stages.length + 1)]);
    }
    const inboundPolicy = inboundPolicyOf(scene);
    for (const cluster of scene.gateway ? clusters : (['bench'] as const)) {
      const services = stages.map(([, stage]) => servedService(stage, cluster));
      const { directory, trust } = options;
      set.#controlPlanes.push(
        await startControlPlane({ cluster, trust, directory, services, inboundPolicy }),
      );
    }
    for (const [contestant, stage] of stages) {
      await set
        .#enter(contestant, stage)
        .catch((thrown: unknown) =>
          options.skip(`${contestant.title}, in ${scene.name}: ${describeError(thrown)}`),
        );
    }
    return set;
  }

  /** Ends the pods and all that runs in them. */
  async close(): Promise<void> {
    for (const controlPlane of this.#controlPlanes) controlPlane.stop();
    for (const wire of this.#wires) wire.stop();
    for (const pod of this.#pods) await pod.close();
  }

  async #build(scene: Scene, contestant: Contestant, index: number): Promise<Stage> {
    const {
      directory,
      root,
      trust,
      application = [join(import.meta.dirname, 'app-main.ts')],
    } = this.#options;
    const client = await this.#pod(`${contestant.name}-client`);
    const server = await this.#pod(`${contestant.name}-server`);
    const middle = scene.gateway ? await this.#pod(`${contestant.name}-gateway`) : undefined;
    const own = join(directory, `${scene.name}-${contestant.name}`);
    mkdirSync(own);
    chmodSync(own, 0o777);
    if (contestant.intercepted) {
      const rules = { nodeBinary: process.execPath, initProgram: join(root, 'dist/proxy-init.js') };
      await client.intercept(rules);
      if (scene.mtls) await server.intercept(rules);
    }
    server.start([process.execPath, ...application], { log: join(own, 'app.log') });
    const apps = appPorts[scene.traffic].map((port) => ({ host: server.address, port }));
    return {
      scene,
      client,
      server,
      middle,
      clusterIp: `10.96.0.${index}`,
      endpoints: scene.roundTripMs === 0 ? apps : [await this.#wire(scene, apps)],
      appPort: appPorts[scene.traffic][0],
      trust,
      directory: own,
      root,
    };
  }

  async #wire({ name, roundTripMs }: Scene, [app]: readonly HostPort[]): Promise<HostPort> {
    if (app === undefined) throw new Error(`${name} has no application`);
    const wire = await startWire(this.#options.root, app, roundTripMs);
    this.#wires.push(wire);
    return wire.address;
  }

  async #enter(contestant: Contestant, stage: Stage): Promise<void> {
    const hops = contestant.start(stage);
    const [first] = stage.endpoints;
    const target =
      contestant.intercepted || first === undefined ? { host: stage.clusterIp, port: 80 } : first;
    await this.#answers(contestant, stage, target);
    if (stage.scene.mtls && contestant.intercepted) {
      await proveClientCertificates(this.#options.clock, contestant, stage);
    }
    this.playing.push({ contestant, stage, hops, target });
  }

  async #pod(name: string): Promise<Pod> {
    const pod = await Pod.make(name, this.#pods.length + 1);
    this.#pods.push(pod);
    return pod;
  }

  /** Waits until a request passes the proxies. */
  async #answers(contestant: Contestant, stage: Stage, { host, port }: HostPort): Promise<void> {
    const { clock } = this.#options;
    const deadline = clock.now() + 30_000;
    const probe = join(import.meta.dirname, 'probe-main.ts');
    for (;;) {
      try {
        await stage.client.run([process.execPath, probe, stage.scene.traffic, host, String(port)]);
        return;
      } catch (cause) {
        if (clock.now() > deadline) {
          throw new Error(
            `${contestant.title} does not answer in ${stage.scene.name}; see ${stage.directory}`,
            {
              cause,
            },
          );
        }
      }
      await sleep(clock, 200);
    }
  }
}

/** Of the service of a stage. */
export function serviceName(clusterIp: string): string {
  return `cart-${clusterIp.slice(clusterIp.lastIndexOf('.') + 1)}.shop.svc.cluster.local`;
}

/** What the control plane of `cluster` says of the stage's service. */
function servedService(stage: Stage, cluster: Cluster): ServedService {
  const { scene, clusterIp, endpoints, middle, trust } = stage;
  const name = serviceName(clusterIp);
  const common = { clusterIp: `${clusterIp}:80`, name, opaque: scene.traffic === 'tcp' };
  if (cluster === 'east' && middle !== undefined) {
    const identity = gatewayIdentity('bench');
    const gateway = { host: middle.address, port: proxyPorts.inbound, identity, authority: `${name}:80` };
    return { ...common, endpoints: [gateway] };
  }
  const identity = scene.mtls ? { identity: trust.server.identity } : {};
  return { ...common, endpoints: endpoints.map((endpoint) => ({ ...endpoint, ...identity })) };
}
