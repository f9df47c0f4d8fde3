import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { test, type TestContext } from 'node:test';
import { resolveValues } from '@mesh/charts/values';
import { silentLogger } from '@mesh/telemetry/log';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { InjectorServer } from './server.ts';
import { makeServingCertificate, type ServingMaterial } from './serving-certificate.ts';

const material = (): Promise<ServingMaterial> =>
  makeServingCertificate({
    dnsNames: ['mesh-injector.mesh.svc'],
    lifetimeMs: 3_600_000,
    clock: new FakeClock(Date.now()),
  });

async function serve(test: TestContext): Promise<{ server: InjectorServer; material: ServingMaterial }> {
  const server = new InjectorServer({
    port: 0,
    log: silentLogger,
    reviews: new MetricRegistry().counter('reviews', ''),
    cluster: {
      values: async () => resolveValues({ cluster: 'east', anchors: 'PEM' }),
      namespaceAnnotations: () => Promise.resolve({ 'mesh.io/inject': 'enabled' }),
    },
  });
  const first = await material();
  await server.use(first);
  test.after(() => server.close());
  return { server, material: first };
}

function post(port: number, ca: string, body: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const options = {
      port,
      ca,
      host: '127.0.0.1',
      servername: 'mesh-injector.mesh.svc',
      method: 'POST',
      path: '/inject',
    };
    const sent = httpsRequest({ ...options, agent: false }, (response: IncomingMessage) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
      );
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const pod = JSON.stringify({
  request: {
    uid: 'u1',
    namespace: 'shop',
    object: { metadata: {}, spec: { containers: [{ name: 'app' }] } },
  },
});

test('serves reviews under the name the API server asks for', async (t) => {
  const { server, material: served } = await serve(t);
  const { status, text } = await post(server.port, served.ca, pod);
  assert.equal(status, 200);
  assert.equal((JSON.parse(text) as { response: { allowed: boolean } }).response.allowed, true);
});

test('a renewed certificate is served without a new listener', async (t) => {
  const { server, material: first } = await serve(t);
  const { port } = server;
  const second = await material();
  await server.use(second);
  assert.equal(server.port, port);
  assert.equal((await post(port, second.ca, pod)).status, 200);
  await assert.rejects(post(port, first.ca, pod), /certificate/);
});

test('bad bodies get 400, large ones 413 and a counted limit', async (t) => {
  const { server, material: served } = await serve(t);
  assert.equal((await post(server.port, served.ca, '{"no":"review"}')).status, 400);
  assert.equal((await post(server.port, served.ca, 'not json')).status, 400);
  const large = await post(server.port, served.ca, 'x'.repeat(3 * 1024 * 1024 + 1)).catch(() => undefined);
  assert.ok(large === undefined || large.status === 413);
  assert.equal(server.limits.hits('injector_review_bytes'), 1);
});
