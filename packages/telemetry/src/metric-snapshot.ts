/**
 * The metrics of one process as plain values, to be sent to another process and merged there: counters and histograms
 * add up, gauges by their family's rule.
 */
import { type Counter, type Gauge, type GaugeMerge, Histogram, type MetricRegistry } from './metrics.ts';

interface HistogramValue {
  readonly sum: number;
  /** As in `Histogram`. */
  readonly counts: Float64Array;
}

export interface FamilySnapshot {
  readonly name: string;
  readonly help: string;
  readonly kind: 'counter' | 'gauge' | 'histogram';
  /** Of gauges. */
  readonly merge: GaugeMerge;
  readonly forgetful: boolean;
  /** Of histograms. */
  readonly bounds: readonly number[];
  /** Rendered labels and value of each series. */
  readonly series: readonly (readonly [labels: string, value: number | HistogramValue])[];
}

export type MetricSnapshot = readonly FamilySnapshot[];

/** Collects first, as a rendering does. Counts of histograms are the live arrays: send or merge before counting on. */
export function takeSnapshot(registry: MetricRegistry): MetricSnapshot {
  registry.collect();
  return Array.from(registry.families(), (family) => {
    const { name, help, kind, merge, forgetful } = family;
    let bounds: readonly number[] = [];
    const series = Array.from(family.series(), ([labels, cell]) => {
      if (!(cell instanceof Histogram)) return [labels, cell.value] as const;
      bounds = cell.bounds;
      return [labels, { sum: cell.sum, counts: cell.counts }] as const;
    });
    return { name, help, kind, merge, forgetful, bounds, series };
  });
}

/** Adds what another process counted to `registry`, which learns its families and series where it lacks them. */
export function mergeSnapshot(registry: MetricRegistry, snapshot: MetricSnapshot): void {
  for (const { name, help, kind, merge, forgetful, bounds, series } of snapshot) {
    if (kind === 'histogram' && series.length === 0) continue;
    const family = registry.family(name, () => {
      if (kind === 'counter') return registry.counter(name, help, { forgetful });
      if (kind === 'gauge') return registry.gauge(name, help, { merge, forgetful });
      return registry.histogram(name, help, bounds, { forgetful });
    });
    for (const [labels, value] of series) {
      const known = family.has(labels);
      mergeCell(family.rendered(labels), value, known && merge === 'max');
    }
  }
}

function mergeCell(
  cell: Counter | Gauge | Histogram,
  value: number | HistogramValue,
  greatest: boolean,
): void {
  if (cell instanceof Histogram) {
    if (typeof value === 'number' || value.counts.length !== cell.counts.length) return;
    cell.sum += value.sum;
    for (let index = 0; index < cell.counts.length; index++) {
      cell.counts[index] = (cell.counts[index] ?? 0) + (value.counts[index] ?? 0);
    }
    return;
  }
  if (typeof value !== 'number') return;
  cell.value = greatest ? Math.max(cell.value, value) : cell.value + value;
}
