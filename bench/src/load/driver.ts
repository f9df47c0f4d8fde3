/** Runs one of our own load generators as a process of its own in a pod. */
import { join } from 'node:path';
import type { Pod } from '../pod.ts';
import type { LoadResult } from './load-result.ts';

/** What a driver program is told, as JSON in its argument. */
export interface DriverOrder {
  readonly host: string;
  readonly port: number;
  readonly connections: number;
  readonly seconds: number;
}

export interface OpenLoopOrder extends DriverOrder {
  readonly protocol: 'http1' | 'grpc';
  readonly path: string;
  /** Requests per second, whatever the answers do; 0: a closed loop, as wrk's. */
  readonly rate: number;
  /**
   * Whether 503 is an answer that is expected, and counted by itself. Connections are used in turn then: one that says nothing for
   * 10 s is opaque to a proxy, and counts against what may be in flight.
   */
  readonly shedding?: boolean;
  /** HTTP/1: each 10 ms all connections send what is due, and a latency counts from when its request was sent, as h2load's. */
  readonly asH2load?: boolean;
}

export interface DownloadOrder extends DriverOrder {
  /** Undefined: opaque TCP, as much as comes within the seconds. Else one GET of so many bytes on each connection. */
  readonly bodyBytes?: number;
}

type Orders = {
  readonly 'open-loop': OpenLoopOrder;
  readonly connections: DriverOrder;
  readonly download: DownloadOrder;
};

export async function drive<Name extends keyof Orders>(
  pod: Pod,
  name: Name,
  order: Orders[Name],
): Promise<LoadResult> {
  const program = join(import.meta.dirname, `${name}-main.ts`);
  return JSON.parse(await pod.run([process.execPath, program, JSON.stringify(order)])) as LoadResult;
}
