import type { LimitLedger } from '@mesh/limits/limits';
import type { MetricRegistry } from './metrics.ts';

/** `mesh_limit_hits_total{limit}`: the sum over all ledgers, of which several may be of one table. */
export function limitMetrics(registry: MetricRegistry, ledgers: readonly LimitLedger<string>[]): void {
  const hits = registry.counter('mesh_limit_hits_total', 'How often a named limit was reached.');
  registry.onCollect(() => {
    const sums = new Map<string, number>();
    for (const ledger of ledgers) {
      for (const [limit, count] of ledger.entries()) sums.set(limit, (sums.get(limit) ?? 0) + count);
    }
    for (const [limit, sum] of sums) hits.with({ limit }).value = sum;
  });
}
