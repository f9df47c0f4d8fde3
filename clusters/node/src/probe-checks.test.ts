import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import type { ContainerProcess } from './container-runtime.ts';
import { probeChecks } from './probe-checks.ts';

/** A gRPC server of health checks; statuses by service, -1 for one that never answers. */
async function startHealth(t: TestContext, statuses: Record<string, number>): Promise<number> {
  const server = createServer();
  server.on('stream', (stream, headers) => {
    assert.equal(headers[':path'], '/grpc.health.v1.Health/Check');
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', () => {});
    stream.on('end', () => {
      const message = Buffer.concat(chunks).subarray(5);
      const status = statuses[message.subarray(2).toString()];
      if (status === -1) return;
      const content = { ':status': 200, 'content-type': 'application/grpc' };
      if (status === undefined) {
        stream.respond({ ...content, 'grpc-status': '5' }, { endStream: true });
        return;
      }
      stream.respond(content, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      const fields = status === 0 ? [] : [0x08, status];
      stream.end(Buffer.from([0, 0, 0, 0, fields.length, ...fields]));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

test('a gRPC probe succeeds only where the service is SERVING', async (t) => {
  const port = await startHealth(t, { '': 1, cart: 2, quiet: 0, hung: -1 });
  const process: ContainerProcess = {
    exited: new Promise(() => {}),
    signal: () => {},
    execute: () => Promise.resolve(0),
  };
  const check = probeChecks({
    container: { name: 'app', image: 'none' },
    address: '127.0.0.1',
    process,
    clock: systemClock,
  });
  const ask = (service?: string) =>
    check({ grpc: { port, ...(service !== undefined && { service }) } }, service === 'hung' ? 50 : 5000);
  assert.equal(await ask(), undefined);
  assert.equal(await ask('cart'), 'service is NOT_SERVING');
  assert.equal(await ask('quiet'), 'service is UNKNOWN');
  assert.equal(await ask('unheard'), 'the health check ended with gRPC status 5');
  assert.equal(await ask('hung'), 'no answer within 50 ms');
  assert.match((await check({ grpc: { port: 1 } }, 5000)) ?? '', /ECONNREFUSED/);
});
