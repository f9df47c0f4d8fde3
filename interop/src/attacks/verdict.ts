/** What must hold beside an attack, and whether it did. */
import { median } from '@mesh/bench/median';
import type { AttackReport, VictimReport } from './messages.ts';

/** What the victim saw for some seconds. */
export interface Window extends VictimReport {
  /** What the attacked proxy used of one core meanwhile. */
  readonly cpuShare: number;
}

interface InNumbers {
  /** How many of what. */
  readonly what: string;
  readonly window: Window;
  /** Why it is less than the survey asks for. */
  readonly smaller?: string | undefined;
}

/** One attack and what it did to the victim and to the proxy. */
export interface Row {
  readonly id: string;
  readonly what: string;
  /** Without and with the attack, in turn. */
  readonly baseline: readonly Window[];
  readonly attacked: readonly Window[];
  readonly attacks: readonly AttackReport[];
  /** The same attack once more, in the survey's numbers; its report is the last of `attacks`. */
  readonly inNumbers?: InNumbers | undefined;
  /** Limits that were hit and refusals that were counted, and how often, from the proxy's metrics. */
  readonly counted: Readonly<Record<string, number>>;
  /** Private bytes of the proxy. */
  readonly memory: { readonly before: number; readonly peak: number; readonly after: number };
  /** What `peak` may be beyond `before`. */
  readonly memoryBound: number;
  /** What of a core the proxy may use beyond the baseline; undefined where nothing is said of it. */
  readonly cpuBound?: number | undefined;
  /** Open files and sockets of the proxy. */
  readonly descriptors: { readonly before: number; readonly after: number };
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

export const cpu = (windows: readonly Window[]): number => median(windows.map(({ cpuShare }) => cpuShare));

/** What p99 of the attacked windows may be, ms. */
export function allowedMs(row: Pick<Row, 'baseline'>): number {
  const base = p99(row.baseline);
  return Math.max(2 * base, base + floorMs);
}

/** Descriptors that may be more behind an attack: connections to applications are kept for who comes next. */
export const spareDescriptors = 64;

/** Above this share of what is allowed, a few windows on a machine that does other things too leave a row open. */
const closeShare = 0.7;

export function isClose(row: Pick<Row, 'baseline' | 'attacked'>): boolean {
  return p99(row.attacked) > closeShare * allowedMs(row);
}

/** Why the row failed; none when it passed. */
export function faults(row: Row): string[] {
  const found = row.attacks.flatMap(({ failures }) => failures);
  const windows = row.inNumbers === undefined ? row.attacked : [...row.attacked, row.inNumbers.window];
  const failed = windows.reduce((sum, window) => sum + window.failed, 0);
  if (failed > 0) found.push(`${failed} requests of the victim failed`);
  if (windows.some(({ served }) => served === 0)) found.push('the victim was not served');
  const may = allowedMs(row);
  const late = (is: number, where: string): void => {
    if (!(is <= may)) found.push(`p99 ${is.toFixed(2)} ms${where}, allowed ${may.toFixed(2)} ms`);
  };
  late(p99(row.attacked), '');
  if (row.inNumbers !== undefined) late(row.inNumbers.window.latencyMs.p99, ' in numbers');
  const grown = row.memory.peak - row.memory.before;
  if (grown > row.memoryBound) {
    found.push(`${megabytes(grown)} MB more, allowed ${megabytes(row.memoryBound)} MB`);
  }
  const more = cpu(row.attacked) - cpu(row.baseline);
  if (row.cpuBound !== undefined && more > row.cpuBound) {
    found.push(`${percent(more)} % of a core more, allowed ${percent(row.cpuBound)} %`);
  }
  const left = row.descriptors.after - row.descriptors.before;
  if (left > spareDescriptors) found.push(`${left} descriptors are left open`);
  return found;
}

/** Of a core. */
export function percent(share: number): string {
  return (100 * share).toFixed(0);
}

export function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
