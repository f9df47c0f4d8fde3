import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@mesh/clock/seeded';
import { ServiceChurn } from './service-churn.ts';

test('clients know only what is served, and nothing that went comes back', () => {
  const churn = new ServiceChurn({
    random: seededRandom(1),
    gateway: { endpoint: { host: '10.0.0.1', port: 4143 }, identity: 'gateway' },
    podIdentity: 'cart',
  });
  const gone = new Set<string>();
  let before = new Set<string>();
  for (let step = 0; step < 500; step++) {
    const own = churn.servedIn('bench');
    const served = new Set(own.map(({ clusterIp }) => clusterIp));
    for (const { host, port } of churn.targets)
      assert.ok(served.has(`${host}:${port}`), `${host} at ${step}`);
    for (const protocol of ['http1', 'http2', 'tcp']) {
      assert.ok(
        churn.targets.some((target) => target.protocol === protocol),
        `${protocol} at ${step}`,
      );
    }
    const now = new Set([...served, ...own.flatMap(({ endpoints }) => endpoints.map(({ host }) => host))]);
    for (const one of before) if (!now.has(one)) gone.add(one);
    for (const one of now) assert.ok(!gone.has(one), `${one} is back`);
    before = now;
    churn.step();
  }
  assert.ok(gone.size > 250, `${gone.size} went`);
  const remote = churn.servedIn('east').filter(({ endpoints }) => endpoints[0]?.authority !== undefined);
  assert.ok(remote.length >= 3);
});
