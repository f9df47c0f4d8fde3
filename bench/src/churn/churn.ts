/**
 * A time in which everything comes and goes: services, endpoints, certificates, trust anchors, policies, connections of three
 * protocols, clients that leave, that read slowly, that are killed; and what the proxies hold meanwhile.
 */
import { createAnchor } from '@mesh/ca/authority';
import { type Clock, sleep } from '@mesh/clock/clock';
import { seededRandom } from '@mesh/clock/seeded';
import type { RunEnvironment } from '../endurance-program.ts';
import { ChurnClients } from './churn-clients.ts';
import { ChurnStage } from './churn-stage.ts';
import type { ClientsOrder, ClientsReport } from './clients-main.ts';
import { sample, type Sample } from './samples.ts';

export interface ChurnOptions {
  readonly minutes: number;
  /** Actions of clients per second. */
  readonly rate: number;
  readonly seed: number;
}

/** What was seen of one program. */
export interface Track {
  readonly name: string;
  /** Before the first client. */
  readonly before: Sample;
  /** While everything came and went. */
  readonly samples: readonly Sample[];
  /** When the clients had gone and nothing was served any more. */
  readonly after: Sample;
}

export interface Churned {
  readonly tracks: readonly Track[];
  readonly clients: ClientsReport;
  /** How often the process of the clients was killed. */
  readonly kills: number;
}

/**
 * Warming up, of which nothing is measured: metrics of what is gone are shown for ten minutes, and go within the next two, so that
 * after a quarter of an hour as many go as come. Half of shorter runs.
 */
export const warmUpMinutes = ({ minutes }: ChurnOptions): number => Math.min(15, minutes / 2);

/**
 * The engine compiles a function once it ran so often: what runs rarely is compiled for hours, each time later by as much as it took
 * before. So in the first part of the warm-up clients do more than afterwards; the rest of it is for what that leaves behind.
 */
export const hurry = { times: 10, share: 2 / 3 };

/** Actions per second, `sinceMs` after the first. */
export function rateAt(options: ChurnOptions, sinceMs: number): number {
  const hurried = sinceMs < warmUpMinutes(options) * hurry.share * 60_000;
  return hurried ? options.rate * hurry.times : options.rate;
}

const stepMs = 1000;
/** Steps from one sample, kill, policy and trust anchor to the next. */
const sampleSteps = 3;
const killSteps = 120;
const policySteps = 10;
const anchorSteps = 150;
const sayEveryMs = 60_000;
/** The process of the clients takes a moment to load, on a busy machine many. */
const beginWithinMs = 30_000;
const beginLookMs = 100;
/** For what a start leaves behind. */
const settleMs = 3000;
/** Connections without use are closed by then, and those between proxies, which end with their certificates. */
const quietWithinMs = 150_000;

export async function churn(options: ChurnOptions, environment: RunEnvironment): Promise<Churned> {
  const { clock, directory } = environment;
  const stage = await ChurnStage.open(environment, {
    random: seededRandom(options.seed),
    brief: options.minutes < 1,
  });
  try {
    await sleep(clock, settleMs);
    const before = await sampleAll(stage, clock);
    const clients = new ChurnClients(stage.client, directory);
    const samples = await comeAndGo(options, environment, stage, clients);
    clients.kill();
    stage.change({ services: [] });
    const after = await whenQuiet(stage, clock, before);
    return {
      tracks: stage.watched.map(({ name }, index) => ({
        name,
        before: at(before, index),
        samples: samples.map((all) => at(all, index)),
        after: at(after, index),
      })),
      clients: clients.report(),
      kills: clients.kills,
    };
  } finally {
    await stage.close();
  }
}

function at(samples: readonly Sample[], index: number): Sample {
  const found = samples[index];
  if (found === undefined) throw new Error(`program ${index} was not sampled`);
  return found;
}

function sampleAll({ watched }: ChurnStage, clock: Clock): Promise<Sample[]> {
  const now = clock.now();
  return Promise.all(watched.map((one) => sample(one, now)));
}

async function comeAndGo(
  options: ChurnOptions,
  { clock, say }: RunEnvironment,
  stage: ChurnStage,
  clients: ChurnClients,
): Promise<Sample[][]> {
  const { services, anchorsPem } = stage;
  const order = (sinceMs: number): ClientsOrder => ({
    seed: options.seed + clients.kills,
    rate: rateAt(options, sinceMs),
    targets: services.targets,
  });
  const samples: Sample[][] = [];
  clients.start(order(0));
  await untilBegun(clients, clock);
  const start = clock.now();
  let said = start;
  // A step that is late is not made up for: two at once would be a service that goes before its clients know.
  for (let step = 1; clock.now() - start < options.minutes * 60_000; step++) {
    await sleep(clock, stepMs);
    services.step();
    stage.serve();
    if (step % policySteps === 0) stage.change({ policyRevision: 1 + ((step / policySteps) % 2) });
    if (step % anchorSteps === 0) {
      stage.change({ anchorsPem: anchorsPem + createAnchor({ clock }).certificatePem });
    }
    if (step % killSteps === 0) {
      clients.kill();
      clients.start(order(clock.now() - start));
    } else {
      clients.tell(order(clock.now() - start));
    }
    if (step % sampleSteps === 0) samples.push(await sampleAll(stage, clock));
    if (clock.now() - said >= sayEveryMs) {
      said = clock.now();
      say(progress(stage, samples.at(-1) ?? [], (said - start) / 60_000, clients.report()));
    }
  }
  return samples;
}

async function untilBegun(clients: ChurnClients, clock: Clock): Promise<void> {
  const deadline = clock.now() + beginWithinMs;
  while (clients.report().done === 0 && clock.now() < deadline) await sleep(clock, beginLookMs);
}

function progress(
  { watched }: ChurnStage,
  samples: readonly Sample[],
  minutes: number,
  clients: ClientsReport,
): string {
  const each = samples.map(
    ({ privateBytes, heapBytes, descriptors, series }, index) =>
      `${watched[index]?.name} ${(privateBytes / 2 ** 20).toFixed(1)} MB, heap ${(heapBytes / 2 ** 20).toFixed(1)}, ${descriptors} fds, ${series} series`,
  );
  const failed = Object.entries(clients.failed).map(([what, count]) => `${count} × ${what}`);
  return [`${minutes.toFixed(0)} min: ${each.join('; ')}; ${clients.done} done`, ...failed].join('; ');
}

/** The first samples without connections of clients, requests and descriptors beyond those of `before`; at last, whatever is there. */
async function whenQuiet(stage: ChurnStage, clock: Clock, before: readonly Sample[]): Promise<Sample[]> {
  const deadline = clock.now() + quietWithinMs;
  for (;;) {
    const now = await sampleAll(stage, clock);
    if (now.every((one, index) => isBack(one, at(before, index))) || clock.now() > deadline) return now;
    await sleep(clock, 1000);
  }
}

/** Whether nothing of what came is held any more. */
export function isBack(now: Sample, before: Sample): boolean {
  return now.inFlight === 0 && now.connections <= before.connections && now.descriptors <= before.descriptors;
}
