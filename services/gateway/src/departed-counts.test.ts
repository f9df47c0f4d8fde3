import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deserialize, serialize } from 'node:v8';
import { type MetricSnapshot, mergeSnapshot, takeSnapshot } from '@mesh/telemetry/metric-snapshot';
import { idleSeriesMs, MetricRegistry } from '@mesh/telemetry/metrics';
import { DepartedCounts } from './departed-counts.ts';

/** What a worker sends that counted so many requests of each client. */
function worker(counts: Readonly<Record<string, number>>): MetricSnapshot {
  const registry = new MetricRegistry();
  const requests = registry.counter('request_total', 'Requests.', { forgetful: true });
  const latency = registry.histogram('latency_ms', 'Latency.', [1], { forgetful: true });
  for (const [client, count] of Object.entries(counts)) {
    requests.with({ client }).add(count);
    latency.with({ client }).observe(count);
  }
  registry.counter('mesh_limit_hits_total', 'Hits.').with({ limit: 'a' }).add(1);
  registry.gauge('open', 'Open.').with().set(1);
  // As it travels between processes.
  return deserialize(serialize(takeSnapshot(registry))) as MetricSnapshot;
}

function page(departed: DepartedCounts, ...workers: readonly MetricSnapshot[]): string {
  const merged = new MetricRegistry();
  for (const each of [takeSnapshot(departed.registry), ...workers]) mergeSnapshot(merged, each);
  return merged.render();
}

test('a series that one worker forgets while another counts in it does not go backwards', () => {
  const departed = new DepartedCounts();
  const other = worker({ web: 50 });
  departed.keepVanished(worker({ web: 100, shop: 7 }), worker({ shop: 8 }));
  const shown = page(departed, worker({ shop: 8 }), other);
  assert.match(shown, /^request_total\{client="web"\} 150$/m);
  assert.match(shown, /^latency_ms_count\{client="web"\} 2$/m);
  assert.match(shown, /^request_total\{client="shop"\} 8$/m);
  assert.match(shown, /^mesh_limit_hits_total\{limit="a"\} 2$/m);
  assert.match(shown, /^open 2$/m);
});

test('what nobody counts in is let go of after a while, but not what is never forgotten', () => {
  const departed = new DepartedCounts();
  departed.keep(worker({ web: 1, shop: 1 }));
  const current = [worker({ web: 2 })];
  for (const nowMs of [0, idleSeriesMs - 1, idleSeriesMs]) departed.forget(current, nowMs);
  const later = page(departed, ...current);
  assert.match(later, /^request_total\{client="web"\} 3$/m);
  assert.doesNotMatch(later, /client="shop"/);
  departed.forget([], 2 * idleSeriesMs);
  assert.doesNotMatch(page(departed), /client=/);
  assert.match(page(departed), /^mesh_limit_hits_total\{limit="a"\} 1$/m);
});
