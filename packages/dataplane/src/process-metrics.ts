/** What every data-plane program says about itself: build, process, limits that were hit. */
import type { Clock } from '@mesh/clock/clock';
import type { WindowBudget } from '@mesh/http2/window-budget';
import type { MetricRegistry } from '@mesh/telemetry/metrics';

export interface ProcessFacts {
  readonly version: string;
  readonly cluster: string;
  readonly program: string;
}

export function processMetrics(
  registry: MetricRegistry,
  { clock, facts }: { clock: Clock; facts: ProcessFacts },
): void {
  const startedAt = clock.wall() / 1000;
  registry
    .gauge('proxy_build_info', 'Always 1; the labels say what runs.', { merge: 'max' })
    .with({ ...facts })
    .set(1);
  registry
    .gauge('process_start_time_seconds', 'Start, seconds since the epoch.', { merge: 'max' })
    .with()
    .set(startedAt);
  usageMetrics(registry);
}

/** Memory and processor time of this process; those of several processes add up. */
export function usageMetrics(registry: MetricRegistry): void {
  const memory = registry.gauge('process_resident_memory_bytes', 'Resident memory.');
  const heap = registry.gauge('nodejs_heap_size_used_bytes', 'Of the JavaScript heap, garbage included.');
  const external = registry.gauge(
    'nodejs_external_memory_bytes',
    'Outside of the JavaScript heap, held by its objects: buffers above all.',
  );
  const cpu = registry.counter('process_cpu_seconds_total', 'Processor time, user and system.');
  registry.onCollect(() => {
    const used = process.memoryUsage();
    memory.with().set(used.rss);
    heap.with().set(used.heapUsed);
    external.with().set(used.external);
    const { user, system } = process.cpuUsage();
    cpu.with().value = (user + system) / 1e6;
  });
}

/** `mesh_http2_window_bytes` and what bounds it. */
export function windowMetrics(registry: MetricRegistry, budget: WindowBudget): void {
  const granted = registry.gauge(
    'mesh_http2_window_bytes',
    'What HTTP/2 receive windows grew by: bytes that peers may send though nobody reads.',
  );
  const left = registry.gauge('mesh_http2_window_left_bytes', 'What they may still grow by.');
  const owed = registry.gauge(
    'mesh_http2_owed_bytes',
    'Received bytes that HTTP/2 peers may send others in place of, although no reader has taken them yet.',
  );
  registry.onCollect(() => {
    owed.with().set(budget.owed);
    granted.with().set(budget.used);
    left.with().set(budget.left);
  });
}
