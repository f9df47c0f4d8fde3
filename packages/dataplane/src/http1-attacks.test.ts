/**
 * The attacks on HTTP/1 that are known by name, H1-1 to H1-14, against the forwarding path: each asserts the end of the
 * attacker, what it can make us hold, and that a victim on a connection of its own does not notice.
 * `npm run endurance -- http1-attacks` uses large numbers and reports the victim's latency.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, request as httpRequest } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { http1Faults } from '@mesh/http1/faults';
import type { RequestHead } from '@mesh/http/message';
import type { Http1LimitName } from '@mesh/http1/limits';
import { requestVectors } from '@mesh/http1/vectors/all';
import type { Vector } from '@mesh/http1/vectors/vector';
import { frame, openRequest, preface, request as http2Request, settings } from '@mesh/http2/testing/raw-peer';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { dialTcp, listen, listenHttp } from '@mesh/testkit/servers';
import { retainedBytes } from '@mesh/testkit/retained-bytes';
import { assertUnharmed, besideVictim } from '@mesh/testkit/victim';
import { restoreOriginal } from './l5d-headers.ts';
import { badBackends, serveBadly } from './testing/bad-backends.ts';
import { rig, type Rig, type RigOptions, spec } from './testing/forwarding-rig.ts';

const long = process.env['ENDURANCE'] === '1';

interface Seen {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly trailers: NodeJS.Dict<string>;
  readonly body: string;
}

interface Stage extends Rig {
  /** Requests of others than the victim that the application got whole. */
  readonly seen: Seen[];
  /** Runs the attack beside a victim, and reports the victim's latency in the long form. */
  attack(run: () => Promise<void>): Promise<void>;
}

/** GET of a path of its own; the answer must be the path. */
function victimOf(context: TestContext, port: number): () => Promise<void> {
  const agent = new Agent({ keepAlive: true });
  context.after(() => agent.destroy());
  let count = 0;
  return async () => {
    const path = `/victim/${count++}`;
    const sent = httpRequest({ host: '127.0.0.1', port, agent, path, headers: { host: 'a' } });
    sent.end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    let body = '';
    for await (const chunk of response) body += String(chunk);
    assert.equal(`${response.statusCode} ${body}`, `200 ${path}`);
  };
}

function attackBeside(context: TestContext, port: number): Stage['attack'] {
  const request = victimOf(context, port);
  const options = { ratePerSecond: 200 };
  return async (run) => {
    const before = await besideVictim(request, async () => {}, options);
    const report = await besideVictim(request, run, options);
    assertUnharmed(report);
    if (!long) return;
    const p99 = (latencies: readonly number[]): string =>
      (latencies.toSorted((a, b) => a - b)[Math.floor(0.99 * latencies.length)] ?? Number.NaN).toFixed(1);
    context.diagnostic(
      `victim: ${report.served} served, p99 ${p99(report.latenciesMs)} ms, before ${p99(before.latenciesMs)} ms`,
    );
  };
}

/** A proxy before an application on node:http that answers with the path. */
async function stage(context: TestContext, options: RigOptions = {}): Promise<Stage> {
  const seen: Seen[] = [];
  const application = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString('latin1')));
    request.on('end', () => {
      const path = request.url ?? '';
      if (!path.startsWith('/victim/')) {
        seen.push({ path, headers: request.headers, trailers: request.trailers, body });
      }
      response.end(path);
    });
  });
  const port = await listenHttp(context, application);
  const proxy = await rig(context, options);
  proxy.pool.apply([spec(port)], { replace: true });
  return { ...proxy, seen, attack: attackBeside(context, proxy.port) };
}

interface Attacker {
  readonly socket: Socket;
  readonly answer: () => string;
  readonly gone: Promise<unknown>;
}

async function attacker(context: TestContext, port: number): Promise<Attacker> {
  const socket = await dialTcp(context, port);
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
  return { socket, answer: () => answer, gone: once(socket, 'close') };
}

function refusedVectors(...subjects: string[]): Vector[] {
  return requestVectors.filter(({ subject, ends }) => subjects.includes(subject) && ends in http1Faults);
}

