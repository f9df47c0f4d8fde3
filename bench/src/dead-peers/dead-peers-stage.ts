/** A sidecar that reaches a service of another cluster through two gateways, over wires of any length, and ways to lose one of them. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { kill } from 'node:process';
import { type Clock, sleep } from '@mesh/clock/clock';
import type { HostPort } from '@mesh/control-api/convert';
import { runTool } from '@mesh/node/run-tool';
import { gatewayIdentity } from '@mesh/trust/names';
import { proxyPorts, type Scene, type Stage } from '../contestants/contestant.ts';
import { oursWithGateway, startGateway } from '../contestants/ours.ts';
import { type ControlPlane, startControlPlane } from '../control-plane.ts';
import type { ServedEndpoint, ServedService } from '../control-plane-table.ts';
import type { RunEnvironment } from '../endurance-program.ts';
import { closeStage, isReady, makeOwnStage } from '../own-stage.ts';
import { Pod } from '../pod.ts';
import { processTree } from '../process-usage.ts';
import { clusters } from '../trust-material.ts';
import { startWire, type Wire } from '../wire.ts';
import type { LoadOrder, Sample } from './load-main.ts';

const scene: Scene = {
  name: 'dead-peers',
  traffic: 'http',
  mtls: true,
  roundTripMs: 0,
  large: false,
  gateway: true,
};

const service = { clusterIp: '10.96.0.1:80', name: 'cart.shop.svc.cluster.local', opaque: false } as const;

/** `killed`: its process. `stopped`: its process stands still, while its kernel acknowledges. `gone`: nothing comes from its machine. */
const deaths = ['killed', 'stopped', 'gone'] as const;
export type Death = (typeof deaths)[number];

interface Gateway {
  readonly stage: Stage;
  readonly pod: Pod;
  pid: number;
  /** Where the sidecar finds it. */
  endpoint: HostPort;
}

const bothServeWithinMs = 30_000;
/** More than a gateway sees by chance, of its health or ours. */
const enoughRequests = 5;

const atGateway = ({ address: host }: Pod): HostPort => ({ host, port: proxyPorts.inbound });

function remote(endpoint: HostPort): ServedEndpoint {
  return { ...endpoint, identity: gatewayIdentity('bench'), authority: `${service.name}:80` };
}

