import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deserialize, serialize } from 'node:v8';
import { type MetricSnapshot, mergeSnapshot, takeSnapshot } from './metric-snapshot.ts';
import { MetricRegistry } from './metrics.ts';

function worker(requests: number, latencies: readonly number[], age: number): MetricSnapshot {
  const registry = new MetricRegistry();
  registry.counter('request_total', 'Requests.').with({ peer: 'e"ast' }).add(requests);
  registry.gauge('open', 'Open.').with().set(requests);
  registry.gauge('age', 'Age.', { merge: 'max' }).with().set(age);
  const latency = registry.histogram('latency', 'Latency.', [1, 10]);
  for (const value of latencies) latency.with({ peer: 'east' }).observe(value);
  const rss = registry.gauge('rss', 'Collected.');
  registry.onCollect(() => rss.with().set(7));
  // As it travels between processes.
  return deserialize(serialize(takeSnapshot(registry))) as MetricSnapshot;
}

test('counters and histograms of processes add up, gauges by their rule', () => {
  const merged = new MetricRegistry();
  merged.counter('request_total', 'Requests.').with({ peer: 'e"ast' }).add(100);
  mergeSnapshot(merged, worker(1, [0.5, 5], -3));
  mergeSnapshot(merged, worker(2, [50], -1));
  assert.equal(
    merged.render(),
    `# HELP request_total Requests.
# TYPE request_total counter
request_total{peer="e\\"ast"} 103
# HELP open Open.
# TYPE open gauge
open 3
# HELP age Age.
# TYPE age gauge
age -1
# HELP latency Latency.
# TYPE latency histogram
latency_bucket{peer="east",le="1"} 1
latency_bucket{peer="east",le="10"} 2
latency_bucket{peer="east",le="+Inf"} 3
latency_sum{peer="east"} 55.5
latency_count{peer="east"} 3
# HELP rss Collected.
# TYPE rss gauge
rss 14
`,
  );
});

test('series beyond the bound of a family are merged as its overflow', () => {
  const registry = new MetricRegistry();
  const family = registry.counter('paths_total', 'Paths.', { maxSeries: 1 });
  family.with({ path: '/a' }).add(1);
  family.with({ path: '/b' }).add(2);
  const merged = new MetricRegistry();
  mergeSnapshot(merged, takeSnapshot(registry));
  mergeSnapshot(merged, takeSnapshot(registry));
  assert.match(merged.render(), /^paths_total\{path="\/a"\} 2\npaths_total\{overflow="true"\} 4$/m);
});
