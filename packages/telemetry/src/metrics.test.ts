import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { retainedBytes } from '@mesh/testkit/retained-bytes';
import { type Counter, idleSeriesMs, MetricRegistry } from './metrics.ts';

/** Weak references made or followed in a job stay strong until its end. */
async function collect(): Promise<void> {
  await new Promise(setImmediate);
  retainedBytes();
  await new Promise(setImmediate);
}

test('a forgetful family forgets what nobody holds and nothing counted', async () => {
  const clock = new FakeClock();
  const registry = new MetricRegistry();
  const timer = registry.forgetIdle(clock);
  const requests = registry.counter('requests_total', 'Requests.', { forgetful: true });
  const latency = registry.histogram('latency_ms', 'Latency.', [1], { forgetful: true });
  const open = registry.gauge('open', 'Open.', { forgetful: true });
  const errors = registry.counter('errors_total', 'Errors.');
  const held: Counter = requests.with({ pod: 'held' });
  held.add(2);
  requests.with({ pod: 'gone' }).add();
  latency.with({ pod: 'gone' }).observe(3);
  open.with({ pod: 'gone' }).set(0);
  open.with({ pod: 'open' }).set(1);
  errors.with({ cause: 'rare' }).add();

  const busy = requests.with({ pod: 'busy' });
  clock.advance(idleSeriesMs);
  busy.add();
  assert.match(registry.render(), /requests_total\{pod="gone"\} 1/, 'kept until it was idle for long enough');
  await collect();
  clock.advance(60_000);
  await collect();
  clock.advance(60_000);
  const page = registry.render();
  assert.doesNotMatch(page, /pod="gone"/);
  assert.match(page, /requests_total\{pod="held"\} 2/);
  assert.match(page, /requests_total\{pod="busy"\} 1/);
  assert.match(page, /open\{pod="open"\} 1/);
  assert.match(page, /errors_total\{cause="rare"\} 1/);

  held.add();
  assert.equal(requests.with({ pod: 'held' }), held, 'an idle cell that is held is found again');
  assert.match(registry.render(), /requests_total\{pod="held"\} 3/);
  timer.cancel();
});

test('series that are forgotten make room for others', async () => {
  const clock = new FakeClock();
  const registry = new MetricRegistry();
  registry.forgetIdle(clock);
  const requests = registry.counter('requests_total', 'Requests.', { maxSeries: 1, forgetful: true });
  requests.with({ pod: 'first' }).add();
  for (let sweep = 0; sweep < 3; sweep++) {
    clock.advance(idleSeriesMs);
    await collect();
  }
  requests.with({ pod: 'second' }).add();
  assert.match(registry.render(), /requests_total\{pod="second"\} 1/);
});