function signal({ pid }: Gateway, name: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void {
  for (const one of processTree(pid)) kill(one, name);
}

/** Drops every packet to and from an endpoint, as when its machine lost power; `--delete` ends that. */
async function silence({ host, port }: HostPort, change: '--append' | '--delete'): Promise<void> {
  const to = `--protocol tcp --destination ${host} --dport ${port} --jump DROP`;
  const from = `--protocol tcp --source ${host} --sport ${port} --jump DROP`;
  const rules = [`INPUT ${to}`, `FORWARD ${to}`, `FORWARD ${from}`, `OUTPUT ${from}`];
  const input = `*filter\n${rules.map((rule) => `${change} ${rule}\n`).join('')}COMMIT\n`;
  await runTool(['iptables-restore', '--noflush'], { input });
}

export class DeadPeersStage {
  readonly #root: string;
  readonly #clock: Clock;
  readonly #stage: Stage;
  readonly #controlPlanes: ReadonlyMap<string, ControlPlane>;
  readonly #gateways: readonly Gateway[];
  readonly #load: ChildProcess;
  #wires: Wire[] = [];

  private constructor(parts: {
    root: string;
    clock: Clock;
    stage: Stage;
    controlPlanes: ReadonlyMap<string, ControlPlane>;
    gateways: readonly Gateway[];
    load: ChildProcess;
  }) {
    this.#root = parts.root;
    this.#clock = parts.clock;
    this.#stage = parts.stage;
    this.#controlPlanes = parts.controlPlanes;
    this.#gateways = parts.gateways;
    this.#load = parts.load;
  }

  /** Resolves when everything is ready and the load runs, requests per second. */
  static async open({ clock, root, directory }: RunEnvironment, rate: number): Promise<DeadPeersStage> {
    const app = join(import.meta.dirname, '../app-main.ts');
    const stage = await makeOwnStage({ clock, root, directory, scene, app });
    const { client, middle: first, trust, endpoints, server } = stage;
    if (first === undefined) throw new Error('the stage has no gateway');
    const second = await Pod.make('gateway-2', 4);
    const secondDirectory = join(stage.directory, 'gateway-2');
    mkdirSync(secondDirectory, { mode: 0o755 });
    const secondStage = { ...stage, middle: second, directory: secondDirectory };
    const controlPlanes = new Map<string, ControlPlane>();
    const pods = endpoints.map((endpoint) => ({ ...endpoint, identity: trust.server.identity }));
    for (const cluster of clusters) {
      const services: ServedService[] = [
        {
          ...service,
          endpoints: cluster === 'bench' ? pods : [first, second].map((pod) => remote(atGateway(pod))),
        },
      ];
      const options = { cluster, trust, directory, services, inboundPolicy: 'all-authenticated' } as const;
      controlPlanes.set(cluster, await startControlPlane(options));
    }
    const hops = oursWithGateway(1).start(stage);
    const gateways: Gateway[] = [
      {
        stage,
        pod: first,
        pid: hops.find(({ name }) => name === 'gateway')?.pid ?? 0,
        endpoint: atGateway(first),
      },
      { stage: secondStage, pod: second, pid: startGateway(secondStage, 1).pid, endpoint: atGateway(second) },
    ];
    for (const { name, address } of [client, first, second, server]) await isReady(clock, name, address);
    const load = client.fork(join(import.meta.dirname, 'load-main.ts'));
    const [host = '', port] = service.clusterIp.split(':');
    const order: LoadOrder = { host, port: Number(port), rate };
    load.send(order);
    return new DeadPeersStage({ root, clock, stage, controlPlanes, gateways, load });
  }

  /** Puts the gateways this far away, ms of a round trip. */
  async moveAway(roundTripMs: number): Promise<void> {
    const former = this.#wires;
    this.#wires = [];
    for (const gateway of this.#gateways) {
      const there = atGateway(gateway.pod);
      if (roundTripMs === 0) {
        gateway.endpoint = there;
        continue;
      }
      const wire = await startWire(this.#root, there, roundTripMs);
      this.#wires.push(wire);
      gateway.endpoint = wire.address;
    }
    const endpoints = this.#gateways.map(({ endpoint }) => remote(endpoint));
    this.#controlPlanes.get('east')?.change({ services: [{ ...service, endpoints }] });
    await this.bothServe();
    for (const wire of former) wire.stop();
  }

  /** Resolves when each gateway has had requests again. */
  async bothServe(): Promise<void> {
    const before = await this.#requests();
    const deadline = this.#clock.now() + bothServeWithinMs;
    while (this.#clock.now() < deadline) {
      await sleep(this.#clock, 200);
      const now = await this.#requests();
      if (now.every((count, index) => count > (before[index] ?? 0) + enoughRequests)) return;
    }
    throw new Error(`not both gateways are used after ${bothServeWithinMs} ms; see ${this.#stage.directory}`);
  }

  /** What became of requests since the last call. */
  async take(): Promise<Sample[]> {
    this.#load.send('take');
    const [samples] = (await once(this.#load, 'message')) as [Sample[]];
    return samples;
  }

  /** Gives the time of it, ms of the wall clock. */
  async lose(index: number, death: Death): Promise<number> {
    const gateway = this.#gateway(index);
    if (death === 'gone') await silence(gateway.endpoint, '--append');
    else signal(gateway, death === 'killed' ? 'SIGKILL' : 'SIGSTOP');
    return this.#clock.wall();
  }

  async heal(index: number, death: Death): Promise<void> {
    const gateway = this.#gateway(index);
    if (death === 'gone') await silence(gateway.endpoint, '--delete');
    else if (death === 'stopped') signal(gateway, 'SIGCONT');
    else gateway.pid = startGateway(gateway.stage, 1).pid;
    await this.bothServe();
  }

  async close(): Promise<void> {
    for (const controlPlane of this.#controlPlanes.values()) controlPlane.stop();
    for (const wire of this.#wires) wire.stop();
    await closeStage(this.#stage);
    await this.#gateway(1).pod.close();
  }

  #gateway(index: number): Gateway {
    const gateway = this.#gateways[index];
    if (gateway === undefined) throw new Error(`there is no gateway ${index}`);
    return gateway;
  }

  /** That each gateway has had since its start. */
  #requests(): Promise<number[]> {
    return Promise.all(
      this.#gateways.map(async ({ pod }) => {
        const page = await fetch(`http://${pod.address}:${proxyPorts.admin}/metrics`).then(
          (response) => response.text(),
          () => '',
        );
        const counts = Array.from(page.matchAll(/^request_total\{.* (\d+)$/gm), ([, count]) => Number(count));
        return counts.reduce((sum, count) => sum + count, 0);
      }),
    );
  }
}
