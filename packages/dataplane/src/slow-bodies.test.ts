/** Request bodies that hardly come (slow POST): they may, until others need their places. Time moves only when told. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect as connectHttp2, constants } from 'node:http2';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { LimitLedger } from '@mesh/limits/limits';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { agedBytes } from '@mesh/testkit/retained-bytes';
import { dialTcp, listen } from '@mesh/testkit/servers';
import { dataplaneLimits } from './limits.ts';
import { type OpenBody, SlowBodies } from './slow-bodies.ts';
import { app, http2App, rig, send, sendHttp2, spec } from './testing/forwarding-rig.ts';

type Version = 'http1' | 'http2';

/** A request whose body the test writes. */
interface Upload {
  write(bytes: number): void;
  end(): void;
  /** 0 when the stream was cut. */
  readonly status: Promise<number>;
}

function upload(
  test: TestContext,
  { version, port, path }: { version: Version; port: number; path: string },
): Upload {
  if (version === 'http1') {
    const sent = httpRequest({ host: '127.0.0.1', port, agent: false, method: 'POST', path });
    sent.flushHeaders();
    test.after(() => sent.destroy());
    const status = once(sent, 'response').then(([response]) => {
      (response as NodeJS.ReadableStream).resume();
      return (response as { statusCode: number }).statusCode;
    });
    sent.on('error', () => {});
    return {
      write: (bytes) => sent.write('x'.repeat(bytes)),
      end: () => sent.end(),
      status: status.catch(() => 0),
    };
  }
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  test.after(() => session.destroy());
  const stream = session.request({ ':method': 'POST', ':path': path, ':authority': 'cart' });
  stream.on('error', () => {});
  stream.resume();
  const status = once(stream, 'response').then(([headers]) =>
    Number((headers as Record<string, unknown>)[':status']),
  );
  return {
    write: (bytes) => stream.write('x'.repeat(bytes)),
    end: () => stream.end(),
    status: status.catch(() => 0),
  };
}

/** Answers once a body is complete; under `/begun` at its beginning. `received` has the bytes of each path. */
async function receiver(
  test: TestContext,
  version: Version,
): Promise<{ port: number; received: Map<string, number> }> {
  const received = new Map<string, number>();
  const count = (path: string, bytes: number): void =>
    void received.set(path, (received.get(path) ?? 0) + bytes);
  const port =
    version === 'http1'
      ? await app(test, (request, response) => {
          const { url = '' } = request;
          count(url, 0);
          if (url === '/begun') response.flushHeaders();
          request.on('data', (chunk: Buffer) => count(url, chunk.length)).on('end', () => response.end());
          request.on('error', () => {});
        })
      : await http2App(test, (stream, headers) => {
          const url = String(headers[':path']);
          count(url, 0);
          if (url === '/begun') stream.respond({ ':status': 200 });
          stream.on('data', (chunk: Buffer) => count(url, chunk.length));
          stream.on('end', () => {
            if (stream.destroyed) return;
            if (!stream.headersSent) stream.respond({ ':status': 200 });
            stream.end();
          });
        });
  return { port, received };
}

for (const version of ['http1', 'http2'] as const) {
  const ask = version === 'http1' ? send : sendHttp2;

  void test(`${version}: a body that drips keeps its place until it is needed; others that wait, stream or are answered stay`, async (t) => {
    const clock = new FakeClock();
    const { port, received } = await receiver(t, version);
    const proxy = await rig(t, { serves: version, clock, limits: { in_flight_requests: 3 } });
    proxy.pool.apply([spec(port)], { replace: true });
    const start = (path: string): Upload => upload(t, { version, port: proxy.port, path });
    const [drip, steady, begun] = [start('/drip'), start('/steady'), start('/begun')];
    await eventually('all are with the application', () => received.size === 3);
    assert.equal(await begun.status, 200);
    assert.equal((await ask(proxy.port)).status, 503, 'no place is left');
    assert.equal(proxy.pool.bodies.size, 2, 'an answer that has begun is for the application to end');

    for (let second = 1; second <= 12; second++) {
      clock.advance(1000);
      drip.write(1);
      steady.write(300);
      begun.write(1);
      await eventually(
        'the bytes are through',
        () => received.get('/drip') === second && received.get('/steady') === 300 * second,
      );
      // Whoever is turned away makes the proxy look.
      if (second < 10) assert.equal((await ask(proxy.port)).status, 503);
    }
    assert.equal((await ask(proxy.port)).status, 200, 'there is room');
    assert.equal(await drip.status, 408);
    assert.equal(proxy.limits.hits('slow_body_bytes_per_s'), 1);
    steady.end();
    assert.equal(await steady.status, 200);
    begun.end();
    await eventually('nothing is left', () => proxy.pool.inFlight === 0 && proxy.pool.bodies.size === 0);
  });

  void test(`${version}: where places are left a body may drip as long as it likes`, async (t) => {
    const clock = new FakeClock();
    const { port, received } = await receiver(t, version);
    const proxy = await rig(t, { serves: version, clock, limits: { in_flight_requests: 10 } });
    proxy.pool.apply([spec(port)], { replace: true });
    const drip = upload(t, { version, port: proxy.port, path: '/drip' });
    await eventually('it is with the application', () => received.size === 1);
    for (let minute = 1; minute <= 20; minute++) {
      clock.advance(60_000);
      drip.write(1);
      await eventually('the byte is through', () => received.get('/drip') === minute);
      if (minute % 5 === 0) assert.equal((await ask(proxy.port)).status, 200);
    }
    drip.end();
    assert.equal(await drip.status, 200);
  });
}

