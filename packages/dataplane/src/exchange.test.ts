import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request as httpRequest } from 'node:http';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { test } from 'node:test';
import { RetryBudget } from '@mesh/balance/retry-budget';
import { systemClock } from '@mesh/clock/system';
import type { RequestHead, ServerStream, StreamHandler } from '@mesh/http/message';
import {
  block,
  DATA,
  frame,
  framesIn,
  GOAWAY,
  HEADERS,
  openRequest,
  preface,
  settings,
  u32,
} from '@mesh/http2/testing/raw-peer';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { retainedBytes } from '@mesh/testkit/retained-bytes';
import { dialTcp, listen } from '@mesh/testkit/servers';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { ConnectError, connectTcp } from './connector.ts';
import type { ForwardContext } from './exchange.ts';
import { forward } from './http-forwarder.ts';
import { HttpMetrics } from './http-metrics.ts';
import { app, carried, http2App, rig, send, sendHttp2, spec } from './testing/forwarding-rig.ts';

const closedPort = 1;

void test('an HTTP/1 request reaches an HTTP/1 endpoint and its answer comes back', async (t) => {
  const port = await app(t, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      response.setHeader('x-method', request.method ?? '');
      response.end(
        `${request.url} ${request.headers.host} ${Buffer.concat(chunks).toString()} ${request.headers['l5d-client-id'] ?? '-'}`,
      );
    });
  });
  const { port: proxy, pool, registry } = await rig(t);
  pool.apply([spec(port)], { replace: true });
  const answer = await send(proxy, {
    method: 'PUT',
    path: '/items?a=1',
    body: 'two eggs',
    headers: { 'l5d-client-id': 'forged' },
  });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['x-method'], 'PUT');
  assert.equal(answer.body, '/items?a=1 cart two eggs -');
  await eventually('the response is counted', () =>
    /response_total\{[^}]*status_code="200",classification="success"[^}]*\} 1/.test(registry.render()),
  );
});

void test('HTTP/1 is carried inside HTTP/2 to a meshed endpoint, under the name to ask for', async (t) => {
  let seen: Record<string, unknown> = {};
  const port = await http2App(t, (stream, headers) => {
    seen = headers;
    stream.respond({ ':status': 200, 'l5d-orig-proto': 'HTTP/1.1' });
    stream.pipe(stream);
  });
  const { port: proxy, pool } = await rig(t);
  pool.apply([carried(port, { authorityOverride: 'cart.shop.svc.cluster.local:80' })], { replace: true });
  const answer = await send(proxy, { method: 'POST', path: '/x', body: 'hello' });
  assert.equal(answer.body, 'hello');
  assert.equal(answer.headers['l5d-orig-proto'], undefined);
  assert.equal(seen['l5d-orig-proto'], 'HTTP/1.1');
  assert.equal(seen[':authority'], 'cart.shop.svc.cluster.local:80');
});

for (const [line, carriedAs] of [
  ['GET / HTTP/1.0', 'HTTP/1.0'],
  ['GET / HTTP/1.1', 'HTTP/1.1'],
  ['GET http://cart/ HTTP/1.0', 'HTTP/1.0; absolute-form'],
  ['GET http://cart/ HTTP/1.1', 'HTTP/1.1; absolute-form'],
] as const) {
  void test(`${line} is carried as ${carriedAs}, and answered in its version`, async (t) => {
    let seen: unknown;
    const port = await http2App(t, (stream, headers) => {
      seen = headers['l5d-orig-proto'];
      stream.respond({ ':status': 200 });
      stream.write('one ');
      stream.end('two');
    });
    const { port: proxy, pool } = await rig(t);
    pool.apply([carried(port)], { replace: true });
    const client = await dialTcp(t, proxy);
    let text = '';
    client.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    const closed = once(client, 'close');
    client.write(`${line}\r\nhost: cart\r\nconnection: close\r\n\r\n`);
    await closed;
    assert.equal(seen, carriedAs);
    assert.match(text, /^HTTP\/1\.1 200 /);
    // HTTP/1.0 knows no chunks: there the end of the connection is that of the body.
    assert.equal(/^transfer-encoding: chunked\r$/m.test(text), line.endsWith('1.1'));
    assert.match(text, line.endsWith('1.1') ? /\r\n0\r\n\r\n$/ : /\r\n\r\none two$/);
  });
}

