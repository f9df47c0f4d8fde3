/** What the demo does, phase by phase, and what each must show. */
import { type Clock, sleep } from '@mesh/clock/clock';
import type { Fleet } from './fleet.ts';
import { firstGoodAfter, isGood, type Sample, type Span, summarize } from './samples.ts';

export interface PhaseResult {
  name: string;
  /** What was done, as a person would say it. */
  what: string;
  span: Span;
  /** Milliseconds from the fault to the end of the first good answer; undefined when the phase has no fault. */
  firstGoodMs?: number;
  /** What was expected and not seen; empty when the phase is as it should be. */
  faults: string[];
}

export interface Stage {
  fleet: Fleet;
  clock: Clock;
  /** Everything the load has seen so far, in the order it finished. */
  samples: readonly Sample[];
  say: (line: string) => void;
}

type Phase = (stage: Stage) => Promise<PhaseResult>;

/** Local endpoints that come back are held off for 5 s, then take their share over 10 s. */
const settleMs = 30_000;
const measureMs = 4000;
/** Failed requests that a fault may cost at 100 requests a second. */
const faultBudget = 10;
const firstGoodBudgetMs = 2000;

const cart = { namespace: 'shop', name: 'cart', container: 'cart' };
const gateway = { namespace: 'mesh-multicluster', name: 'mesh-gateway', container: 'gateway' };

/** Samples that were due in [fromMs, toMs). */
function between({ samples }: Stage, fromMs: number, toMs: number): Sample[] {
  return samples.filter(({ dueMs }) => dueMs >= fromMs && dueMs < toMs);
}

/** Waits until `seen` holds for what was due since `sinceMs`; false when it does not in time. */
async function until(stage: Stage, sinceMs: number, seen: (samples: Sample[]) => boolean): Promise<boolean> {
  const deadline = stage.clock.now() + settleMs;
  while (stage.clock.now() < deadline) {
    if (seen(between(stage, sinceMs, Number.POSITIVE_INFINITY))) return true;
    await sleep(stage.clock, 100);
  }
  return false;
}

/** Measures steady traffic for a while. */
async function measure(stage: Stage): Promise<Span> {
  const from = stage.clock.wall();
  await sleep(stage.clock, measureMs);
  const to = stage.clock.wall();
  // The slowest request and the load's reporting interval.
  await sleep(stage.clock, 500);
  return summarize(between(stage, from, to));
}

/** The last second of answers came from exactly these clusters. */
const onlyFrom = (names: readonly string[]) => (samples: Sample[]) => {
  const last = samples.slice(-60);
  return last.length >= 60 && last.every((sample) => isGood(sample) && names.includes(sample.cluster));
};

function expectClusters(span: Span, wanted: readonly string[], faults: string[]): void {
  const answered = span.clusters.map(([cluster]) => cluster).sort();
  if (answered.join() !== [...wanted].sort().join())
    faults.push(`expected answers of ${wanted.join(', ')}, got ${answered.join(', ') || 'none'}`);
}

function expectClean(span: Span, faults: string[]): void {
  if (span.failed > 0) faults.push(`${span.failed} requests failed, expected none`);
  if (span.requests < measureMs / 20)
    faults.push(`only ${span.requests} requests in ${measureMs / 1000} s; the load did not run`);
}

const localOnly: Phase = async (stage) => {
  const faults: string[] = [];
  const span = await measure(stage);
  expectClean(span, faults);
  expectClusters(span, ['east'], faults);
  return { name: 'local only', what: 'nothing is exported yet', span, faults };
};

const exported: Phase = async (stage) => {
  const { fleet, say } = stage;
  const faults: string[] = [];
  for (const cluster of ['east', 'west', 'north']) {
    say(
      `$ kubectl --context ${cluster} -n shop label svc cart mirror.mesh.io/exported=true mirror.mesh.io/federated=member`,
    );
    await fleet.markCart(cluster, 'labels', {
      'mirror.mesh.io/exported': 'true',
      'mirror.mesh.io/federated': 'member',
    });
  }
  const span = await measure(stage);
  expectClean(span, faults);
  expectClusters(span, ['east'], faults);
  return {
    name: 'exported',
    what: 'cart is exported and federated; local-first keeps it at home',
    span,
    faults,
  };
};

