import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { BalancerMetrics } from './balancer-metrics.ts';
import { rig, spec } from './testing/forwarding-rig.ts';

void test('the page tells ready, ejected and unreachable endpoints apart, and forgets them', async (test) => {
  const { pool } = await rig(test, { clock: new FakeClock() });
  pool.apply([spec(1), spec(2), spec(3), spec(4, { tier: 1 })], { replace: true });
  pool.requireReady(4);
  const [failing, gone, busy] = [...pool.members()];
  for (let failure = 0; failure < 7; failure++) failing?.fail();
  gone?.setReachable(false);
  busy?.begin();
  const registry = new MetricRegistry();
  const metrics = new BalancerMetrics(registry);
  metrics.update('cart:80', pool);
  const page = registry.render();
  for (const [state, count] of [
    ['ready', 2],
    ['ejected', 1],
    ['pending', 1],
  ] as const) {
    assert.match(
      page,
      new RegExp(`mesh_balancer_endpoints\\{authority="cart:80",endpoint_state="${state}"\\} ${count}`),
    );
  }
  assert.match(page, /mesh_balancer_active_tier\{authority="cart:80"\} 0/);
  assert.match(page, /mesh_balancer_spill_ratio\{authority="cart:80"\} 0.75/);
  assert.match(page, /mesh_breaker_ejections_total\{authority="cart:80"\} 1/);
  assert.match(page, /mesh_balancer_in_flight\{authority="cart:80"\} 1/);
  assert.match(page, /mesh_balancer_queued\{authority="cart:80"\} 0/);
  for (const { key } of [...pool.members()].filter(({ tier }) => tier === 0)) pool.remove([key]);
  metrics.update('cart:80', pool);
  assert.match(registry.render(), /mesh_balancer_active_tier\{authority="cart:80"\} 1/);
  metrics.forget('cart:80');
  assert.doesNotMatch(registry.render(), /cart:80/);
  busy?.end();
});