void test('who waits for a connection, where no more may be opened, gets that of a body that drips, and only that', async (t) => {
  const clock = new FakeClock();
  const { port, received } = await receiver(t, 'http1');
  const proxy = await rig(t, { clock, limits: { http1_connections_per_endpoint: 3 } });
  proxy.pool.apply([spec(port)], { replace: true });
  const start = (path: string): Upload => upload(t, { version: 'http1', port: proxy.port, path });
  const [steady, drip, other] = [start('/steady'), start('/drip'), start('/other')];
  await eventually('all are with the application', () => received.size === 3);
  let answered = 0;
  void send(proxy.port).then(({ status }) => {
    answered = status;
  });
  await eventually('one waits', () => proxy.limits.hits('http1_connections_per_endpoint') === 1);
  for (let second = 1; second <= 10; second++) {
    assert.equal(answered, 0);
    steady.write(300);
    await eventually('the bytes are through', () => received.get('/steady') === 300 * second);
    clock.advance(1000);
  }
  await eventually('it waits no longer', () => answered === 200);
  assert.equal(proxy.limits.hits('slow_body_bytes_per_s'), 1);
  assert.equal(await Promise.race([drip.status, other.status]), 408);
  assert.match(
    proxy.registry.render(),
    /status_code="408",classification="failure",grpc_status="",error="proxy"\} 1\n/,
  );
  steady.end();
  assert.equal(await steady.status, 200);
  assert.equal(proxy.pool.bodies.size, 1, 'the other drips on');
});

void test('http1: a body that goes on after its answer leaves the connection to others, and its client loses nothing but the rest', async (t) => {
  const clock = new FakeClock();
  // Reads no body.
  const { port } = await listen(t, (socket) => {
    socket.on('data', (head: Buffer) => {
      const post = head.toString().startsWith('POST');
      if (post) socket.pause();
      socket.write(`HTTP/1.1 ${post ? '401 Unauthorized' : '200 OK'}\r\ncontent-length: 4\r\n\r\ndone`);
    });
  });
  const proxy = await rig(t, { clock, limits: { http1_connections_per_endpoint: 1 } });
  proxy.pool.apply([spec(port)], { replace: true });
  const client = await dialTcp(t, proxy.port);
  let answers = '';
  client.on('data', (chunk: Buffer) => {
    answers += chunk.toString();
  });
  const bytes = 16 << 20;
  client.write(`POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: ${bytes}\r\n\r\n`);
  client.write(Buffer.alloc(bytes - 1));
  await eventually('it is answered', () => /^HTTP\/1.1 401 [^]*done$/.test(answers));
  let other = 0;
  void send(proxy.port).then(({ status }) => {
    other = status;
  });
  await eventually('others wait', () => proxy.limits.hits('http1_connections_per_endpoint') === 1);
  clock.advance(4999);
  assert.equal(proxy.limits.hits('answered_body_ms'), 0);
  clock.advance(1);
  await eventually('others do not any more', () => other === 200);
  assert.equal(proxy.limits.hits('answered_body_ms'), 1);
  client.write('xGET / HTTP/1.1\r\nhost: cart\r\n\r\n');
  await eventually('its next request is served', () => /HTTP\/1.1 200 [^]*done$/.test(answers));
});

