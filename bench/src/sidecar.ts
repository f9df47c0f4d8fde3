/** What a sidecar costs that does nothing yet, that holds many connections, and how soon it is there. */
import { join } from 'node:path';
import { dataPlaneFlags } from '@mesh/charts/program-command';
import { type Clock, sleep } from '@mesh/clock/clock';
import { type Contestant, proxyPorts } from './contestants/contestant.ts';
import { clientEnvironment } from './contestants/ours.ts';
import { drive } from './load/driver.ts';
import { memoryOf } from './measure.ts';
import { Pod, proxyUid } from './pod.ts';
import { type MemoryUse, processTree } from './process-usage.ts';
import type { Playing, StageSet } from './stage-set.ts';

export interface SidecarFacts {
  readonly contestant: string;
  readonly title: string;
  /** Of the larger hop, in the seconds after its first request. */
  readonly idle: MemoryUse;
  /** The most that the larger hop used while 1,000 clients sent 2,000 requests/s together. */
  readonly loaded: MemoryUse;
  /** Of those clients' requests. */
  readonly failed: number;
}

/** Time for what a start leaves behind to be collected. */
const settleMs = 5000;
const clients = { connections: 1000, rate: 2000, seconds: 5 } as const;

/** @param set with a pair of each contestant and nothing measured yet */
export async function sidecarFacts(clock: Clock, set: StageSet): Promise<SidecarFacts[]> {
  await sleep(clock, settleMs);
  const idle = set.playing.map((playing) => largest(playing));
  const facts: SidecarFacts[] = [];
  for (const [index, playing] of set.playing.entries()) {
    const { name, title } = playing.contestant;
    const before = idle[index];
    if (playing.hops.length === 0 || before === undefined) continue;
    facts.push({ contestant: name, title, idle: before, ...(await underLoad(clock, playing)) });
  }
  return facts;
}

async function underLoad(clock: Clock, playing: Playing): Promise<Pick<SidecarFacts, 'loaded' | 'failed'>> {
  let most: MemoryUse = { privateBytes: 0, residentBytes: 0 };
  const watch = clock.every(250, () => {
    const now = largest(playing);
    most = {
      privateBytes: Math.max(most.privateBytes, now.privateBytes),
      residentBytes: Math.max(most.residentBytes, now.residentBytes),
    };
  });
  const { failed } = await drive(playing.stage.client, 'open-loop', {
    ...playing.target,
    ...clients,
    protocol: 'http1',
    path: '/',
  });
  watch.cancel();
  return { loaded: most, failed };
}

function largest({ hops }: Playing): MemoryUse {
  const uses = hops.map(({ pid }) => memoryOf(processTree(pid)));
  return {
    privateBytes: Math.max(...uses.map(({ privateBytes }) => privateBytes)),
    residentBytes: Math.max(...uses.map(({ residentBytes }) => residentBytes)),
  };
}

/**
 * Milliseconds from the start of the process until /ready says 200, several times. The identity service answers at once, so that
 * the certificate costs its round trips and nothing else.
 */
export async function startTimes(
  clock: Clock,
  set: StageSet,
  ours: Contestant,
  times: number,
): Promise<number[]> {
  const stage = set.playing.find(({ contestant }) => contestant === ours)?.stage;
  if (stage === undefined) return [];
  const taken: number[] = [];
  for (let time = 0; time < times; time++) {
    const pod = await Pod.make('start', 200 + time);
    const started = clock.now();
    pod.start([process.execPath, ...dataPlaneFlags, join(stage.root, 'dist/proxy.js')], {
      uid: proxyUid,
      environment: clientEnvironment(stage, pod),
      log: join(stage.directory, 'start.log'),
    });
    await isReady(clock, `http://${pod.address}:${proxyPorts.admin}/ready`, started + 10_000);
    taken.push(clock.now() - started);
    await pod.close();
  }
  return taken;
}

async function isReady(clock: Clock, page: string, deadline: number): Promise<void> {
  while (clock.now() < deadline) {
    const status = await fetch(page).then(
      (response) => response.status,
      () => 0,
    );
    if (status === 200) return;
    await sleep(clock, 4);
  }
  throw new Error('the sidecar is not ready after 10 s');
}
