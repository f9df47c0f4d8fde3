import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { eventually } from '@mesh/testkit/eventually';
import { resetSocket } from '@mesh/testkit/delay-line';
import { socketPair } from '@mesh/testkit/servers';
import { TransportMetrics } from './transport-metrics.ts';

void test('bytes are counted while a connection is open, its end by the error of the system', async (t) => {
  const registry = new MetricRegistry();
  const metrics = new TransportMetrics(registry);
  const value = (series: string): number =>
    Number(
      new RegExp(`^${series.replaceAll(/[{}]/g, '\\$&')} (\\d+)$`, 'm').exec(registry.render())?.[1] ?? 0,
    );
  const labels = 'direction="inbound",peer="src"';
  const follow = async () => {
    const [client, server] = await socketPair(t);
    metrics.cells({ direction: 'inbound', peer: 'src' }).onSocket(server);
    server.resume();
    client.resume();
    return { client, server };
  };
  const first = await follow();
  const second = await follow();
  assert.equal(value(`tcp_open_total{${labels}}`), 2);
  assert.equal(value(`tcp_open_connections{${labels}}`), 2);
  first.client.write('12345');
  first.server.write('123');
  second.client.write('1234567');
  await eventually('read', () => value(`tcp_read_bytes_total{${labels}}`) === 12);
  assert.equal(value(`tcp_write_bytes_total{${labels}}`), 3);
  first.client.end('89');
  await once(first.server, 'end');
  first.server.end();
  await eventually('one is closed', () => value(`tcp_close_total{${labels},errno=""}`) === 1);
  resetSocket(second.client);
  await eventually('the other is reset', () => value(`tcp_close_total{${labels},errno="ECONNRESET"}`) === 1);
  assert.equal(value(`tcp_open_connections{${labels}}`), 0);
  assert.equal(value(`tcp_open_total{${labels}}`), 2);
  assert.equal(
    value(`tcp_read_bytes_total{${labels}}`),
    14,
    'what was read after the last look counts, too, and once',
  );
});
