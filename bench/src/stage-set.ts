/** Every contestant on stages of its own, started once for the whole run, so that repeats meet programs that are warm. */
import { mkdirSync, mkdtempSync, chmodSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Clock, sleep } from '@mesh/clock/clock';
import { type Contestant, type Hop, type Mode, ports, type Stage } from './contestants/contestant.ts';
import { controlAddress, startControlPlane } from './control-plane.ts';
import type { ServedService } from './control-plane-table.ts';
import { Pod } from './pod.ts';
import { makeTrust, type TrustMaterial } from './trust-material.ts';

/** A contestant that is ready to be measured. */
export interface Playing {
  readonly contestant: Contestant;
  readonly stage: Stage;
  readonly hops: readonly Hop[];
  /** Of the service, as the client dials it. */
  readonly url: string;
}

const root = resolve(import.meta.dirname, '../..');
const serviceName = (index: number): string => `cart-${index}.shop.svc.cluster.local`;

interface Role {
  readonly contestant: Contestant;
  readonly mode: Mode;
}

export class StageSet {
  readonly directory: string;
  readonly #clock: Clock;
  readonly #trust: TrustMaterial;
  readonly #pods: Pod[] = [];
  readonly playing: Playing[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
    this.directory = mkdtempSync(join(tmpdir(), 'mesh-bench-'));
    chmodSync(this.directory, 0o755);
    this.#trust = makeTrust(this.directory, clock);
  }

  /** @throws Error when a contestant does not answer within 15 s, with where its log is */
  async open(roles: readonly Role[]): Promise<void> {
    const stages: Stage[] = [];
    for (const role of roles) stages.push(await this.#build(role, stages.length + 1));
    await startControlPlane({
      trust: this.#trust,
      directory: this.directory,
      services: stages.map((stage, index) => servedService(stage, index + 1)),
    });
    for (const [index, { contestant }] of roles.entries()) {
      const stage = stages[index];
      if (stage === undefined) continue;
      const hops = contestant.start(stage);
      const url = contestant.intercepted
        ? `http://${stage.clusterIp}`
        : `http://${stage.server.address}:${ports.http[0]}`;
      await this.#answers(contestant, stage, url);
      this.playing.push({ contestant, stage, hops, url });
    }
  }

  /** Ends the pods. What was written stays when something failed: the logs say why. */
  close(failed: boolean): void {
    for (const pod of this.#pods) pod.close();
    if (!failed) rmSync(this.directory, { recursive: true, force: true });
  }

  async #build({ contestant, mode }: Role, index: number): Promise<Stage> {
    const client = await this.#pod(`${contestant.name}-client`, 2 * index - 1);
    const server = await this.#pod(`${contestant.name}-server`, 2 * index);
    const rules = { nodeBinary: process.execPath, initProgram: join(root, 'dist/proxy-init.js') };
    if (contestant.intercepted) {
      await client.intercept(rules);
      if (mode === 'mtls') await server.intercept(rules);
    }
    const directory = join(this.directory, `${contestant.name}-${mode}`);
    mkdirSync(directory, { mode: 0o755 });
    server.start([process.execPath, join(import.meta.dirname, 'app-main.ts'), ports.http.join(',')], {
      log: `${contestant.name}-${mode}-app`,
    });
    return {
      mode,
      client,
      server,
      clusterIp: `10.96.0.${index}`,
      trust: this.#trust,
      control: controlAddress,
      directory,
      root,
    };
  }

  async #pod(name: string, index: number): Promise<Pod> {
    const pod = await Pod.make(name, index, this.directory);
    this.#pods.push(pod);
    return pod;
  }

  /** Waits until a request passes the proxies. */
  async #answers(contestant: Contestant, stage: Stage, url: string): Promise<void> {
    const deadline = this.#clock.now() + 15_000;
    let words = '';
    while (this.#clock.now() < deadline) {
      try {
        await stage.client.run([process.execPath, join(import.meta.dirname, 'probe-main.ts'), `${url}/`]);
        return;
      } catch (thrown) {
        words = String(thrown);
      }
      await sleep(this.#clock, 200);
    }
    throw new Error(
      `${contestant.title} (${stage.mode}) does not answer: ${words}; its logs are in ${this.directory}`,
    );
  }
}

function servedService({ clusterIp, mode, server, trust }: Stage, index: number): ServedService {
  return {
    clusterIp: `${clusterIp}:80`,
    name: serviceName(index),
    opaque: false,
    endpoints: ports.http.map((port) => ({
      host: server.address,
      port,
      ...(mode === 'mtls' ? { identity: trust.server.identity } : {}),
    })),
  };
}