void test('requests share one HTTP/2 connection', async (t) => {
  const sessions = new Set<unknown>();
  const port = await http2App(t, (stream) => {
    sessions.add(stream.session);
    stream.respond({ ':status': 200 });
    stream.end('ok');
  });
  const { port: proxy, pool } = await rig(t);
  pool.apply([carried(port)], { replace: true });
  const answers = await Promise.all(Array.from({ length: 30 }, () => send(proxy)));
  assert.ok(answers.every((answer) => answer.status === 200));
  assert.equal(sessions.size, 1);
});

void test('a refused connection moves the request to another endpoint', async (t) => {
  const port = await app(t, (_, response) => response.end('alive'));
  const { port: proxy, pool } = await rig(t);
  pool.apply([spec(closedPort), spec(port)], { replace: true });
  for (let request = 0; request < 10; request++) {
    const answer = await send(proxy, { method: 'POST', body: 'x' });
    assert.equal(answer.status, 200);
  }
});

void test('a refused stream is sent again with its body', async (t) => {
  let refusals = 0;
  const port = await http2App(t, (stream) => {
    if (refusals++ === 0) {
      stream.close(7);
      return;
    }
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
  });
  const { port: proxy, pool, registry } = await rig(t);
  pool.apply([carried(port)], { replace: true });
  const answer = await send(proxy, { method: 'POST', body: 'again' });
  assert.equal(answer.body, 'again');
  assert.match(registry.render(), /mesh_retries_total\{direction="outbound",outcome="sent"\} 1/);
});

void test('a stream that is refused every time ends in 502, not in a loop', async (t) => {
  let tries = 0;
  const port = await http2App(t, (stream) => {
    tries++;
    stream.close(7);
  });
  const { port: proxy, pool, limits, registry } = await rig(t);
  pool.apply([carried(port)], { replace: true });
  const answer = await send(proxy);
  assert.equal(answer.status, 502);
  assert.match(registry.render(), /mesh_retries_total\{direction="outbound",outcome="no_budget"\} 0/);
  assert.match(String(answer.headers['l5d-proxy-error']), /refused the request/);
  assert.equal(tries, 3);
  assert.equal(limits.hits('refused_tries'), 1);
});

void test('a destination without endpoints answers 503 at once and says so', async (t) => {
  // Time stands still, so whatever is answered is answered at once.
  const { port: proxy, pool } = await rig(t, { clock: new FakeClock() });
  pool.empty(true);
  const answer = await send(proxy);
  assert.equal(answer.status, 503);
  assert.equal(answer.headers['l5d-proxy-error'], 'cart:80 has no endpoints');
});

void test('requests wait for a first endpoint', async (t) => {
  const port = await app(t, (_, response) => response.end('late'));
  const { port: proxy, pool } = await rig(t, { failfastMs: 5000 });
  const waiting = send(proxy);
  await eventually('the request waits', () => pool.waiting === 1);
  pool.apply([spec(port)], { replace: true });
  assert.equal((await waiting).body, 'late');
});

void test('when no endpoint becomes ready in time all fail at once, until one is there', async (t) => {
  const clock = new FakeClock();
  const { port: proxy, pool, limits } = await rig(t, { clock, failfastMs: 3000 });
  pool.apply([spec(closedPort)], { replace: true });
  const waiting = send(proxy);
  await eventually('the request waits', () => pool.waiting === 1);
  clock.advance(3000);
  assert.equal(limits.hits('failfast_outbound_ms'), 1);
  const answer = await waiting;
  assert.equal(answer.status, 504);
  assert.match(
    String(answer.headers['l5d-proxy-error']),
    /no endpoint of cart:80 became ready.*ECONNREFUSED/,
  );
  assert.equal((await send(proxy)).status, 504);
  assert.equal(clock.now(), 3000);
  const port = await app(t, (_, response) => response.end('back'));
  pool.apply([spec(port)], { replace: true });
  assert.equal((await send(proxy)).body, 'back');
});

void test('an endpoint that dies between requests costs no request', async (t) => {
  const local = await http2App(t, (stream) => {
    stream.respond({ ':status': 200 });
    stream.end('local');
  });
  let close: () => void = () => {};
  const { port: proxy, pool } = await rig(t);
  const relay = await listen(t, (socket) => {
    void connectTcp(
      { host: '127.0.0.1', port: local, identity: undefined, gateway: false },
      { clock: systemClock, timeoutMs: 1000 },
    ).then((upstream) => {
      socket.pipe(upstream);
      upstream.pipe(socket);
      socket.on('close', () => upstream.destroy());
      close = () => socket.destroy();
    });
  });
  const remote = await http2App(t, (stream) => {
    stream.respond({ ':status': 200 });
    stream.end('remote');
  });
  pool.apply([carried(relay.port), carried(remote, { tier: 1 })], { replace: true });
  assert.equal((await send(proxy)).body, 'local');
  relay.server.close();
  close();
  const bodies: string[] = [];
  for (let request = 0; request < 40; request++) {
    const answer = await send(proxy);
    assert.equal(answer.status, 200, `request ${request}: ${String(answer.headers['l5d-proxy-error'])}`);
    bodies.push(answer.body);
  }
  assert.deepEqual(new Set(bodies), new Set(['remote']));
});

