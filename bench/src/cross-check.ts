/**
 * Holds our own driver against wrk and h2load, with a load of the same shape that is counted in the same way: what they see must
 * be the same.
 */
import { drive } from './load/driver.ts';
import { h2load } from './load/h2load.ts';
import type { Latency, LoadResult } from './load/load-result.ts';
import { wrk } from './load/wrk.ts';
import { median } from './median.ts';
import type { Playing } from './stage-set.ts';

export interface CrossCheck {
  readonly load: string;
  readonly contestant: string;
  readonly theirTool: string;
  readonly theirs: Seen;
  readonly ours: Seen;
}

/** Medians of the repeats. */
export interface Seen {
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
}

const connections = 32;
/** In turns, since one run of 2 s on a busy machine says little. */
const repeats = 3;

/** How far apart two may be that see the same, by the larger one. Of p99 a few pauses of the machine decide in 2 s: a factor of three. */
const tolerance: Seen = { rate: 0.1, p50: 0.25, p99: 2 / 3 };

/** @param stages of the plain scene */
export async function crossCheck(stages: readonly Playing[], seconds: number): Promise<CrossCheck[]> {
  const checks: CrossCheck[] = [];
  for (const { contestant, stage, target } of stages) {
    const { directory, client } = stage;
    const url = `http://${target.host}:${target.port}/`;
    const order = { ...target, protocol: 'http1', path: '/', connections, seconds } as const;
    const { title } = contestant;
    const closed = await inTurns(
      () => wrk(client, { connections, seconds, url, directory }),
      () => drive(client, 'open-loop', { ...order, rate: 0 }),
    );
    checks.push({ load: 'closed loop, all that it can', contestant: title, theirTool: 'wrk', ...closed });
    // A round number for each connection: h2load's rates are per connection.
    const rate = connections * Math.max(1, Math.floor(closed.theirs.rate / 4 / connections));
    const bursts = await inTurns(
      () => h2load(client, { connections, streams: 1, seconds, url, directory, rate, http1: true }),
      () => drive(client, 'open-loop', { ...order, rate, asH2load: true }),
    );
    const load = `${rate} requests/s, those of 10 ms together`;
    checks.push({ load, contestant: title, theirTool: 'h2load --h1 --rps', ...bursts });
  }
  return checks;
}

type Load = () => Promise<LoadResult>;

async function inTurns(theirs: Load, ours: Load): Promise<Pick<CrossCheck, 'theirs' | 'ours'>> {
  const seen: { theirs: LoadResult[]; ours: LoadResult[] } = { theirs: [], ours: [] };
  for (let repeat = 0; repeat < repeats; repeat++) {
    seen.theirs.push(await theirs());
    seen.ours.push(await ours());
  }
  return { theirs: medians(seen.theirs), ours: medians(seen.ours) };
}

function medians(results: readonly LoadResult[]): Seen {
  const latency = (name: keyof Latency): number =>
    median(results.map(({ latencyMs }) => latencyMs?.[name] ?? Number.NaN));
  return {
    rate: median(results.map(({ operations, seconds }) => operations / seconds)),
    p50: latency('p50'),
    p99: latency('p99'),
  };
}

/** What they do not agree on; empty when they see the same. */
export function differences({ theirs, ours }: Pick<CrossCheck, 'theirs' | 'ours'>): string[] {
  return (['rate', 'p50', 'p99'] as const).filter((name) => {
    const [one, other] = [theirs[name], ours[name]];
    return !(Math.abs(one - other) <= tolerance[name] * Math.max(one, other));
  });
}

export function crossCheckTable(checks: readonly CrossCheck[]): string {
  const percent = (share: number): string => `${(share * 100).toFixed(0)} %`;
  const figures = ({ rate, p50, p99 }: Seen): string =>
    `${Math.round(rate)} | ${p50.toFixed(2)} / ${p99.toFixed(2)}`;
  const verdict = (check: CrossCheck): string => {
    const apart = differences(check);
    return apart.length === 0 ? 'the same' : `**differ in ${apart.join(', ')}**`;
  };
  return [
    `Medians of ${repeats} runs in turn. The same load, counted in the same way: as wrk does it, latencies of a closed loop are corrected by its mean`,
    'interval; as h2load does it, all connections send each 10 ms what is due, in one burst, and latencies count from when a request was sent, not from',
    'when it was due. The cells above spread requests evenly and count from when they were due, so their figures are others. The same is: rates',
    `within ${percent(tolerance.rate)}, p50 within ${percent(tolerance.p50)}, p99 within ${percent(tolerance.p99)}.`,
    '',
    '| load | through | tool | its requests/s | its p50 / p99 ms | our driver: requests/s | p50 / p99 ms | |',
    '|---|---|---|---|---|---|---|---|',
    ...checks.map(
      (check) =>
        `| ${check.load} | ${check.contestant} | \`${check.theirTool}\` | ${figures(check.theirs)} | ${figures(check.ours)} | ${verdict(check)} |`,
    ),
    '',
  ].join('\n');
}
