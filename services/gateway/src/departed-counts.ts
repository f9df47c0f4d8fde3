/**
 * What workers counted and show no longer: those that are gone, and those that forgot a series of a client that is. Others may count in
 * the same series, and the page adds them up: without this it would go backwards, which reads as a restart.
 */
import { type MetricSnapshot, mergeSnapshot } from '@mesh/telemetry/metric-snapshot';
import { idleSeriesMs, MetricRegistry } from '@mesh/telemetry/metrics';

export class DepartedCounts {
  readonly registry: MetricRegistry = new MetricRegistry();
  /** When a worker was last seen to count in a series, monotonic milliseconds. */
  readonly #seenAt: Map<string, number> = new Map();

  /** Of a worker that is gone. Gauges are of the present: only what it counted outlives it. */
  keep(metrics: MetricSnapshot): void {
    mergeSnapshot(
      this.registry,
      metrics.filter(({ kind }) => kind !== 'gauge'),
    );
  }

  /** Of a worker that showed `before` and shows `now`. */
  keepVanished(before: MetricSnapshot, now: MetricSnapshot): void {
    const shown = keysOf([now]);
    this.keep(
      before.map((family) => ({
        ...family,
        series: family.series.filter(([labels]) => !shown.has(`${family.name} ${labels}`)),
      })),
    );
  }

  /** Lets go of what `current`, all workers that are there, have not counted in for a while; call it now and then. */
  forget(current: readonly MetricSnapshot[], nowMs: number): void {
    const shown = keysOf(current);
    for (const family of this.registry.families()) {
      if (!family.forgetful) continue;
      for (const [labels] of family.series()) {
        const key = `${family.name} ${labels}`;
        const seenAt = this.#seenAt.get(key);
        if (seenAt === undefined || shown.has(key)) this.#seenAt.set(key, nowMs);
        else if (nowMs - seenAt >= idleSeriesMs) {
          family.drop(labels);
          this.#seenAt.delete(key);
        }
      }
    }
  }
}

function keysOf(snapshots: readonly MetricSnapshot[]): Set<string> {
  const keys = new Set<string>();
  for (const { name, series } of snapshots.flat())
    for (const [labels] of series) keys.add(`${name} ${labels}`);
  return keys;
}