void test('a reader that stops bounds what is read from the endpoint', async (t) => {
  const total = 64 * 1024 * 1024;
  let written = 0;
  const port = await app(t, (_, response) => {
    const piece = Buffer.alloc(65_536);
    const pump = (): void => {
      while (written < total) {
        written += piece.length;
        if (!response.write(piece)) {
          response.once('drain', pump);
          return;
        }
      }
      response.end();
    };
    pump();
  });
  const { port: proxy, pool } = await rig(t);
  pool.apply([spec(port)], { replace: true });
  const received = await new Promise<number>((resolve, reject) => {
    const sent = httpRequest({ host: '127.0.0.1', port: proxy, agent: false }, (response) => {
      response.pause();
      setTimeout(() => {
        const atPause = written;
        assert.ok(atPause < 24 * 1024 * 1024, `${atPause} bytes were taken from the endpoint`);
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
        });
        response.on('end', () => resolve(bytes));
        response.resume();
      }, 400);
    });
    sent.on('error', reject);
    sent.end();
  });
  assert.equal(received, total);
});

void test('a client that leaves cancels its request at the endpoint', async (t) => {
  let seen = false;
  let gone = false;
  const port = await http2App(t, (stream) => {
    seen = true;
    stream.on('close', () => {
      gone = true;
    });
  });
  const { port: proxy, pool } = await rig(t);
  pool.apply([carried(port)], { replace: true });
  const sent = httpRequest({ host: '127.0.0.1', port: proxy, agent: false });
  sent.on('error', () => {});
  sent.end();
  const member = [...pool.members()][0];
  await eventually('the endpoint has the request', () => seen);
  assert.equal(member?.inFlight, 1);
  sent.destroy();
  await eventually('the endpoint saw the cancellation', () => gone);
  assert.equal(member?.inFlight, 0);
});

void test('a client that leaves while its connection is awaited is counted as a request that reached no endpoint', async (t) => {
  const {
    port: proxy,
    pool,
    registry,
  } = await rig(t, { connector: { connect: () => new Promise(() => {}) } });
  pool.apply([spec(closedPort)], { replace: true });
  const sent = httpRequest({ host: '127.0.0.1', port: proxy, agent: false });
  sent.on('error', () => {});
  sent.end();
  await eventually('the request waits', () => pool.inFlight === 1);
  sent.destroy();
  await eventually('it has left', () => pool.inFlight === 0);
  const counted = registry.render().match(/^(request|response)_total.*$/gm);
  assert.deepEqual(counted, [
    'request_total{direction="outbound"} 1',
    'response_total{direction="outbound",status_code="",classification="failure",grpc_status="",error="cancel"} 1',
  ]);
});

for (const waitsFor of ['a connection', 'an endpoint'] as const) {
  void test(`who waits for ${waitsFor} and ends with another that is told before it is over`, async (t) => {
    const metrics = new HttpMetrics(new MetricRegistry());
    let reject: (fault: Error) => void = () => {};
    const connect = (): Promise<never> => new Promise((_, fail) => (reject = fail));
    // Room for one: the second that is sent to the endpoint is refused.
    const limits = waitsFor === 'an endpoint' ? { connect_waiters: 1 } : {};
    const made = await rig(t, { connector: { connect }, limits });
    const context: ForwardContext = {
      ...made,
      clock: systemClock,
      budget: new RetryBudget(systemClock),
      proxyName: 'inbound cart',
      refuseUnsent: true,
      cells: metrics.cells({}),
      countBy: 'client',
      retries: metrics.retries({ outcome: 'sent' }),
      retriesDenied: metrics.retries({ outcome: 'no_budget' }),
    };
    const open: StreamHandler[] = [];
    // As a connection that must not queue one more reset: it ends with all its streams.
    const stream: ServerStream = {
      ...{ inform() {}, respond() {}, write: () => true, end() {}, consume() {} },
      reset() {
        for (const request of open.splice(0)) request.onReset('closed');
      },
    };
    if (waitsFor === 'a connection') made.pool.apply([spec(closedPort)], { replace: true });
    for (let count = 0; count < 3; count++) {
      const head: RequestHead = {
        ...{ method: 'GET', scheme: 'http', authority: 'cart', path: '/', headers: [], upgrade: '' },
        version: 20,
      };
      open.push(forward(context, { stream, head, end: true, restored: '' }));
    }
    assert.equal(made.pool.inFlight + made.pool.waiting, 3);
    if (waitsFor === 'a connection') reject(new ConnectError('nobody there', { kind: 'refused' }));
    else made.pool.apply([spec(closedPort)], { replace: true });
    await eventually('one is told', () => open.length === 0);
    assert.equal(made.pool.inFlight, 0);
  });
}

