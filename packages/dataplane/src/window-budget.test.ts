import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { seededRandom } from '@mesh/clock/seeded';
import { systemClock } from '@mesh/clock/system';
import { eventually } from '@mesh/testkit/eventually';
import { FaultRelay } from '@mesh/testkit/fault-relay';
import { windowMetrics } from './process-metrics.ts';
import { carried, http2App, rig, send } from './testing/forwarding-rig.ts';

/** Another cluster, 40 ms away. */
async function farAway(t: TestContext, port: number): Promise<number> {
  const relay = new FaultRelay({ host: '127.0.0.1', port, clock: systemClock, random: seededRandom(1) });
  await relay.start();
  t.after(() => relay.kill());
  relay.set({ delayMs: 20 });
  return relay.port;
}

void test('windows towards a far peer grow out of the budget of the process, and the metrics page shows it', async (t) => {
  const size = 3 * 1024 * 1024;
  const port = await http2App(t, (stream) => {
    stream.respond({ ':status': 200 });
    stream.end(Buffer.alloc(size, 'x'));
  });
  const proxy = await rig(t);
  windowMetrics(proxy.registry, proxy.codecs.windowBudget);
  proxy.pool.apply([carried(await farAway(t, port))], { replace: true });
  const granted = (): number => Number(/^mesh_http2_window_bytes (\d+)$/m.exec(proxy.registry.render())?.[1]);
  assert.equal(granted(), 0);
  const { windowBudget } = proxy.codecs;
  windowBudget.advance(1000);
  assert.match(proxy.registry.render(), /^mesh_http2_owed_bytes 1000$/m);
  windowBudget.settle(1000);
  const answer = send(proxy.port);
  await eventually('the window grew', () => granted() > 65_536);
  assert.equal((await answer).body.length, size);
  assert.ok(granted() <= proxy.codecs.http2Limits.values.http2_window_budget_bytes);
  proxy.peers.close();
  await eventually('all is given back with the connection', () => granted() === 0);
});
