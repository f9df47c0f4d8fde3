import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { type AdminOptions, startAdmin } from './admin-server.ts';
import { MetricRegistry } from './metrics.ts';

async function admin(context: TestContext, options: Partial<AdminOptions> = {}): Promise<string> {
  const server = await startAdmin({
    port: 0,
    host: '127.0.0.1',
    registry: new MetricRegistry(),
    ready: () => ({ ready: true, reason: '' }),
    ...options,
  });
  context.after(() => server.close());
  return `http://127.0.0.1:${server.port}`;
}

test('live, ready and metrics pages', async (context) => {
  const registry = new MetricRegistry();
  registry.counter('things_total', 'Things.').with({ kind: 'a' }).add(3);
  const base = await admin(context, { registry });
  assert.equal(await (await fetch(`${base}/live`)).text(), 'live\n');
  assert.equal(await (await fetch(`${base}/ready`)).text(), 'ready\n');
  const metrics = await fetch(`${base}/metrics`);
  assert.match(metrics.headers.get('content-type') ?? '', /version=0\.0\.4/);
  assert.match(await metrics.text(), /things_total\{kind="a"\} 3/);
});

test('not ready says why, with 503', async (context) => {
  const base = await admin(context, { ready: () => ({ ready: false, reason: 'no issuer yet' }) });
  const response = await fetch(`${base}/ready`);
  assert.equal(response.status, 503);
  assert.equal(await response.text(), 'not ready: no issuer yet\n');
});

test('extra routes get path and query; a throwing route is a 500 and the server lives on', async (context) => {
  const base = await admin(context, {
    extra: {
      '/echo': ({ query }) => ({ status: 200, type: 'text/plain', body: query.get('q') ?? '' }),
      '/bad': () => {
        throw new Error('boom');
      },
    },
  });
  assert.equal(await (await fetch(`${base}/echo?q=a%20b`)).text(), 'a b');
  const bad = await fetch(`${base}/bad`);
  assert.equal(bad.status, 500);
  assert.doesNotMatch(await bad.text(), /boom/);
  assert.equal((await fetch(`${base}/live`)).status, 200);
});

test('anything but GET and HEAD is refused, unknown paths list the pages', async (context) => {
  const base = await admin(context);
  assert.equal((await fetch(`${base}/metrics`, { method: 'POST', body: 'x' })).status, 405);
  assert.equal((await fetch(`${base}/ready`, { method: 'HEAD' })).status, 200);
  const missing = await fetch(`${base}/nope`);
  assert.equal(missing.status, 404);
  assert.match(await missing.text(), /\/live \/ready \/metrics/);
});

test('actions are for POST alone', async (context) => {
  let done = 0;
  const base = await admin(context, {
    actions: {
      '/shutdown': () => {
        done++;
        return { status: 200, type: 'text/plain', body: 'draining\n' };
      },
    },
  });
  assert.equal((await fetch(`${base}/shutdown`)).status, 405);
  assert.equal(done, 0);
  assert.equal(await (await fetch(`${base}/shutdown`, { method: 'POST' })).text(), 'draining\n');
  assert.equal(done, 1);
});
