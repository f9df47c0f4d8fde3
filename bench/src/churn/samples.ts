/** What a proxy holds at a moment: memory and descriptors from /proc, the rest from its own metrics page. */
import { readdirSync } from 'node:fs';
import { get } from 'node:http';
import { proxyPorts } from '../contestants/contestant.ts';
import { memoryOf } from '../measure.ts';
import { type MemoryParts, memoryParts, type MemoryUse, processTree, sumOf } from '../process-usage.ts';

/** A program under churn, all its processes together. */
export interface Watched {
  readonly name: string;
  readonly pid: number;
  /** Of its pod. */
  readonly address: string;
}

export interface Sample extends MemoryUse, MemoryParts {
  readonly atMs: number;
  /** JavaScript objects, garbage among them. */
  readonly heapBytes: number;
  /** Buffers. */
  readonly externalBytes: number;
  readonly descriptors: number;
  /** Lines of the metrics page. */
  readonly series: number;
  readonly connections: number;
  /** Requests and opaque connections. */
  readonly inFlight: number;
}

/** @throws Error when the process has ended */
export async function sample({ pid, address }: Watched, atMs: number): Promise<Sample> {
  const pids = processTree(pid);
  const page = await metricsPage(address);
  const parts = pids.map(memoryParts);
  return {
    atMs,
    ...memoryOf(pids),
    codeBytes: parts.reduce((sum, { codeBytes }) => sum + codeBytes, 0),
    mallocBytes: parts.reduce((sum, { mallocBytes }) => sum + mallocBytes, 0),
    descriptors: sumOf(pids, (one) => readdirSync(`/proc/${one}/fd`).length),
    heapBytes: total(page, 'nodejs_heap_size_used_bytes'),
    externalBytes: total(page, 'nodejs_external_memory_bytes'),
    series: page.split('\n').filter((line) => /^[a-z]/.test(line)).length,
    connections: total(page, 'tcp_open_connections'),
    inFlight: total(page, 'mesh_balancer_in_flight'),
  };
}

/** Of a metric, over all labels. */
function total(page: string, metric: string): number {
  let sum = 0;
  for (const [, value] of page.matchAll(new RegExp(`^${metric}(?:\\{.*\\})? (\\S+)$`, 'gm')))
    sum += Number(value);
  return sum;
}

/** On a connection of its own, which is gone when this resolves. */
function metricsPage(host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get({ host, port: proxyPorts.admin, path: '/metrics', agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('error', reject);
      request.on('close', () => resolve(text));
    });
    request.on('error', reject);
  });
}