void test('an endpoint that only fails is left, but not for ever', async (t) => {
  const clock = new FakeClock();
  const asked = { good: 0, bad: 0 };
  const good = await app(t, (_, response) => {
    asked.good++;
    // Slow enough that the balancer prefers the one that fails.
    clock.advance(60);
    response.end('good');
  });
  const bad = await app(t, (_, response) => {
    asked.bad++;
    response.statusCode = 500;
    response.end('bad');
  });
  const { port: proxy, pool } = await rig(t, { clock });
  pool.apply([spec(good), spec(bad)], { replace: true });
  for (let request = 0; request < 16; request++) await send(proxy);
  assert.equal(asked.bad, 7);
  assert.equal(asked.good, 9);
  assert.equal(pool.ready, 1);
});

void test('an ejected endpoint is back once an answer begins, however long it lasts', async (t) => {
  const clock = new FakeClock();
  const good = await app(t, (_, response) => {
    clock.advance(60);
    response.end('good');
  });
  let recovered = false;
  const bad = await app(t, (_, response) => {
    response.statusCode = recovered ? 200 : 500;
    if (recovered) response.write('the first of many events');
    else response.end('bad');
  });
  const { port: proxy, pool } = await rig(t, { clock });
  pool.apply([spec(good), spec(bad)], { replace: true });
  for (let request = 0; request < 16; request++) await send(proxy);
  assert.equal(pool.ejected, 1);
  recovered = true;
  clock.advance(1500);
  const events = httpRequest({ port: proxy, host: '127.0.0.1', agent: false }).end();
  t.after(() => events.destroy());
  const [response] = (await once(events, 'response')) as [IncomingMessage];
  response.on('error', () => {});
  assert.equal(response.statusCode, 200);
  assert.equal(pool.inFlight, 1);
  assert.equal(pool.ejected, 0);
});

void test('the only endpoint is kept however it fails', async (t) => {
  const port = await app(t, (_, response) => {
    response.statusCode = 500;
    response.end();
  });
  const { port: proxy, pool } = await rig(t);
  pool.apply([spec(port)], { replace: true });
  for (let request = 0; request < 20; request++) assert.equal((await send(proxy)).status, 500);
  assert.equal(pool.ready, 1);
});

void test('a connection that its endpoint replaces refuses many requests and is one sign of trouble', async (t) => {
  const answer = (streamId: number): Buffer => frame(HEADERS, 5, streamId, block(':status', '200'));
  let first: Socket | undefined;
  let crossing = 0;
  const { port } = await listen(t, (socket) => {
    const replaced = first === undefined;
    first ??= socket;
    socket.write(settings());
    socket.on('data', (chunk: Buffer) => {
      const bytes = chunk.indexOf(preface) === 0 ? chunk.subarray(preface.length) : chunk;
      for (const { type, streamId } of framesIn(bytes)) {
        if (type !== HEADERS) continue;
        if (replaced && streamId > 1) crossing++;
        else socket.write(answer(streamId));
      }
    });
  });
  const beside = await http2App(t, (stream) => {
    stream.respond({ ':status': 200 });
    stream.end();
  });
  const { port: proxy, pool, registry } = await rig(t, { serves: 'http2' });
  pool.apply([spec(port)], { replace: true });
  assert.equal((await sendHttp2(proxy)).status, 200);
  const answers = Array.from({ length: 20 }, () => sendHttp2(proxy));
  await eventually('all are under way', () => crossing === 20);
  pool.apply([spec(beside)], { replace: false });
  first?.end(frame(GOAWAY, 0, 0, u32(1, 0)));
  for (const { status } of await Promise.all(answers)) assert.equal(status, 200);
  assert.match(registry.render(), /mesh_retries_total\{direction="outbound",outcome="sent"\} 20/);
  assert.equal(pool.ejections, 0);
});