/**
 * Each vector ends its connection with its status; the application sees no request but those before the fault, and
 * never the one smuggled behind it.
 */
async function allRefused(context: TestContext, vectors: readonly Vector[], atLeast: number): Promise<void> {
  assert.ok(vectors.length >= atLeast, `${vectors.length} vectors`);
  const { port, seen, attack } = await stage(context);
  await attack(async () => {
    const before = retainedBytes();
    for (const vector of vectors) {
      const name = `${vector.subject}: ${vector.name}`;
      seen.length = 0;
      const { socket, answer, gone } = await attacker(context, port);
      socket.write(Buffer.from(vector.bytes, 'latin1'));
      socket.write('GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n');
      await gone;
      const { status } = http1Faults[vector.ends as keyof typeof http1Faults];
      assert.ok(answer().includes(`HTTP/1.1 ${status} `), `${name}: ${answer()}`);
      assert.equal(seen.length, vector.sees.length, name);
    }
    const kept = retainedBytes() - before;
    assert.ok(kept < 8 * 1024 * 1024, `${kept} bytes for attackers that are gone`);
  });
}

void test('H1-1: content-length and transfer-encoding that contradict each other', (context) =>
  allRefused(context, refusedVectors('content-length and transfer-encoding', 'several content-lengths'), 38));

void test('H1-2: transfer-encoding in disguise', (context) =>
  allRefused(context, refusedVectors('transfer-encoding'), 90));

void test('H1-3: content-length in disguise', (context) =>
  allRefused(context, refusedVectors('content-length'), 60));

void test('H1-4: chunk sizes', (context) =>
  allRefused(context, refusedVectors('chunk size', 'end of a chunk'), 60));

