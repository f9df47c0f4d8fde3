import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import test, { type TestContext } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import { limitMetrics } from '@mesh/telemetry/limit-metrics';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { eventually } from '@mesh/testkit/eventually';
import { adminLedgers, type AdminOptions, startAdmin } from './admin-server.ts';

async function admin(context: TestContext, options: Partial<AdminOptions> = {}): Promise<string> {
  const server = await startAdmin({
    clock: systemClock,
    port: 0,
    host: '127.0.0.1',
    registry: new MetricRegistry(),
    ready: () => ({ ready: true, reason: '' }),
    ...options,
  });
  context.after(() => server.close());
  return `http://127.0.0.1:${server.port}`;
}

async function connected(context: TestContext, base: string): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(base).port) });
  context.after(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
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

test('ready with a reservation says which, with 200', async (context) => {
  const base = await admin(context, { ready: () => ({ ready: true, reason: '', note: 'by heart' }) });
  const response = await fetch(`${base}/ready`);
  assert.equal(response.status, 200);
  assert.equal(await response.text(), 'ready, but by heart\n');
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

test('a connection serves several requests, also after bodies and refusals', async (context) => {
  const socket = await connected(context, await admin(context));
  const post = 'POST /metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nxxxxx';
  const head = 'HEAD /ready HTTP/1.1\r\nhost: a\r\n\r\n';
  const last = 'GET /live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n';
  socket.write(post + head + last);
  const answers = (await text(socket)).split(/(?=HTTP\/1\.1 )/);
  assert.deepEqual(
    answers.map((each) => each.slice(9, 12)),
    ['405', '200', '200'],
  );
  assert.match(answers[1] ?? '', /content-length: 6\r\n\r\n$/);
  assert.match(answers[2] ?? '', /\r\n\r\nlive\n$/);
});

test('heads that are too long or too slow are refused and counted; so is a client that stays away', async (context) => {
  const clock = new FakeClock();
  const limits = adminLedgers();
  const base = await admin(context, { clock, limits });
  const long = await connected(context, base);
  long.write(`GET /live HTTP/1.1\r\nhost: a\r\nx: ${'x'.repeat(9000)}\r\n\r\n`);
  assert.match(await text(long), /^HTTP\/1\.1 431 /);
  const slow = await connected(context, base);
  slow.write('GET /live HTTP/1.1\r\n');
  const away = await connected(context, base);
  away.write('GET /live HTTP/1.1\r\nhost: a\r\n\r\n');
  await once(away, 'readable');
  await eventually('the slow head ends', () => {
    clock.advance(10_000);
    return limits.http1.hits('http1_head_ms') === 1;
  });
  assert.match(await text(slow), /^HTTP\/1\.1 408 /);
  await eventually('the idle connection ends', () => {
    clock.advance(90_000);
    return limits.page.hits('admin_idle_ms') === 1;
  });
  assert.equal(limits.page.hits('admin_head_bytes'), 1);
  // Under these names the program counts what its clients do.
  assert.equal(limits.http1.hits('http1_head_bytes') + limits.http1.hits('http1_idle_ms'), 0);
  assert.match(await text(away), /^HTTP\/1\.1 200 /);
});

test('a body that never ends does not hold its place, one that does leaves the connection alone', async (context) => {
  const clock = new FakeClock();
  const limits = adminLedgers();
  const base = await admin(context, { clock, limits });
  const [endless, patient] = [await connected(context, base), await connected(context, base)];
  const post = 'POST /live HTTP/1.1\r\nhost: a\r\ncontent-length: ';
  endless.write(`${post}999999999999999\r\n\r\nx`);
  patient.write(`${post}2\r\n\r\nx`);
  await Promise.all([once(endless, 'readable'), once(patient, 'readable')]);
  const gone = await connected(context, base);
  gone.write(`${post}2\r\n\r\nx`);
  await once(gone, 'readable');
  const timers = clock.pending;
  gone.destroy();
  await eventually('the server saw that it left', () => clock.pending < timers);
  patient.write('x');
  patient.write('HEAD /live HTTP/1.1\r\nhost: a\r\n\r\n');
  await eventually('the second request is answered', () => /200 OK/.test(String(patient.read())));
  clock.advance(9999);
  endless.write('x');
  assert.equal(limits.page.hits('admin_body_ms'), 0);
  clock.advance(1);
  assert.equal(limits.page.hits('admin_body_ms'), 1);
  assert.match(String(endless.read()), /^HTTP\/1\.1 405 /);
  endless.resume();
  await eventually('its connection ends', () => endless.readableEnded);
  clock.advance(60_000);
  patient.write('HEAD /live HTTP/1.1\r\nhost: a\r\n\r\n');
  await eventually('it is still served', () => /200 OK/.test(String(patient.read())));
  assert.equal(limits.page.hits('admin_body_ms'), 1);
});

test('at the cap of the page the connection whose last request is longest ago makes room, and the page says so', async (context) => {
  const registry = new MetricRegistry();
  const limits = adminLedgers({ admin_connections: 3 });
  // A program may have several ledgers of one table: they add up.
  const other = adminLedgers();
  other.page.hit('admin_connections');
  limitMetrics(registry, [limits.page, other.page]);
  const base = await admin(context, { registry, limits });
  const sockets = [];
  for (let count = 0; count < 3; count++) sockets.push(await connected(context, base));
  const [used, idle, younger] = sockets;
  assert.ok(used !== undefined && idle !== undefined && younger !== undefined);
  used.write('HEAD /live HTTP/1.1\r\nhost: a\r\n\r\n');
  await once(used, 'readable');
  idle.resume();
  const page = await (await fetch(`${base}/metrics`)).text();
  assert.match(page, /^mesh_limit_hits_total\{limit="admin_connections"\} 2$/m);
  await eventually('it is closed', () => idle.destroyed);
  for (const socket of [used, younger]) {
    socket.write('HEAD /ready HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
    assert.match(await text(socket), /200 OK[^]*content-length: 6\r\n/);
  }
});

test('whoever asks for metrics without end has few pages made, and gets the last one again', async (context) => {
  const clock = new FakeClock();
  const limits = adminLedgers({ admin_renders: 20 });
  let made = 0;
  const base = await admin(context, { clock, limits, registry: { render: () => `page ${++made}\n` } });
  const ask = async (): Promise<string> => (await fetch(`${base}/metrics`)).text();
  const { admin_renders: most } = limits.page.values;
  for (let asked = 1; asked <= most; asked++) await ask();
  assert.equal(made, most);
  for (let asked = 0; asked < 10; asked++) assert.equal(await ask(), `page ${most}\n`);
  assert.equal(limits.page.hits('admin_renders'), 10);
  clock.advance(1000);
  assert.equal(await ask(), `page ${most + 1}\n`);
});

test('a client that takes nothing of a large page is cut off', async (context) => {
  const clock = new FakeClock();
  const limits = adminLedgers();
  const base = await admin(context, { clock, limits, registry: { render: () => 'x'.repeat(20_000_000) } });
  const socket = await connected(context, base);
  socket.pause();
  socket.write('GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n');
  await eventually('it is cut off', () => {
    clock.advance(limits.page.values.admin_stall_ms);
    return limits.page.hits('admin_stall_ms') === 1;
  });
  socket.resume();
  await once(socket, 'close');
});
