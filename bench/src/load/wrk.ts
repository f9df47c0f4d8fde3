/** Load by wrk: a closed loop, each connection sends its next request when the last one is answered. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Pod } from '../pod.ts';
import type { LoadResult } from './load-result.ts';

/** wrk prints percentiles for people; its script interface gives them for programs, in µs. */
const script = `done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('\\nBENCH {"requests":%d,"micros":%d,"bytes":%d,"failed":%d,"p50":%d,"p99":%d,"p999":%d}\\n',
    summary.requests, summary.duration, summary.bytes,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
`;

interface WrkReport {
  readonly requests: number;
  readonly micros: number;
  readonly bytes: number;
  readonly failed: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

export interface WrkLoad {
  readonly connections: number;
  readonly seconds: number;
  readonly url: string;
  /** Directory for the script. */
  readonly directory: string;
}

export async function wrk(pod: Pod, { connections, seconds, url, directory }: WrkLoad): Promise<LoadResult> {
  const file = join(directory, 'wrk.lua');
  writeFileSync(file, script);
  const output = await pod.run([
    'wrk',
    '--threads=1',
    `--connections=${connections}`,
    `--duration=${seconds}s`,
    '--timeout=10s',
    `--script=${file}`,
    url,
  ]);
  const line = /^BENCH (.+)$/m.exec(output)?.[1];
  if (line === undefined) throw new Error(`wrk said nothing that can be read: ${output.slice(0, 500)}`);
  const { requests, micros, bytes, failed, p50, p99, p999 } = JSON.parse(line) as WrkReport;
  return {
    operations: requests,
    failed,
    seconds: micros / 1e6,
    bytes,
    latencyMs: { p50: p50 / 1000, p99: p99 / 1000, p999: p999 / 1000 },
  };
}
