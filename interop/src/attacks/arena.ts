/** Where attacks are measured: a pair of sidecars with an application behind, the victim before it, the attacker beside. */
import type { ChildProcess } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { httpPair, throughGateway } from '@mesh/bench/cells';
import {
  appPorts,
  type Contestant,
  type Hop,
  type HopName,
  proxyPorts,
  type Scene,
  type Stage,
} from '@mesh/bench/contestants/contestant';
import { ours, oursWithGateway } from '@mesh/bench/contestants/ours';
import { memoryOf } from '@mesh/bench/measure';
import { Pod } from '@mesh/bench/pod';
import { cpuMicros, processTree, sumOf } from '@mesh/bench/process-usage';
import { type Playing, serviceName, StageSet } from '@mesh/bench/stage-set';
import { makeTrust, type TrustMaterial, type WorkloadFiles } from '@mesh/bench/trust-material';
import type { Clock } from '@mesh/clock/clock';
import { gatewayIdentity } from '@mesh/trust/names';
import {
  asked,
  type AttackerHello,
  type AttackerOrder,
  type AttackOrder,
  type AttackReport,
  type VictimOrder,
  type VictimReport,
} from './messages.ts';
import type { Window } from './verdict.ts';

/** Of the application that attackers have to themselves: what they make it do is not what a proxy can prevent. */
const ownPort = 8082;
const victimRate = 200;
const victimConnections = 4;
/** See `measuredFirst`: the attacker has what time is left. */
const attackerLast = ['chrt', '--other', '0', 'nice', '--adjustment=19'];
const betweenLooksMs = 200;

export type Place = 'sidecar' | 'gateway';

interface ArenaOptions {
  readonly clock: Clock;
  /** Of the repository. */
  readonly root: string;
  /** Existing; for certificates and logs. */
  readonly directory: string;
}

interface Attacked {
  readonly scene: Scene;
  readonly contestant: Contestant;
  readonly hop: HopName;
  /** What the attacker needs to know of it. */
  target(stage: Stage): Pick<AttackerOrder, 'host' | 'ports' | 'serverIdentity' | 'exported'>;
  /** Who he is. */
  attacker(trust: TrustMaterial): WorkloadFiles;
}

const places: Readonly<Record<Place, Attacked>> = {
  sidecar: {
    scene: httpPair,
    contestant: ours,
    hop: 'inbound',
    target: ({ server, appPort, trust }) => ({
      host: server.address,
      ports: { shared: appPort, own: ownPort },
      serverIdentity: trust.server.identity,
      exported: '',
    }),
    attacker: ({ client }) => client,
  },
  gateway: {
    scene: throughGateway,
    contestant: oursWithGateway(1),
    hop: 'gateway',
    target: ({ server, middle, clusterIp }) => ({
      host: (middle ?? server).address,
      ports: { shared: proxyPorts.inbound, own: proxyPorts.inbound },
      serverIdentity: gatewayIdentity('bench'),
      exported: `${serviceName(clusterIp)}:80`,
    }),
    attacker: ({ peer }) => peer,
  },
};

export class Arena {
  readonly #clock: Clock;
  readonly #set: StageSet;
  readonly #attackerPod: Pod;
  readonly #attacked: Hop;
  readonly #metrics: string;
  readonly #attacker: ChildProcess;
  readonly #victim: ChildProcess;

  private constructor(parts: {
    clock: Clock;
    set: StageSet;
    attackerPod: Pod;
    attacked: Hop;
    metrics: string;
    attacker: ChildProcess;
    victim: ChildProcess;
  }) {
    this.#clock = parts.clock;
    this.#set = parts.set;
    this.#attackerPod = parts.attackerPod;
    this.#attacked = parts.attacked;
    this.#metrics = parts.metrics;
    this.#attacker = parts.attacker;
    this.#victim = parts.victim;
  }

  static async open(place: Place, { clock, root, directory }: ArenaOptions): Promise<Arena> {
    const { scene, contestant, hop, target, attacker: as } = places[place];
    const attackerPod = await Pod.make('attacker', 100);
    const attacker = attackerPod.fork(join(import.meta.dirname, 'attacker-main.ts'), attackerLast);
    const { anchors } = await asked<AttackerHello>(attacker);
    const made = makeTrust(directory, clock);
    const trust = { ...made, anchorsPem: made.anchorsPem + anchors };
    const program = join(import.meta.dirname, 'application-main.ts');
    const applications = {
      shared: join(directory, 'application.sock'),
      own: join(directory, 'attacked-application.sock'),
    };
    const set = await StageSet.open(scene, [contestant], {
      clock,
      trust,
      directory,
      root,
      application: [program, applications.shared, ...appPorts.http.map(String)],
      skip: (what) => {
        throw new Error(what);
      },
    });
    const [playing] = set.playing;
    const attacked = playing?.hops.find(({ name }) => name === hop);
    if (playing === undefined || attacked === undefined) throw new Error(`there is no ${hop} proxy`);
    const { stage } = playing;
    stage.server.start([...attackerLast, process.execPath, program, applications.own, String(ownPort)], {
      log: join(stage.directory, 'attacked-application.log'),
    });
    const to = target(stage);
    const metrics = `http://${to.host}:${proxyPorts.admin}/metrics`;
    await asked(attacker, {
      ...to,
      ...as(trust),
      metrics,
      applications,
    } satisfies AttackerOrder & { both: string });
    const victim = await startVictim(playing);
    return new Arena({ clock, set, attackerPod, attacked, metrics, attacker, victim });
  }

  async close(): Promise<void> {
    await this.#attackerPod.close();
    await this.#set.close();
  }

  /** Of the attacked proxy. */
  privateBytes(): number {
    return memoryOf(processTree(this.#attacked.pid)).privateBytes;
  }

  /** Files and sockets that it has open. */
  descriptors(): number {
    return sumOf(processTree(this.#attacked.pid), (pid) => readdirSync(`/proc/${pid}/fd`).length);
  }

  /** Its metrics page. */
  async metrics(): Promise<string> {
    return (await fetch(this.#metrics)).text();
  }

  /** What the victim saw, and what the proxy used, while `meanwhile`. */
  async window(meanwhile: () => Promise<unknown>): Promise<Window> {
    const pids = processTree(this.#attacked.pid);
    await asked(this.#victim, { begin: true });
    const [start, before] = [this.#clock.now(), sumOf(pids, cpuMicros)];
    await meanwhile();
    const cpuShare = (sumOf(pids, cpuMicros) - before) / ((this.#clock.now() - start) * 1000);
    return { ...(await asked<VictimReport>(this.#victim, { end: true })), cpuShare };
  }

  /** `look` is called with the proxy's private bytes now and then. */
  async attack(order: AttackOrder, look: (bytes: number) => void): Promise<AttackReport> {
    const looking = this.#clock.every(betweenLooksMs, () => look(this.privateBytes()));
    try {
      return await asked<AttackReport>(this.#attacker, order);
    } finally {
      looking.cancel();
    }
  }
}

async function startVictim({ stage, target }: Playing): Promise<ChildProcess> {
  const victim = stage.client.fork(join(import.meta.dirname, 'victim-main.ts'));
  await asked(victim, {
    ...target,
    rate: victimRate,
    connections: victimConnections,
  } satisfies VictimOrder);
  return victim;
}
