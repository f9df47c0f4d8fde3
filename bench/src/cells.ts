/** What is measured: each cell is one kind of traffic through one kind of stage. */
import type { Hop, Mode } from './contestants/contestant.ts';
import type { LoadResult } from './load/load-result.ts';
import { wrk } from './load/wrk.ts';
import type { Playing } from './stage-set.ts';

export interface CellLoad {
  readonly connections: number;
  readonly seconds: number;
}

export interface Cell {
  /** Of `--cells`, and in JSON. */
  readonly name: string;
  readonly title: string;
  readonly mode: Mode;
  readonly connections: readonly number[];
  load(playing: Playing, load: CellLoad): Promise<LoadResult>;
}

function http1(playing: Playing, { connections, seconds }: CellLoad): Promise<LoadResult> {
  const { stage, url } = playing;
  return wrk(stage.client, { connections, seconds, url: `${url}/`, directory: stage.directory });
}

export const cells: readonly Cell[] = [
  {
    name: 'plain',
    title: 'HTTP/1 through one proxy, no TLS',
    mode: 'plain',
    connections: [1, 32, 256],
    load: http1,
  },
  {
    name: 'mtls',
    title: 'mTLS pair: HTTP/1 in, HTTP/2 between, HTTP/1 out',
    mode: 'mtls',
    connections: [1, 32, 256],
    load: http1,
  },
];

export type HopName = Hop['name'];