const balanced: Phase = async (stage) => {
  const { fleet, say, clock } = stage;
  const faults: string[] = [];
  say('$ kubectl --context east -n shop annotate svc cart mirror.mesh.io/mode=balanced');
  const from = clock.wall();
  await fleet.markCart('east', 'annotations', { 'mirror.mesh.io/mode': 'balanced' });
  const all = await until(
    stage,
    from,
    (samples) => new Set(samples.filter(isGood).map(({ cluster }) => cluster)).size === 3,
  );
  if (!all) faults.push('not all three clusters answered');
  const span = await measure(stage);
  expectClean(span, faults);
  expectClusters(span, ['east', 'west', 'north'], faults);
  return { name: 'balanced', what: 'one Peak-EWMA pool over three clusters', span, faults };
};

const localFirst: Phase = async (stage) => {
  const { fleet, say, clock } = stage;
  const faults: string[] = [];
  say('$ kubectl --context east -n shop annotate svc cart mirror.mesh.io/mode-');
  const from = clock.wall();
  await fleet.markCart('east', 'annotations', { 'mirror.mesh.io/mode': null });
  if (!(await until(stage, from, onlyFrom(['east'])))) faults.push('traffic did not come home');
  const span = await measure(stage);
  expectClean(span, faults);
  expectClusters(span, ['east'], faults);
  return {
    name: 'local-first',
    what: 'back to the default: local endpoints while there are any',
    span,
    faults,
  };
};

const cartKilled: Phase = async (stage) => {
  const { fleet, say } = stage;
  say('! kill -9 of the cart in east, and it stays dead');
  const at = await fleet.kill('east', cart);
  return await afterFault(stage, {
    name: 'local cart killed',
    what: 'traffic moves to the peers',
    at,
    allowed: ['west', 'north'],
  });
};

const gatewayKilled: Phase = async (stage) => {
  const { fleet, say, clock } = stage;
  const recent = summarize(between(stage, clock.wall() - 2000, clock.wall()));
  const victim = recent.clusters[0]?.[0] ?? 'west';
  const other = victim === 'west' ? 'north' : 'west';
  say(`! kill -9 of the gateway of ${victim}, which answers most, and it stays dead`);
  const at = await fleet.kill(victim, gateway);
  return await afterFault(stage, {
    name: `gateway of ${victim} killed`,
    what: `traffic moves to ${other}`,
    at,
    allowed: [other],
  });
};

interface Fault {
  name: string;
  what: string;
  at: number;
  /** Who may answer once traffic has moved. */
  allowed: readonly string[];
}

async function afterFault(stage: Stage, { name, what, at, allowed }: Fault): Promise<PhaseResult> {
  const faults: string[] = [];
  if (!(await until(stage, at + 500, onlyFrom(allowed))))
    faults.push(`traffic did not move to ${allowed.join(' or ')}`);
  await sleep(stage.clock, measureMs);
  const span = summarize(between(stage, at, stage.clock.wall() - 500));
  const firstGoodMs = firstGoodAfter(stage.samples, at, ({ cluster }) => allowed.includes(cluster));
  if (span.failed > faultBudget)
    faults.push(`${span.failed} requests failed, expected at most ${faultBudget}`);
  if (firstGoodMs === undefined || firstGoodMs > firstGoodBudgetMs) {
    faults.push(
      `first good answer after ${firstGoodMs === undefined ? 'never' : `${Math.round(firstGoodMs)} ms`}, expected within ${firstGoodBudgetMs} ms`,
    );
  }
  return { name, what, span, faults, ...(firstGoodMs === undefined ? {} : { firstGoodMs }) };
}

const allBack: Phase = async (stage) => {
  const { fleet, say, clock } = stage;
  const faults: string[] = [];
  say('! everything is started again');
  const from = clock.wall();
  await fleet.scale('east', cart, 1);
  for (const cluster of ['west', 'north']) await fleet.scale(cluster, gateway, 1);
  if (!(await until(stage, from, onlyFrom(['east'])))) faults.push('traffic did not come home');
  const span = await measure(stage);
  expectClean(span, faults);
  expectClusters(span, ['east'], faults);
  return { name: 'all back', what: 'traffic comes home by itself', span, faults };
};

export const phases: readonly Phase[] = [
  localOnly,
  exported,
  balanced,
  localFirst,
  cartKilled,
  gatewayKilled,
  allBack,
];