void test('an endpoint that refuses one request after the other is left', async (t) => {
  const port = await http2App(t, (stream) => stream.close(7));
  const beside = await http2App(t, (stream) => {
    stream.respond({ ':status': 200 });
    stream.end();
  });
  const { port: proxy, pool } = await rig(t);
  pool.apply([carried(port), carried(beside)], { replace: true });
  for (let request = 0; request < 40 && pool.ejections === 0; request++)
    assert.equal((await send(proxy)).status, 200);
  assert.equal(pool.ejections, 1);
});

void test('a body that was refused half-sent is sent again whole', async (t) => {
  let tries = 0;
  const port = await http2App(t, (stream) => {
    if (tries++ === 0) {
      stream.once('data', () => stream.close(7));
      return;
    }
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
  });
  const { port: proxy, pool } = await rig(t);
  pool.apply([carried(port)], { replace: true });
  const body = 'abcdefgh'.repeat(8000);
  assert.equal((await send(proxy, { method: 'POST', body })).body, body);
  assert.equal(tries, 2);
});

for (const [when, first] of [
  ['before the endpoint has the request', 0],
  ['behind its start', 1],
] as const) {
  void test(`a body beyond the replay limit is forwarded but not sent again: it comes ${when}`, async (t) => {
    let tries = 0;
    const port = await http2App(t, (stream) => {
      tries++;
      let received = 0;
      stream.on('data', (chunk: Buffer) => {
        received += chunk.length;
        if (received > 100_000) stream.close(7);
      });
    });
    const { port: proxy, pool, limits } = await rig(t);
    pool.apply([carried(port)], { replace: true });
    const sent = httpRequest({ host: '127.0.0.1', port: proxy, agent: false, method: 'POST' });
    sent.on('error', () => {});
    const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
    if (first > 0) {
      sent.write(Buffer.alloc(first));
      await eventually('the endpoint has the request', () => tries === 1);
    }
    sent.end(Buffer.alloc(1_000_000));
    const [response] = await answered;
    response.resume();
    assert.equal(response.statusCode, 502);
    assert.equal(tries, 1);
    assert.equal(limits.hits('replay_bytes'), 1);
  });
}

void test('a request given up after a long wait tells the balancer how long it was', async (t) => {
  const clock = new FakeClock();
  let seen = false;
  const port = await app(t, () => {
    seen = true;
  });
  const { port: proxy, pool } = await rig(t, { clock });
  pool.apply([spec(port)], { replace: true });
  const [member] = [...pool.members()];
  const sent = httpRequest({ host: '127.0.0.1', port: proxy, agent: false });
  sent.on('error', () => {});
  sent.end();
  await eventually('the endpoint has the request', () => seen);
  clock.advance(5000);
  sent.destroy();
  await eventually('it is given up', () => member?.inFlight === 0);
  assert.equal(member?.rttMs, 5000);
});

const crumbs = 60_000;
const crumbled = {
  http1: Buffer.from(
    `POST / HTTP/1.1\r\nhost: cart\r\ntransfer-encoding: chunked\r\n\r\n${'1\r\nx\r\n'.repeat(crumbs)}`,
  ),
  http2: Buffer.concat([
    preface,
    settings(),
    openRequest(1, [':method', 'POST', ':scheme', 'http', ':path', '/', ':authority', 'cart']),
    ...Array.from({ length: crumbs }, () => frame(DATA, 0, 1, 'x')),
  ]),
} as const;

for (const [version, bytes] of Object.entries(crumbled)) {
  void test(`${version}: a body that comes byte by byte does not cost a buffer for each while it may be sent again`, async (t) => {
    let received = 0;
    const count = (body: Readable): void =>
      void body.on('data', (chunk: Buffer) => (received += chunk.length));
    const port = version === 'http1' ? await app(t, count) : await http2App(t, count);
    const { port: proxy, pool } = await rig(t, { serves: version === 'http1' ? 'http1' : 'http2' });
    pool.apply([spec(port)], { replace: true });
    const client = await dialTcp(t, proxy);
    client.resume();
    const before = retainedBytes();
    client.write(bytes);
    await eventually('the endpoint has it', () => received === crumbs, { timeoutMs: 20_000 });
    // What was under way is let go of in turns.
    await eventually(`a few times ${crumbs} bytes are held`, () => retainedBytes() - before < 2_500_000);
  });
}
