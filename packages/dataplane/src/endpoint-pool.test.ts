import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dataplaneLimits } from './limits.ts';
import { carried, http2App, rig, send, spec } from './testing/forwarding-rig.ts';

void test('errors of one service eject a pod, but no gateway, which serves others too', async (test) => {
  const failing = () =>
    http2App(test, (stream) => {
      stream.respond({ ':status': 503 });
      stream.end();
    });
  const { pool, port } = await rig(test);
  const viaGateway = { authorityOverride: 'cart.shop.svc.cluster.local:80' };
  const pod = carried(await failing());
  pool.apply([carried(await failing(), viaGateway), carried(await failing(), viaGateway), pod], {
    replace: true,
  });
  // Enough for each to fail many times in a row.
  for (let request = 0; request < 100; request++) assert.equal((await send(port)).status, 503);
  assert.equal(pool.ejected, 1);
  const ejected = [...pool.members()].filter((member) => member.ejected).map(({ key }) => key);
  assert.deepEqual(ejected, [pod.key]);
});

void test('who waits is served when the only one that can be reached is ejected', async (test) => {
  const { pool } = await rig(test);
  pool.apply([spec(1), spec(2)], { replace: true });
  const [ejected] = pool.members();
  for (let failure = 0; failure < 7; failure++) ejected?.fail();
  assert.equal(pool.ejected, 1);
  for (const member of pool.members()) member.setReachable(false);
  let served = 0;
  const waiter = { onEndpointsReady: () => served++, onEndpointsFailed: () => assert.fail('it is there') };
  pool.wait(waiter);
  ejected?.setReachable(true);
  assert.equal(served, 1);
  ejected?.setReachable(false);
  pool.wait(waiter);
  pool.apply([spec(1, { protocol: 'h2' })], { replace: false });
  assert.equal(pool.pick(), ejected, 'its new address can be reached');
  assert.equal(served, 2);
});

void test('the application waits three seconds for an endpoint, its clients one', () => {
  assert.equal(dataplaneLimits.failfast_outbound_ms.default, 3000);
  assert.equal(dataplaneLimits.failfast_inbound_ms.default, 1000);
});
