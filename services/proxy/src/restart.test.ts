/** A sidecar that restarts while the control plane is away goes by what that said before, and says how old it is. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { durationFromMs } from '@mesh/control-api/convert';
import { eventually } from '@mesh/testkit/eventually';
import { startApp, startCluster, startProxy, type TestCluster, type TestProxy } from './testing/mesh.ts';

/** A policy that admits nobody. */
const nobody = {
  protocol: { kind: { case: 'detect' as const, value: { timeout: durationFromMs(1000) } } },
  authorizations: [],
};
const authority = 'cart.shop.svc.cluster.local';

/** The volume of a pod. */
function volume(test: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-pod-'));
  test.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

const get = (proxy: TestProxy, port: 'inbound' | 'outbound' = 'outbound'): Promise<Response> =>
  fetch(`http://127.0.0.1:${proxy.ports[port]}/`);

/** A caller that reached the cart once, and is stopped; then the control plane dies. */
async function outage(test: TestContext, directory: string): Promise<TestCluster> {
  const cluster = await startCluster(test);
  const app = await startApp(test);
  const server = await startProxy(test, cluster, { serviceAccount: 'cart', app: app.http1 });
  cluster.destination.service('10.0.0.1:80', authority, [
    { port: server.ports.inbound, identity: server.identity },
  ]);
  const caller = await startProxy(test, cluster, { environment: { MESH_LAST_GOOD_DIR: directory } });
  assert.equal((await get(caller)).status, 200);
  await caller.proxy.stop();
  cluster.destination.kill();
  return cluster;
}

test('it is ready, and its requests reach the endpoints that it knew under mutual TLS', async (t) => {
  const directory = volume(t);
  const cluster = await outage(t, directory);
  const caller = await startProxy(t, cluster, { environment: { MESH_LAST_GOOD_DIR: directory } });
  const answer = await get(caller);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('x-app'), 'app');
  const page = await caller.metrics();
  assert.match(page, /^mesh_last_good_reads_total\{result="used"\} 1$/m);
  assert.match(page, /^mesh_last_good_streams 2$/m, 'profile and endpoints');
  assert.match(caller.proxy.ready().note ?? '', /^the control plane does not answer: 2 of its streams go by/);
  const age = /^mesh_discovery_age_seconds\{authority="cart[^"]*"\} ([\d.]+)$/m.exec(page)?.[1];
  assert.ok(Number(age) > 0, 'and it says how old they are');
  assert.match(page, /^request_total\{[^}]*tls="true",server_id="cart\.shop[^}]*\} 1$/m);
});

test('without a file it is not ready, and says what it waits for', async (t) => {
  const cluster = await outage(t, volume(t));
  const caller = await startProxy(t, cluster, {
    environment: { MESH_LAST_GOOD_DIR: volume(t) },
    unready: true,
  });
  await eventually('it has a certificate', () => caller.proxy.ready().reason.startsWith('destination: '));
  assert.equal(caller.proxy.ready().ready, false);
});

test('its ports go by the last policy from the first connection on, not by the default, which admits more', async (t) => {
  const cluster = await startCluster(t);
  const app = await startApp(t);
  const environment = {
    MESH_POD_NAME: 'cart-1',
    MESH_INBOUND_PORTS: String(app.http1),
    MESH_LAST_GOOD_DIR: volume(t),
  };
  const options = { serviceAccount: 'cart', app: app.http1, environment };
  const server = await startProxy(t, cluster, options);
  assert.equal((await get(server, 'inbound')).status, 200, 'the default');
  cluster.destination.policy('cart-1', nobody);
  await eventually(
    'the policy arrived',
    async () => (await get(server, 'inbound')).status === 403 || undefined,
  );
  await server.proxy.stop();
  cluster.destination.kill();
  const again = await startProxy(t, cluster, options);
  assert.equal((await get(again, 'inbound')).status, 403);
});