void test('H1-5: chunk extensions are bounded, and none goes on', async (context) => {
  await allRefused(context, refusedVectors('chunk extension'), 50);
  let wire = '';
  const { port } = await listen(context, (socket) => {
    socket.on('data', (chunk: Buffer) => {
      wire += chunk.toString('latin1');
      if (wire.endsWith('0\r\n\r\n')) socket.write('HTTP/1.1 204 No Content\r\n\r\n');
    });
  });
  const proxy = await rig(context);
  proxy.pool.apply([spec(port)], { replace: true });
  const { socket, answer } = await attacker(context, proxy.port);
  socket.write(
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a="b";c\r\nhello\r\n0;d\r\n\r\n',
  );
  await eventually('answered', () => answer().startsWith('HTTP/1.1 204 '));
  assert.equal(
    wire,
    'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  );
});

void test('H1-6: line ends, folds and white space', (context) => {
  const faults = new Set(['bare-line-feed', 'obs-fold', 'space-before-colon']);
  const subjects = [
    'obs-fold',
    'field name',
    'field value',
    'request line',
    'trailers',
    'pipelining',
    'chunk size',
  ];
  const vectors = refusedVectors(...subjects).filter(
    ({ ends, name }) => faults.has(ends) || /\bCR\b/.test(name),
  );
  return allRefused(context, vectors, 40);
});

void test('H1-7: every byte in names, values, methods, targets and hosts', (context) =>
  allRefused(
    context,
    requestVectors.filter(({ subject }) => subject.endsWith(' byte')),
    600,
  ));

void test('H1-8: hosts that two could read differently', (context) =>
  allRefused(context, refusedVectors('host', 'host field', 'absolute-form', 'authority-form'), 100));

void test('H1-9: what may not come behind a body does not, over HTTP/1 and HTTP/2', async (context) => {
  const h1 = await stage(context);
  const dropped = requestVectors.filter(({ name }) => name.endsWith(' is dropped'));
  assert.ok(dropped.length > 20);
  await h1.attack(async () => {
    for (const vector of dropped) {
      const { socket, answer } = await attacker(context, h1.port);
      socket.write(vector.bytes);
      await eventually(vector.name, () => answer().startsWith('HTTP/1.1 200 '), { intervalMs: 1 });
      assert.deepEqual({ ...h1.seen.pop()?.trailers }, { x: '1' }, vector.name);
      socket.destroy();
    }
  });
  const h2 = await stage(context, { serves: 'http2', onRequest: restore });
  const session = connectHttp2(`http://127.0.0.1:${h2.port}`);
  context.after(() => session.destroy());
  for (const name of [
    'authorization',
    'content-type',
    'content-encoding',
    'set-cookie',
    'l5d-client-id',
    'cookie',
  ]) {
    const stream = session.request({ ':method': 'POST', ':path': '/', ':authority': 'a' }, {
      waitForTrailers: true,
    } as object);
    stream.on('wantTrailers', () => stream.sendTrailers({ [name]: 'evil', x: '1' }));
    stream.end('x');
    await once(stream, 'response');
    stream.resume();
    await once(stream, 'end');
    assert.deepEqual({ ...h2.seen.pop()?.trailers }, { x: '1' }, name);
  }
});

void test('H1-10: expectations in disguise; a body that is held back is not waited for', async (context) => {
  await allRefused(context, refusedVectors('expect'), 20);
  const { port, seen, attack } = await stage(context);
  await attack(async () => {
    const { socket, answer, gone } = await attacker(context, port);
    // The application answers 100 and waits for a body; the client sends another request instead, as a body of 35 bytes.
    const next = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';
    socket.write(
      `POST /first HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: ${next.length}\r\n\r\n`,
    );
    await eventually('100', () => answer().startsWith('HTTP/1.1 100 Continue\r\n\r\n'));
    socket.end(next);
    await gone;
  });
  assert.ok(seen.every(({ path }) => path !== '/smuggled'));
});

/** As a sidecar does with HTTP/1 that was carried inside HTTP/2. */
function restore(head: RequestHead): void {
  restoreOriginal(head, { version: 11, absolute: false, text: '' });
}

const injected: readonly string[][] = [
  ...[
    'a\r\nx: y',
    'a\nx: y',
    'a\rx: y',
    'a\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n',
    'a\0b',
    '\r\n',
    '\n',
    'a\r',
  ].flatMap((value) => [
    ['x', value],
    ['cookie', value],
    ['content-type', value],
    ['user-agent', value],
  ]),
  ...[
    'x: y',
    'x:',
    ':x',
    'x y',
    'x\r\ny',
    'x\ny',
    'x\0',
    '',
    'X',
    'x\t',
    ' x',
    'x\x7f',
    '\xe4',
    'x:y\r\nz',
    'x"y',
    'x(y',
  ].map((name) => [name, 'a']),
  ['transfer-encoding', 'chunked'],
  ['transfer-encoding', 'identity'],
  ['connection', 'close'],
  ['connection', 'transfer-encoding'],
  ['keep-alive', 'timeout=5'],
  ['proxy-connection', 'close'],
  ['upgrade', 'h2c'],
  ['te', 'chunked'],
  ['content-length', '5'],
  ['content-length', '+0'],
  ['content-length', '0, 0'],
  ['content-length', '0', 'content-length', '5'],
  ['host', 'b'],
];

const pseudo = (method: string, path: string, authority: string): string[] => [
  ...[':method', method, ':scheme', 'http', ':path', path, ':authority', authority],
];

const badHeads: readonly string[][] = [
  ...[
    '/ HTTP/1.1\r\nx: y',
    '/\r\n\r\nGET /smuggled HTTP/1.1',
    '/a b',
    '/\0',
    '/\n',
    'a',
    '',
    '*',
    '/#a',
    'http://a/',
  ].map((path) => pseudo('GET', path, 'a')),
  ...['GET / HTTP/1.1\r\nx:', 'G T', 'GET\r\n', 'GET\n', '', 'GET\0', 'GET:'].map((method) =>
    pseudo(method, '/', 'a'),
  ),
  ...['a\r\nx: y', 'a b', 'u@a', 'a/b', 'a\0', 'a:', '[::1', 'a,b'].map((authority) =>
    pseudo('GET', '/', authority),
  ),
];

void test('H1-11: nothing in HTTP/2 becomes a second line or a second request in HTTP/1', async (context) => {
  let wire = '';
  const { port } = await listen(context, (socket) => {
    socket.on('data', (chunk: Buffer) => {
      wire += chunk.toString('latin1');
      socket.write('HTTP/1.1 204 No Content\r\n\r\n');
    });
  });
  const victims = await stage(context);
  const proxy = await rig(context, { serves: 'http2', onRequest: restore });
  proxy.pool.apply([spec(port)], { replace: true });
  const heads = [...injected.map((fields) => [...pseudo('GET', '/', 'a'), ...fields]), ...badHeads];
  assert.ok(heads.length >= 60, `${heads.length}`);
  await victims.attack(async () => {
    for (const head of heads) {
      wire = '';
      const socket = connect(proxy.port, '127.0.0.1');
      let closed = false;
      let bytes = 0;
      socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
      socket.on('error', () => {});
      socket.on('close', () => (closed = true));
      socket.write(Buffer.concat([preface, settings(), http2Request(1, head), http2Request(3)]));
      // The good request behind it, on the same connection unless that was ended, comes through alone.
      await eventually(JSON.stringify(head), () => closed || wire.includes('GET /silent '), {
        intervalMs: 1,
      });
      socket.destroy();
      const requests = wire.split('\r\n\r\n').filter((text) => text !== '');
      assert.ok(requests.length <= 2, `${JSON.stringify(head)} became ${wire}`);
      assert.ok(bytes > 0);
      for (const request of requests) {
        assert.match(
          request,
          /^GET \/(?:silent)? HTTP\/1\.1\r\nhost: (?:a|test\.local)(?:\r\n[a-z-]+: [^\r\n]*)*$/,
        );
        assert.ok(!/smuggled|x: y|transfer-encoding|\r\nconnection: (?!te)/.test(request), wire);
      }
    }
    // A body that does not keep to its length: not a byte beyond it goes on.
    for (const [length, body, beyond] of [
      ['5', 'hello world', ' world'],
      ['5', 'hi', undefined],
      ['0', 'surplus', 'surplus'],
    ] as const) {
      wire = '';
      const socket = connect(proxy.port, '127.0.0.1');
      socket.on('error', () => {});
      socket.resume();
      const head = [...pseudo('POST', '/', 'a'), 'content-length', length];
      socket.write(
        Buffer.concat([preface, settings(), openRequest(1, head), frame(0, 1, 1, body), http2Request(3)]),
      );
      await eventually('the next request', () => socket.destroyed || wire.includes('GET /silent '), {
        intervalMs: 1,
      });
      socket.destroy();
      if (beyond !== undefined) assert.ok(!wire.includes(beyond), wire);
    }
  });
});

void test('H1-12: slow heads, slow bodies and slow readers hold little, and not for long', async (context) => {
  const clock = new FakeClock();
  let asked = 0;
  const { port, codecs, seen } = await stage(context, { clock, onRequest: () => asked++ });
  const victims = await stage(context);
  const count = long ? 5000 : 300;
  await victims.attack(async () => {
    const before = retainedBytes();
    const slow: Attacker[] = [];
    for (let index = 0; index < count; index++) {
      const one = await attacker(context, port);
      one.socket.write(
        index % 2 === 0
          ? `GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(index % 1000)}`
          : 'POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx',
      );
      slow.push(one);
    }
    await eventually('all heads that are complete were read', () => asked === count / 2);
    // Both ends of each connection and the one to the application are in this process.
    const each = (retainedBytes() - before) / count;
    assert.ok(each < 64 * 1024, `${each} bytes for each slow connection`);
    const heads = slow.filter((_, index) => index % 2 === 0);
    const bodies = slow.filter((_, index) => index % 2 === 1);
    // One more byte now and then does not help them.
    for (let second = 0; second < 10; second++) {
      clock.advance(1000);
      for (const { socket } of heads) socket.write('y');
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(heads.map(({ gone }) => gone));
    assert.ok(heads.every(({ answer }) => answer().startsWith('HTTP/1.1 408 ')));
    assert.equal(codecs.http1Limits.hits('http1_head_ms'), heads.length);
    clock.advance(codecs.http1Limits.values.http1_stall_ms);
    await Promise.all(bodies.map(({ gone }) => gone));
    assert.equal(codecs.http1Limits.hits('http1_stall_ms'), bodies.length);
  });
  assert.deepEqual(seen, []);
});

void test('H1-12: a reader that takes nothing bounds what is read for it, and is left', async (context) => {
  const clock = new FakeClock();
  const size = 64 * 1024 * 1024;
  let sent = 0;
  const { port } = await listen(context, (socket) => {
    socket.on('data', () => {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`);
      const piece = Buffer.alloc(64 * 1024);
      const more = (): void => {
        while (sent < size && socket.write(piece)) sent += piece.length;
      };
      socket.on('drain', more);
      more();
    });
  });
  const proxy = await rig(context, { clock });
  proxy.pool.apply([spec(port)], { replace: true });
  const victims = await stage(context);
  await victims.attack(async () => {
    const before = retainedBytes();
    const { socket, gone } = await attacker(context, proxy.port);
    socket.pause();
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    let last = -1;
    await eventually(
      'the application is stopped',
      () => {
        const still = sent === last && sent > 0;
        last = sent;
        return still;
      },
      { intervalMs: 100 },
    );
    // Buffers let go of are swept on other threads, a moment after the collection.
    await eventually('what is held for a reader that takes nothing is bounded', () => {
      return retainedBytes() - before < 4 * 1024 * 1024;
    });
    assert.ok(sent < size / 2, `${sent} bytes were taken from the application`);
    clock.advance(proxy.codecs.http1Limits.values.http1_stall_ms);
    socket.resume();
    await gone;
    assert.equal(proxy.codecs.http1Limits.hits('http1_stall_ms'), 1);
  });
});

void test('H1-13: what a bad server says reaches nobody but who asked', async (context) => {
  const scripts = Object.entries(badBackends);
  assert.ok(scripts.length >= 24);
  const { port } = await listen(context, serveBadly);
  const proxy = await rig(context);
  proxy.pool.apply([spec(port)], { replace: true });
  const askBadly = async (): Promise<void> => {
    for (const [index, [name, { client }]] of scripts.entries()) {
      const { socket, answer } = await attacker(context, proxy.port);
      const closed = once(socket, 'close').then(() => true);
      socket.write(`POST /bad/${index} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`);
      if (client === undefined) await closed;
      else await eventually(name, () => answer().includes(`HTTP/1.1 ${client} `), { intervalMs: 1 });
      const cut = client === undefined && answer().endsWith('0\r\n\r\n');
      assert.ok(!cut, `${name} looks complete: ${answer()}`);
      assert.ok(!answer().includes('poison'), `${name}: ${answer()}`);
      socket.destroy();
    }
  };
  // Everybody shares the server and its connections with the attacker.
  const each = long ? 125_000 : 125;
  let busy = 8;
  const others = Array.from({ length: busy }, async () => {
    const request = victimOf(context, proxy.port);
    for (let count = 0; count < each; count++) await request();
    busy--;
  });
  await attackBeside(
    context,
    proxy.port,
  )(async () => {
    for (;;) {
      await askBadly();
      if (busy === 0) break;
    }
    await Promise.all(others);
  });
});

void test('H1-14: limits of heads, each with its status and its count', async (context) => {
  await allRefused(context, refusedVectors('number and size of fields'), 4);
  const { port, codecs, attack } = await stage(context);
  const cases: [limit: Http1LimitName, status: number, bytes: string][] = [
    ['http1_method_bytes', 501, `${'M'.repeat(33)} / HTTP/1.1\r\nHost: a\r\n\r\n`],
    ['http1_target_bytes', 414, `GET /${'a'.repeat(16_384)} HTTP/1.1\r\nHost: a\r\n\r\n`],
    ['http1_header_count', 431, `GET / HTTP/1.1\r\nHost: a\r\n${'x: 1\r\n'.repeat(100)}\r\n`],
    ['http1_head_bytes', 431, `GET / HTTP/1.1\r\nHost: a\r\nx: ${'y'.repeat(65_536)}\r\n\r\n`],
  ];
  await attack(async () => {
    for (const [limit, status, bytes] of cases) {
      const { socket, answer, gone } = await attacker(context, port);
      socket.write(bytes);
      await gone;
      assert.ok(answer().startsWith(`HTTP/1.1 ${status} `), `${limit}: ${answer()}`);
      assert.equal(codecs.http1Limits.hits(limit), 1);
    }
  });
});
