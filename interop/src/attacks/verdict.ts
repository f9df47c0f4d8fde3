/** What must hold beside an attack, and whether it did. */
import { median } from '@mesh/bench/median';
import type { AttackReport, VictimReport } from './messages.ts';

/** What the victim saw for some seconds. */
export interface Window extends VictimReport {
  /** What the attacked proxy used of one core meanwhile. */
  readonly cpuShare: number;
}

/** One attack and what it did to the victim and to the proxy. */
export interface Row {
  readonly id: string;
  readonly what: string;
  /** Without and with the attack, in turn. */
  readonly baseline: readonly Window[];
  readonly attacked: readonly Window[];
  readonly attacks: readonly AttackReport[];
  /** Limits that were hit and refusals that were counted, and how often, from the proxy's metrics. */
  readonly counted: Readonly<Record<string, number>>;
  /** Private bytes of the proxy. */
  readonly memory: { readonly before: number; readonly peak: number; readonly after: number };
  /** What `peak` may be beyond `before`. */
  readonly memoryBound: number;
  /** ISO 8601, and the commit of the sources. */
  readonly date: string;
  readonly commit: string;
}

/**
 * Milliseconds that a p99 may be above the baseline even where that is more than twice. The victim's requests take less than a
 * millisecond; the slice that Linux gives a process that is running already is longer, and there are two cores for five processes.
 */
export const floorMs = 1;

export const p99 = (windows: readonly Window[]): number =>
  median(windows.map(({ latencyMs }) => latencyMs.p99));
export const p50 = (windows: readonly Window[]): number =>
  median(windows.map(({ latencyMs }) => latencyMs.p50));

/** What p99 of the attacked windows may be, ms. */
export function allowedMs(row: Pick<Row, 'baseline'>): number {
  const base = p99(row.baseline);
  return Math.max(2 * base, base + floorMs);
}

/** Why the row failed; none when it passed. */
export function faults(row: Row): string[] {
  const found = row.attacks.flatMap(({ failures }) => failures);
  const failed = row.attacked.reduce((sum, window) => sum + window.failed, 0);
  if (failed > 0) found.push(`${failed} requests of the victim failed`);
  if (row.attacked.some(({ served }) => served === 0)) found.push('the victim was not served');
  const [is, may] = [p99(row.attacked), allowedMs(row)];
  if (!(is <= may)) found.push(`p99 ${is.toFixed(2)} ms, allowed ${may.toFixed(2)} ms`);
  const grown = row.memory.peak - row.memory.before;
  if (grown > row.memoryBound) {
    found.push(`${megabytes(grown)} MB more, allowed ${megabytes(row.memoryBound)} MB`);
  }
  return found;
}

export function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
