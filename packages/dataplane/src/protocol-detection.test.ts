import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { socketPair } from '@mesh/testkit/servers';
import { DetectMetrics, detectProtocol } from './protocol-detection.ts';

interface Detecting {
  readonly client: Socket;
  readonly server: Socket;
  readonly clock: FakeClock;
  readonly found: Promise<[protocol: string, rest: string | undefined]>;
  readonly page: () => string;
}

async function detecting(context: TestContext): Promise<Detecting> {
  const [client, server] = await socketPair(context);
  server.pause();
  const clock = new FakeClock();
  const registry = new MetricRegistry();
  const cells = new DetectMetrics(registry).cells({ direction: 'inbound' });
  const found = new Promise<[string, string | undefined]>((resolve) => {
    const done = (protocol: string, rest: Buffer | undefined): void => resolve([protocol, rest?.toString()]);
    detectProtocol(server, { clock, timeoutMs: 10_000, cells, done });
  });
  return { client, server, clock, found, page: () => registry.render() };
}

async function rest({ client, server }: Detecting): Promise<string> {
  let received = '';
  server.on('data', (chunk: Buffer) => (received += chunk.toString()));
  server.resume();
  client.end('rest');
  await once(server, 'end');
  return received;
}

test('the bytes are back in the socket, however they came', async (context) => {
  const one = await detecting(context);
  const text = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n';
  for (const byte of text) {
    one.client.write(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(await one.found, ['http1', undefined]);
  assert.equal(one.clock.pending, 0);
  assert.equal(await rest(one), `${text}rest`);
  assert.match(one.page(), /^mesh_detect_total\{direction="inbound",result="http1"\} 1$/m);
});

for (const start of ['', 'GET /']) {
  test(`a client that sends ${JSON.stringify(start)} and waits is opaque after the timeout`, async (context) => {
    const one = await detecting(context);
    if (start !== '') one.client.write(start);
    await eventually('the bytes arrived', () => one.server.bytesRead === start.length);
    one.clock.advance(9_999);
    assert.doesNotMatch(one.page(), /^mesh_detect_total\{/m);
    one.clock.advance(1);
    assert.deepEqual(await one.found, ['opaque', undefined]);
    assert.equal(await rest(one), `${start}rest`);
    assert.match(one.page(), /^mesh_detect_total\{direction="inbound",result="timeout"\} 1$/m);
    assert.match(one.page(), /^mesh_detect_ms_bucket\{direction="inbound",le="5000"\} 0$/m);
    assert.match(one.page(), /^mesh_detect_ms_bucket\{direction="inbound",le="10000"\} 1$/m);
  });
}

test('a client that leaves is closed; one that only ended its half is opaque, with what it sent', async (context) => {
  const one = await detecting(context);
  one.client.end();
  assert.deepEqual(await one.found, ['closed', undefined]);
  assert.equal(one.clock.pending, 0);
  assert.match(one.page(), /result="closed"\} 1$/m);
  const other = await detecting(context);
  other.client.end('GET');
  assert.deepEqual(await other.found, ['opaque', 'GET']);
  assert.match(other.page(), /result="ended"\} 1$/m);
});
