/**
 * Connections, endpoints and streams come and go through two sidecars, and nothing of them stays. The long form,
 * `npm run endurance -- churn`, goes on for an hour (ENDURANCE_MINUTES) and reports how memory grew.
 */
import assert from 'node:assert/strict';
import { Agent, request as httpRequest } from 'node:http';
import { test } from 'node:test';
import { systemClock as clock } from '@mesh/clock/system';
import { eventually } from '@mesh/testkit/eventually';
import { startApp, startCluster, startProxy } from './testing/mesh.ts';

const minutes = process.env['ENDURANCE'] === '1' ? Number(process.env['ENDURANCE_MINUTES'] ?? 60) : 0;
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

/** Growth of `samples` per hour by least squares, MB. */
function slope(samples: readonly { atMs: number; bytes: number }[]): number {
  const mean = (of: (sample: { atMs: number; bytes: number }) => number): number =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const [time, size] = [mean(({ atMs }) => atMs), mean(({ bytes }) => bytes)];
  const covariance = mean(({ atMs, bytes }) => (atMs - time) * (bytes - size));
  return ((covariance / mean(({ atMs }) => (atMs - time) ** 2)) * 3_600_000) / 2 ** 20;
}

test('what comes and goes leaves nothing', { timeout: 7_200_000 }, async (t) => {
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

  const samples: { atMs: number; bytes: number; heap: number }[] = [];
  const end = clock.now() + minutes * 60_000;
  // The first tenth is warming up.
  const countFrom = clock.now() + minutes * 6000;
  while (clock.now() < end) {
    await round();
    const { rss, heapUsed } = process.memoryUsage();
    if (clock.now() >= countFrom) samples.push({ atMs: clock.now(), bytes: rss, heap: heapUsed });
  }
  if (samples.length > 2) {
    const heap = slope(samples.map(({ atMs, heap: bytes }) => ({ atMs, bytes })));
    t.diagnostic(
      `${samples.length} rounds of 16 connections in ${minutes} minutes: resident memory grew by ` +
        `${slope(samples).toFixed(1)} MB per hour, the heap by ${heap.toFixed(1)} MB per hour`,
    );
    assert.deepEqual(failed, []);
  }
});
