/**
 * Connections, endpoints and streams come and go through two sidecars, and nothing of them stays. With the bundles as processes of
 * their own, and for an hour, it is `npm run endurance -- churn`.
 */
import assert from 'node:assert/strict';
import { Agent, request as httpRequest } from 'node:http';
import { test } from 'node:test';
import { eventually } from '@mesh/testkit/eventually';
import { startApp, startCluster, startProxy } from './testing/mesh.ts';

const rounds = 30;
const name = 'cart.shop.svc.cluster.local';

function get(port: number, agent: Agent): Promise<number> {
  return new Promise((resolve) => {
    const request = httpRequest({ host: '127.0.0.1', port, agent, headers: { host: 'cart' } }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    });
    request.on('error', () => resolve(0));
    request.end();
  });
}

test('what comes and goes leaves nothing', async (t) => {
  const cluster = await startCluster(t);
  const app = await startApp(t);
  const servers = [
    await startProxy(t, cluster, { serviceAccount: 'cart', app: app.http1 }),
    await startProxy(t, cluster, { serviceAccount: 'cart', app: app.http1 }),
  ];
  const caller = await startProxy(t, cluster);
  const [one, other] = servers.map(({ ports, identity }) => ({ port: ports.inbound, identity }));
  assert.ok(one !== undefined && other !== undefined);
  cluster.destination.service('10.0.0.1:80', name, [one, other]);
  const failed: number[] = [];
  /** New connections, requests at once, and an endpoint that leaves and returns. */
  const round = async (): Promise<void> => {
    const agent = new Agent({ keepAlive: true });
    const asks = Array.from({ length: 16 }, () => get(caller.ports.outbound, agent));
    cluster.destination.remove(`${name}:80`, [one.port]);
    cluster.destination.endpoints(`${name}:80`, [one, other]);
    failed.push(...(await Promise.all(asks)).filter((status) => status !== 200));
    agent.destroy();
    app.requests.length = 0;
  };
  const sockets = (): number =>
    process.getActiveResourcesInfo().filter((kind) => /TCPSocketWrap|TLSWrap/.test(kind)).length;
  const open = async (): Promise<number> => {
    const pages = await Promise.all([...servers, caller].map((proxy) => proxy.metrics()));
    const lines = pages.join('\n').matchAll(/^tcp_open_connections\{[^}]*peer="src"[^}]*\} (\d+)$/gm);
    return Array.from(lines, ([, count]) => Number(count)).reduce((sum, count) => sum + count, 0);
  };

  for (let warm = 0; warm < 5; warm++) await round();
  await eventually('clients are gone', async () => (await open()) <= 2);
  const before = sockets();
  for (let count = 0; count < rounds; count++) await round();
  assert.deepEqual(failed, []);
  await eventually('only the connections between sidecars stay', async () => (await open()) <= 2);
  await eventually('no socket is left behind', () => sockets() <= before + 2, { timeoutMs: 10_000 });
});
