import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dataplaneLimits } from './limits.ts';
import { carried, http2App, rig, send } from './testing/forwarding-rig.ts';

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

void test('the application waits three seconds for an endpoint, its clients one', () => {
  assert.equal(dataplaneLimits.failfast_outbound_ms.default, 3000);
  assert.equal(dataplaneLimits.failfast_inbound_ms.default, 1000);
});
