/** Load by h2load: HTTP/2 streams, or HTTP/1 at a given rate. Latencies come from its log, a line for each request. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Pod } from '../pod.ts';
import { Latencies } from './latencies.ts';
import type { LoadResult } from './load-result.ts';

export interface H2loadLoad {
  readonly connections: number;
  /** Concurrent requests on each connection. */
  readonly streams: number;
  readonly seconds: number;
  readonly url: string;
  readonly directory: string;
  /** Of all connections together, per second; undefined: as fast as answers come. */
  readonly rate?: number;
  /** Speak HTTP/1.1. */
  readonly http1?: boolean;
  /** A gRPC message, sent by POST. */
  readonly grpcMessage?: Buffer;
}

/** Threads 1, no warm-up. A request counts when its status is 200; gRPC's own status is checked by our own driver alone. */
export async function h2load(pod: Pod, load: H2loadLoad): Promise<LoadResult> {
  const { connections, streams, seconds, url, directory, rate, http1, grpcMessage } = load;
  const log = join(directory, 'h2load.tsv');
  rmSync(log, { force: true });
  const body = join(directory, 'h2load-body');
  if (grpcMessage !== undefined) writeFileSync(body, grpcMessage);
  await pod.run([
    'h2load',
    '--threads=1',
    `--clients=${connections}`,
    `--max-concurrent-streams=${streams}`,
    `--duration=${seconds}`,
    `--log-file=${log}`,
    ...(rate === undefined ? [] : [`--rps=${(rate / connections).toFixed(3)}`]),
    ...(http1 === true ? ['--h1'] : []),
    ...(grpcMessage === undefined
      ? []
      : [`--data=${body}`, '--header=content-type: application/grpc', '--header=te: trailers']),
    url,
  ]);
  return summary(readFileSync(log, 'latin1'), seconds);
}

/** @param log tab-separated: start in µs since the epoch, status or -1, µs until the end of the response */
export function summary(log: string, seconds: number): LoadResult {
  const lines = log.split('\n').filter((line) => line !== '');
  const latencies = new Latencies(lines.length);
  let failed = 0;
  for (const line of lines) {
    const [, status, micros] = line.split('\t');
    if (status === '200') latencies.add(Number(micros) / 1000);
    else failed++;
  }
  return { operations: latencies.count, failed, seconds, bytes: 0, latencyMs: latencies.summary() };
}
