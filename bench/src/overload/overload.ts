/**
 * Three times what an application can do, and what becomes of it: how much is served, how soon the rest is turned away, and
 * whether anything of it stays. Sidecar, application and load generator are processes of their own. Between the rounds the same
 * generator makes the same load on a server that turns everybody away at once: what it sees there is not the proxy's.
 */
import { join } from 'node:path';
import type { Clock } from '@mesh/clock/clock';
import { appPorts, type Scene, type Stage } from '../contestants/contestant.ts';
import { ours } from '../contestants/ours.ts';
import { startControlPlane } from '../control-plane.ts';
import type { RunEnvironment } from '../endurance-program.ts';
import { drive } from '../load/driver.ts';
import type { LoadResult } from '../load/load-result.ts';
import { closeStage, isReady, makeOwnStage } from '../own-stage.ts';
import { cpuMicros, waitedMs } from '../process-usage.ts';
import { workers, workMs } from './capacity.ts';

const capacityPerSecond = (workers * 1000) / workMs;
/** In flight at most: three times what the application works on. */
const inFlight = 3 * workers;
/** Of the load generator: more than are ever under way. */
const connections = 64;

export interface OverloadOptions {
  readonly rounds: number;
  /** Of each load. */
  readonly seconds: number;
}

/** What the sidecar did meanwhile. */
export interface ProxyTime {
  /** Share of the time that it ran. */
  readonly busy: number;
  /** Share of the time that it could have run and another process did. */
  readonly waited: number;
}

export interface Round {
  readonly overload: LoadResult;
  /** The same load on a server that turns everybody away at once. */
  readonly control: LoadResult;
  readonly proxy: ProxyTime;
}

export interface Overloaded {
  /** Requests per second that were served when always as many were under way as may be. */
  readonly peakPerSecond: number;
  readonly before: LoadResult;
  readonly rounds: readonly Round[];
  readonly after: LoadResult;
}

const scene: Scene = {
  name: 'overload',
  traffic: 'http',
  mtls: false,
  roundTripMs: 0,
  large: false,
  gateway: false,
};
const clusterIp = '10.96.0.1';

export async function overload(options: OverloadOptions, environment: RunEnvironment): Promise<Overloaded> {
  const { clock, root, directory } = environment;
  const app = join(import.meta.dirname, 'app-main.ts');
  const settings = { MESH_MAX_IN_FLIGHT: String(inFlight) };
  const stage = await makeOwnStage({ clock, root, directory, scene, app, clusterIp, settings });
  const controlPlane = await startControlPlane({
    cluster: 'bench',
    trust: stage.trust,
    directory,
    inboundPolicy: 'cluster-authenticated',
    services: [
      {
        clusterIp: `${clusterIp}:80`,
        name: 'cart.shop.svc.cluster.local',
        opaque: false,
        endpoints: stage.endpoints,
      },
    ],
  });
  try {
    const [hop] = ours.start(stage);
    if (hop === undefined) throw new Error('the sidecar was not started');
    await isReady(clock, hop.name, stage.client.address);
    return await measure(options, environment, stage, hop.pid);
  } finally {
    controlPlane.stop();
    await closeStage(stage);
  }
}

async function measure(
  { rounds, seconds }: OverloadOptions,
  { clock, say }: RunEnvironment,
  stage: Stage,
  pid: number,
): Promise<Overloaded> {
  const service = { host: clusterIp, port: 80 };
  const turnsAway = { host: stage.server.address, port: appPorts.http[1] };
  const load = { protocol: 'http1', path: '/', seconds, shedding: true } as const;
  const atRate = (rate: number) => ({ ...load, connections, rate });
  const peak = await drive(stage.client, 'open-loop', {
    ...load,
    ...service,
    connections: inFlight,
    rate: 0,
  });
  const half = () => drive(stage.client, 'open-loop', { ...service, ...atRate(capacityPerSecond / 2) });
  const before = await half();
  const done: Round[] = [];
  for (let round = 1; round <= rounds; round++) {
    say(`round ${round} of ${rounds}`);
    const time = watchTime(clock, pid);
    const result = await drive(stage.client, 'open-loop', { ...service, ...atRate(capacityPerSecond * 3) });
    const proxy = time();
    // The server's pod has no redirection: nothing is between the generator and the server there.
    const control = await drive(stage.server, 'open-loop', {
      ...turnsAway,
      ...atRate(capacityPerSecond * 3),
    });
    done.push({ overload: result, control, proxy });
  }
  return { peakPerSecond: peak.operations / peak.seconds, before, rounds: done, after: await half() };
}

/** Gives what a process did since. */
function watchTime(clock: Clock, pid: number): () => ProxyTime {
  const start = { at: clock.now(), ran: cpuMicros(pid) / 1000, waited: waitedMs(pid) };
  return () => {
    const elapsed = clock.now() - start.at;
    return {
      busy: (cpuMicros(pid) / 1000 - start.ran) / elapsed,
      waited: (waitedMs(pid) - start.waited) / elapsed,
    };
  };
}