void test('the half of a tunnel that is still open is no body that goes on', async (t) => {
  const clock = new FakeClock();
  let received = '';
  const { port } = await listen(t, (socket) => {
    socket.once('data', () => {
      socket.end('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\nall said');
      socket.on('data', (chunk: Buffer) => {
        received += chunk.toString();
      });
    });
  });
  const proxy = await rig(t, { clock });
  proxy.pool.apply([spec(port)], { replace: true });
  const client = await dialTcp(t, proxy.port);
  client.allowHalfOpen = true;
  let answer = '';
  client.on('data', (chunk: Buffer) => {
    answer += chunk.toString();
  });
  client.write('GET / HTTP/1.1\r\nhost: cart\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n');
  await once(client, 'end');
  assert.match(answer, /^HTTP\/1.1 101 [^]*all said$/);
  clock.advance(6000);
  client.write('but not by us');
  await eventually('the other half carries on', () => received === 'but not by us');
});

void test('http1: the half of a tunnel that is still open ends when what it leads to is gone', async (t) => {
  const clock = new FakeClock();
  let application: Socket | undefined;
  const { port } = await listen(t, (socket) => {
    application = socket;
    socket.once('data', () =>
      socket.end('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\nall said'),
    );
  });
  const proxy = await rig(t, { clock });
  proxy.pool.apply([spec(port)], { replace: true });
  const client = await dialTcp(t, proxy.port);
  client.allowHalfOpen = true;
  client.resume();
  client.write('GET / HTTP/1.1\r\nhost: cart\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n');
  await once(client, 'end');
  application?.resetAndDestroy();
  await eventually('the client hears of it', () => {
    clock.advance(500);
    client.write('to nobody');
    return client.destroyed;
  });
});

void test('http2: the half of a tunnel that is still open ends when what it leads to is gone', async (t) => {
  const port = await http2App(t, (stream) => {
    stream.respond({ ':status': 200 });
    stream.end('all said', () => setImmediate(() => stream.session?.destroy()));
  });
  const proxy = await rig(t, { serves: 'http2' });
  proxy.pool.apply([spec(port)], { replace: true });
  const session = connectHttp2(`http://127.0.0.1:${proxy.port}`);
  session.on('error', () => {});
  t.after(() => session.destroy());
  const stream = session.request({ ':method': 'CONNECT', ':authority': 'cart:80' });
  stream.on('error', () => {}).resume();
  await new Promise((resolve) => stream.on('close', resolve));
  assert.equal(stream.rstCode, constants.NGHTTP2_CONNECT_ERROR);
});

void test('an upgrade waits for its answer, not for a body of its client, also where all places are taken', async (t) => {
  const clock = new FakeClock();
  let accept: () => void = () => {};
  const { port } = await listen(t, (socket) => {
    socket.once('data', () => {
      accept = () =>
        socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n');
    });
  });
  const proxy = await rig(t, { clock, limits: { in_flight_requests: 1 } });
  proxy.pool.apply([spec(port)], { replace: true });
  const client = await dialTcp(t, proxy.port);
  client.write('GET / HTTP/1.1\r\nhost: cart\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n');
  await eventually('it is with the application', () => proxy.pool.inFlight === 1);
  for (let second = 0; second < 15; second++) {
    assert.equal((await send(proxy.port)).status, 503);
    clock.advance(1000);
  }
  assert.equal(proxy.limits.hits('slow_body_bytes_per_s'), 0);
  const answered = once(client, 'data');
  accept();
  assert.match(String(await answered), /^HTTP\/1.1 101 /);
});

void test('a tunnel that was refused is a body that goes on: its stream to the endpoint is reset', async (t) => {
  const clock = new FakeClock();
  const ends: unknown[] = [];
  const port = await http2App(t, (stream) => {
    stream.respond({ ':status': 403 });
    stream.end('no');
    stream.resume();
    stream.on('close', () => ends.push(stream.rstCode));
  });
  const proxy = await rig(t, { serves: 'http2', clock });
  proxy.pool.apply([spec(port)], { replace: true });
  const session = connectHttp2(`http://127.0.0.1:${proxy.port}`);
  t.after(() => session.destroy());
  const stream = session.request({ ':method': 'CONNECT', ':authority': 'cart:80' });
  stream.resume();
  const [headers] = await once(stream, 'response');
  assert.equal(headers[':status'], 403);
  await once(stream, 'end');
  clock.advance(4999);
  assert.deepEqual([ends, proxy.limits.hits('answered_body_ms')], [[], 0]);
  clock.advance(1);
  await eventually('the endpoint is rid of it', () => ends[0] === constants.NGHTTP2_CANCEL);
});

