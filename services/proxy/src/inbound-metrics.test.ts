import assert from 'node:assert/strict';
import { test } from 'node:test';
import { idleSeriesMs, MetricRegistry } from '@mesh/telemetry/metrics';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { retainedBytes } from '@mesh/testkit/retained-bytes';
import { InboundMetrics } from './inbound-metrics.ts';

/** Weak references made or followed in a job stay strong until its end. */
async function collect(): Promise<void> {
  await new Promise(setImmediate);
  retainedBytes();
  await new Promise(setImmediate);
}

test('of ports that somebody scanned nothing stays on the page', async () => {
  const clock = new FakeClock();
  const registry = new MetricRegistry();
  const timer = registry.forgetIdle(clock);
  const metrics = new InboundMetrics(registry);
  for (let port = 1; port <= 1000; port++) {
    metrics.tlsRefused('no-certificate', port);
    metrics.transportHeader('opaque', port);
    metrics.tcpDenied('unauthenticated', port, {}).add();
  }
  assert.equal(registry.render().match(/target_port=/g)?.length, 3000);
  for (let sweep = 0; sweep < 3; sweep++) {
    clock.advance(idleSeriesMs);
    await collect();
  }
  assert.doesNotMatch(registry.render(), /target_port=/);
  timer.cancel();
});
