/** Holds our own driver against wrk and h2load: where both can make the same load they must see the same. */
import { drive } from './load/driver.ts';
import { h2load } from './load/h2load.ts';
import type { LoadResult } from './load/load-result.ts';
import { wrk } from './load/wrk.ts';
import type { Playing } from './stage-set.ts';

export interface CrossCheck {
  readonly load: string;
  readonly contestant: string;
  readonly theirTool: string;
  readonly theirs: LoadResult;
  readonly ours: LoadResult;
}

const connections = 32;

/** @param stages of the plain scene */
export async function crossCheck(stages: readonly Playing[], seconds: number): Promise<CrossCheck[]> {
  const checks: CrossCheck[] = [];
  for (const { contestant, stage, target } of stages) {
    const { directory, client } = stage;
    const url = `http://${target.host}:${target.port}/`;
    const order = { ...target, protocol: 'http1', path: '/', connections, seconds } as const;
    const closed = await wrk(client, { connections, seconds, url, directory });
    checks.push({
      load: 'closed loop, all that it can',
      contestant: contestant.title,
      theirTool: 'wrk',
      theirs: closed,
      ours: await drive(client, 'open-loop', { ...order, rate: 0 }),
    });
    // A round number for each connection: h2load's rates are per connection.
    const rate = connections * Math.max(1, Math.floor(closed.operations / closed.seconds / 4 / connections));
    checks.push({
      load: `open loop, ${rate} requests/s`,
      contestant: contestant.title,
      theirTool: 'h2load --h1 --rps',
      theirs: await h2load(client, { connections, streams: 1, seconds, url, directory, rate, http1: true }),
      ours: await drive(client, 'open-loop', { ...order, rate }),
    });
  }
  return checks;
}

export function crossCheckTable(checks: readonly CrossCheck[]): string {
  const figures = ({ operations, seconds, latencyMs }: LoadResult): string =>
    `${Math.round(operations / seconds)} | ${latencyMs?.p50.toFixed(2) ?? '–'} / ${latencyMs?.p99.toFixed(2) ?? '–'}`;
  return [
    '| load | through | tool | its requests/s | its p50 / p99 ms | our driver: requests/s | p50 / p99 ms |',
    '|---|---|---|---|---|---|---|',
    ...checks.map(
      ({ load, contestant, theirTool, theirs, ours }) =>
        `| ${load} | ${contestant} | \`${theirTool}\` | ${figures(theirs)} | ${figures(ours)} |`,
    ),
    '',
  ].join('\n');
}