void test('http2: a body that goes on after its answer is reset at the endpoint; one that ends in time is not', async (t) => {
  const clock = new FakeClock();
  const ends = new Map<string, number | undefined>();
  const port = await http2App(t, (stream, { ':path': path }) => {
    stream.respond({ ':status': 401 });
    stream.end('no');
    stream.resume();
    stream.on('close', () => ends.set(String(path), stream.rstCode));
  });
  const proxy = await rig(t, { serves: 'http2', clock });
  proxy.pool.apply([spec(port)], { replace: true });
  const [slow, quick] = ['/slow', '/quick'].map((path) =>
    upload(t, { version: 'http2', port: proxy.port, path }),
  );
  assert.deepEqual([await slow?.status, await quick?.status], [401, 401]);
  quick?.end();
  await eventually('the quick one is through', () => ends.get('/quick') === constants.NGHTTP2_NO_ERROR);
  clock.advance(5000);
  await eventually('the other is ended', () => ends.size === 2);
  assert.equal(ends.get('/slow'), constants.NGHTTP2_CANCEL);
  assert.equal(proxy.limits.hits('answered_body_ms'), 1);
});

void test('a body that the endpoint does not take is not the fault of its client', async (t) => {
  const clock = new FakeClock();
  const held = await app(t, (request) => {
    if (request.url !== '/held') request.resume().on('end', () => request.socket.destroy());
  });
  const proxy = await rig(t, { clock, limits: { in_flight_requests: 1 } });
  proxy.pool.apply([spec(held)], { replace: true });
  const client = upload(t, { version: 'http1', port: proxy.port, path: '/held' });
  client.write(8 * 1024 * 1024);
  await eventually('it is under way', () => proxy.pool.bodies.size === 1);
  for (let second = 0; second < 30; second++) {
    assert.equal((await send(proxy.port)).status, 503);
    clock.advance(1000);
  }
  assert.equal(proxy.limits.hits('slow_body_bytes_per_s'), 0);
});

void test('what was idle between two times of need is judged anew in the second', () => {
  const bodies = new SlowBodies(new LimitLedger(dataplaneLimits));
  let ended = 0;
  const body = { bodyBytes: 0, heldBack: false, place: -1, lane: undefined, endSlow: () => void ended++ };
  bodies.follow(body);
  bodies.look(0);
  const hour = 3_600_000;
  bodies.look(hour);
  assert.equal(bodies.end(), false);
  body.bodyBytes += 20_000;
  bodies.look(hour + 10_000);
  assert.equal(bodies.end(), false, 'it moves again');
  bodies.look(hour + 20_000);
  assert.equal(bodies.end(), true);
  assert.equal(ended, 1);
});

void test('what is followed is what was not forgotten, in whatever order, and each is ended once', () => {
  const step = fc.tuple(fc.nat({ max: 9 }), fc.boolean());
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), fc.array(fc.nat({ max: 9 })), (steps, leaving) => {
      const bodies = new SlowBodies(new LimitLedger(dataplaneLimits));
      const ended: number[] = [];
      const all = Array.from({ length: 10 }, (_, index) => ({
        bodyBytes: 0,
        heldBack: false,
        place: -1,
        lane: undefined,
        endSlow: () => void ended.push(index),
      }));
      const followed = new Set<number>();
      for (const [index, follow] of steps) {
        const body = all[index];
        assert.ok(body);
        if (follow) {
          bodies.follow(body);
          followed.add(index);
        } else {
          bodies.forget(body);
          followed.delete(index);
        }
        assert.equal(bodies.size, followed.size);
      }
      const { slow_body_ms: windowMs } = dataplaneLimits;
      for (const now of [0, windowMs.default, 2 * windowMs.default - 1]) bodies.look(now);
      for (const index of leaving) {
        const body = all[index];
        if (body !== undefined) bodies.forget(body);
        followed.delete(index);
      }
      assert.equal(bodies.end(), followed.size > 0);
      assert.deepEqual(ended.toSorted(), [...followed].toSorted());
    }),
  );
});

void test('bodies that are done are gone for the collector, too', async () => {
  const bodies = new SlowBodies(new LimitLedger(dataplaneLimits));
  const open: OpenBody[] = [];
  const aged = await agedBytes(() => {
    for (let count = 0; count < 64; count++) {
      const weight = Array.from({ length: 64 }, () => count);
      const body = { bodyBytes: 0, heldBack: false, place: -1, lane: undefined, endSlow() {}, weight };
      bodies.follow(body);
      open.push(body);
      const done = open.length > 32 ? open.shift() : undefined;
      if (done !== undefined) bodies.forget(done);
    }
  });
  assert.equal(bodies.size, open.length);
  assert.ok(aged < 500_000, `${aged} bytes grew old`);
});
