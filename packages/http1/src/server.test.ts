import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type {
  Headers,
  RequestHead,
  RequestListener,
  ResetReason,
  ServerConnection,
  ServerStream,
  StreamHandler,
} from '@mesh/http/message';
import { LimitLedger } from '@mesh/limits/limits';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { assertNoLeaks } from '@mesh/testkit/leaks';
import { sweptBytes } from '@mesh/testkit/retained-bytes';
import { socketPair } from '@mesh/testkit/servers';
import { type Http1LimitName, http1Limits } from './limits.ts';
import { serveHttp1 } from './server.ts';

/** One request as the listener saw it. */
class Seen implements StreamHandler {
  readonly stream: ServerStream;
  readonly head: RequestHead;
  body = 0;
  trailers: Headers | null = null;
  ended: boolean;
  reset: ResetReason | undefined = undefined;
  drains = 0;
  consumes = true;
  constructor(stream: ServerStream, head: RequestHead, end: boolean) {
    this.stream = stream;
    this.head = head;
    this.ended = end;
  }
  onData(chunk: Buffer): void {
    this.body += chunk.length;
    if (this.consumes) this.stream.consume(chunk.length);
  }
  onEnd(trailers: Headers | null): void {
    this.trailers = trailers;
    this.ended = true;
  }
  onReset(reason: ResetReason): void {
    this.reset = reason;
  }
  onDrain(): void {
    this.drains++;
  }
}

interface Served {
  client: Socket;
  server: Socket;
  /** What the client received. */
  answer: { text: string };
  requests: Seen[];
  connection: ServerConnection;
  clock: FakeClock;
  limits: LimitLedger<Http1LimitName>;
  closes: { count: number };
}

async function serve(
  context: TestContext,
  onSeen: (seen: Seen) => void = () => {},
  isReset: (socket: Socket) => boolean = () => false,
): Promise<Served> {
  const [client, server] = await socketPair(context);
  const answer = { text: '' };
  client.on('data', (chunk: Buffer) => (answer.text += chunk.toString('latin1')));
  const requests: Seen[] = [];
  const closes = { count: 0 };
  const listener: RequestListener = {
    onRequest: (stream, head, end) => {
      const seen = new Seen(stream, head, end);
      requests.push(seen);
      onSeen(seen);
      return seen;
    },
    onClose: () => closes.count++,
  };
  const clock = new FakeClock();
  const limits = new LimitLedger(http1Limits);
  const connection = serveHttp1(server, listener, { clock, limits, isReset });
  return { client, server, answer, requests, connection, clock, limits, closes };
}

function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`;
}

const ok = { status: 200, headers: [] };

test('pipelined requests reach the listener one by one and are answered in order', async (context) => {
  assertNoLeaks(context);
  const { client, answer, requests } = await serve(context);
  client.write(['/1', '/2', '/3'].map(get).join(''));
  for (let index = 0; index < 3; index++) {
    const seen = await eventually('the next request', () => requests[index], { intervalMs: 1 });
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(requests.length, index + 1);
    seen.stream.respond({ status: 200, headers: ['x-path', seen.head.path] }, true);
  }
  await eventually('all answers', () => answer.text.split('HTTP/1.1 200').length === 4);
  assert.deepEqual(answer.text.match(/x-path: (.*)/g), ['x-path: /1', 'x-path: /2', 'x-path: /3']);
});

test('what is pipelined behind a request is held up to its limit, and served once that is answered', async (context) => {
  assertNoLeaks(context);
  const { client, requests, limits } = await serve(context, ({ stream, head }) => {
    if (head.path !== '/first') stream.respond(ok, true);
  });
  const rest = Array.from({ length: 10_000 }, () => get('/'));
  client.write(get('/first') + rest.join(''));
  await eventually('the limit is reached', () => limits.hits('http1_pipelined_bytes') > 0);
  assert.equal(requests.length, 1);
  requests[0]?.stream.respond(ok, true);
  await eventually('all are served', () => requests.length === 10_001);
});

test('a thousand pipelined requests that are answered at once neither recurse nor mix', async (context) => {
  const { client, answer } = await serve(context, ({ stream, head }) => {
    stream.respond({ status: 200, headers: ['x-path', head.path] }, true);
  });
  const paths = Array.from({ length: 1000 }, (_, index) => `/${index}`);
  client.write(paths.map(get).join(''));
  await eventually('all answers', () => answer.text.includes('x-path: /999\r\n'));
  assert.deepEqual(
    answer.text.match(/x-path: .*/g),
    paths.map((path) => `x-path: ${path}`),
  );
});

test('head and first bytes leave in one write', async (context) => {
  const [client, server] = await socketPair(context);
  let writes = 0;
  const write = server._write.bind(server);
  server._write = (chunk, encoding, callback) => {
    writes++;
    write(chunk, encoding, callback);
  };
  const listener: RequestListener = {
    onRequest: (stream, head, end) => {
      const seen = new Seen(stream, head, end);
      setImmediate(() => {
        stream.respond(ok, false);
        stream.write(Buffer.from('hello'));
        stream.end(null);
      });
      return seen;
    },
    onClose: () => {},
  };
  serveHttp1(server, listener, { clock: new FakeClock(), limits: new LimitLedger(http1Limits) });
  client.write(get('/'));
  const [chunk] = (await once(client, 'data')) as [Buffer];
  assert.equal(
    chunk.toString(),
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  );
  assert.equal(writes, 1);
});

test('a request body is bounded by what its reader takes, and arrives whole', async (context) => {
  assertNoLeaks(context);
  const total = 8 * 1024 * 1024;
  const { client, answer, requests } = await serve(context, (seen) => (seen.consumes = false));
  client.write(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${total}\r\n\r\n`);
  client.write(Buffer.alloc(total));
  const seen = await eventually('the request', () => requests[0]);
  let last = -1;
  await eventually(
    'reading stopped',
    () => {
      const stopped = seen.body > 0 && seen.body === last;
      last = seen.body;
      return stopped;
    },
    { intervalMs: 50 },
  );
  const window = http1Limits.http1_body_window_bytes.default;
  assert.ok(seen.body >= window && seen.body <= window + 64 * 1024, `${seen.body} bytes`);
  seen.consumes = true;
  // Given back byte by byte at first, as the contract allows.
  for (let index = 0; index < 1000; index++) seen.stream.consume(1);
  seen.stream.consume(seen.body - 1000);
  await eventually('all arrived', () => seen.ended);
  assert.equal(seen.body, total);
  seen.stream.respond(ok, true);
  await eventually('answered', () => answer.text.startsWith('HTTP/1.1 200'));
});

test('a slow reader stops the writer; nothing piles up here', async (context) => {
  assertNoLeaks(context);
  const chunk = Buffer.alloc(64 * 1024, 'x');
  const rounds = 256;
  let sent = 0;
  let seen: Seen | undefined;
  const send = (): void => {
    while (sent < rounds) {
      sent++;
      if (!(seen as Seen).stream.write(chunk)) return;
    }
    (seen as Seen).stream.end(null);
  };
  const { client, requests } = await serve(context, (request) => {
    seen = request;
    request.onDrain = () => {
      request.drains++;
      send();
    };
    request.stream.respond(
      { status: 200, headers: ['content-length', String(rounds * chunk.length)] },
      false,
    );
    send();
  });
  client.removeAllListeners('data');
  client.pause();
  client.write(get('/'));
  await eventually('asked', () => requests.length === 1);
  let last = -1;
  await eventually(
    'writing stopped',
    () => {
      const stopped = sent > 0 && sent === last;
      last = sent;
      return stopped;
    },
    { intervalMs: 100 },
  );
  assert.ok(sent < rounds, `${sent} of ${rounds} chunks were taken while nobody read`);
  let received = 0;
  client.on('data', (bytes: Buffer) => (received += bytes.length));
  client.resume();
  await eventually('all received', () => received > rounds * chunk.length);
  assert.ok((requests[0]?.drains ?? 0) > 0);
});

test('who waits for a slow reader hears of it after the end of the response, too', async (context) => {
  assertNoLeaks(context);
  // More than the kernel takes.
  const chunk = Buffer.alloc(16 * 1024 * 1024, 'x');
  const overfill = ({ stream }: Seen): void => {
    stream.respond({ status: 200, headers: [] }, false);
    assert.equal(stream.write(chunk), false);
    stream.end(null);
  };
  const { client, requests } = await serve(context, overfill);
  client.pause();
  client.write(get('/'));
  await eventually('asked', () => requests.length === 1);
  assert.equal(requests[0]?.drains, 0);
  client.write(get('/next'));
  let taken = 0;
  client.on('data', (bytes: Buffer) => {
    taken += bytes.length;
    // Of the next response too little is taken for all of it to leave.
    if (taken >= chunk.length) client.pause();
  });
  client.resume();
  await eventually('the response was taken', () => requests[0]?.drains === 1);
  await eventually('the connection goes on', () => requests.length === 2);
  client.destroy();
  await eventually('a reader that leaves is told of, too', () => requests[1]?.reset === 'closed');
  assert.equal(requests[1]?.drains, 0);
  assert.equal(requests[0]?.reset, undefined);
});

test('a response that is complete reaches a client that has closed its half', async (context) => {
  assertNoLeaks(context);
  const chunk = Buffer.alloc(16 * 1024 * 1024, 'x');
  const { client, requests } = await serve(context, ({ stream }) => {
    stream.respond({ status: 200, headers: [] }, false);
    assert.equal(stream.write(chunk), false);
    stream.end(null);
  });
  client.removeAllListeners('data');
  client.pause();
  client.write(get('/'));
  await eventually('asked', () => requests.length === 1);
  let received = 0;
  client.on('data', (bytes: Buffer) => (received += bytes.length));
  client.end();
  client.resume();
  await eventually('all received', () => received > chunk.length);
  assert.equal(requests[0]?.drains, 1);
  assert.equal(requests[0]?.reset, undefined);
});

test('drain: the response says close, an idle connection ends at once', async (context) => {
  const busy = await serve(context);
  busy.client.write(get('/'));
  const seen = await eventually('the request', () => busy.requests[0]);
  assert.equal(busy.connection.activeStreams, 1);
  busy.connection.drain();
  seen.stream.respond(ok, true);
  await once(busy.client, 'end');
  assert.equal(busy.answer.text, 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
  busy.client.end();
  await eventually('closed', () => busy.closes.count === 1);

  const idle = await serve(context);
  idle.connection.drain();
  await once(idle.client, 'end');
  assert.equal(idle.answer.text, '');
});

test('an idle connection does not keep the head of its last request', async (context) => {
  const connections = 50;
  const listener: RequestListener = {
    onRequest: (stream, head, end) => {
      stream.respond(ok, true);
      return new Seen(stream, head, end);
    },
    onClose: () => {},
  };
  const limits = new LimitLedger(http1Limits);
  const padding = 'y'.repeat(60_000);
  let before = 0;
  for (let each = 0; each <= connections; each++) {
    const [client, server] = await socketPair(context);
    serveHttp1(server, listener, { clock: new FakeClock(), limits });
    // A host long enough to be cut from the head instead of copied.
    client.write(`GET / HTTP/1.1\r\nhost: ${each}.cart.shop.svc.cluster.local\r\nx: ${padding}\r\n\r\n`);
    await once(client, 'data');
    if (each === 0) before = sweptBytes();
  }
  await eventually('a few KB are kept for each', () => sweptBytes() - before < connections * 20_000);
});

test('a client that leaves cancels its request', async (context) => {
  const { client, requests, closes } = await serve(context);
  client.write(get('/'));
  const seen = await eventually('the request', () => requests[0]);
  client.end();
  await eventually('cancelled', () => seen.reset === 'cancel');
  await eventually('closed', () => closes.count === 1);
  // A stream that is dead takes everything and does nothing.
  seen.stream.respond(ok, true);
  seen.stream.consume(1);
  seen.stream.reset('internal');
});

test('a body that breaks off, or is malformed, resets its request', async (context) => {
  for (const [rest, reason] of [
    ['5\r\nhel', 'cancel'],
    ['5\r\nhelloX', 'protocol'],
  ] as const) {
    const { client, answer, requests } = await serve(context);
    client.write('POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n');
    const seen = await eventually('the request', () => requests[0]);
    const closed = once(client, 'close');
    client.end(rest);
    await closed;
    assert.equal(seen.reset, reason);
    assert.equal(seen.ended, false);
    assert.equal(answer.text.startsWith('HTTP/1.1 400'), reason === 'protocol');
  }
});

test('an answer that is complete stands when the rest of the body is malformed', async (context) => {
  const { client, answer } = await serve(context, ({ stream }) =>
    stream.respond({ status: 503, headers: [] }, true),
  );
  client.write('POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nno size');
  await once(client, 'end');
  assert.match(answer.text, /^HTTP\/1.1 503 [^]*\r\n\r\n$/);
});

test('a body that is malformed behind a 100 (Continue) is answered', async (context) => {
  const { client, answer, requests } = await serve(context, ({ stream }) =>
    stream.inform({ status: 100, headers: [] }),
  );
  client.write('POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n');
  await eventually('it may go on', () => answer.text === 'HTTP/1.1 100 Continue\r\n\r\n');
  client.write('no size');
  await once(client, 'end');
  assert.match(answer.text, /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 400 [^]*\r\nconnection: close\r\n/);
  assert.equal(requests[0]?.reset, 'protocol');
});

test('reset: an unfinished response is cut, never made to look complete', async (context) => {
  const { client, answer } = await serve(context, ({ stream }) => {
    stream.respond(ok, false);
    stream.write(Buffer.alloc(5000, 'x'));
    setImmediate(() => stream.reset('cancel'));
  });
  client.write(get('/'));
  await once(client, 'close');
  assert.ok(!answer.text.includes('\r\n0\r\n'));
});

for (const who of ['client', 'owner'] as const) {
  test(`the end of a tunnel is none where the client reset it: the ${who}’s`, async (context) => {
    const [client, server] = await socketPair(context);
    const requests: Seen[] = [];
    const listener: RequestListener = {
      onRequest: (stream, head, end) => {
        const seen = new Seen(stream, head, end);
        requests.push(seen);
        stream.respond(ok, false);
        return seen;
      },
      onClose: () => {},
    };
    const clock = new FakeClock();
    serveHttp1(server, listener, { clock, limits: new LimitLedger(http1Limits), resetUnseen: () => true });
    client.write('CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n');
    await once(client, 'data');
    const [seen] = requests;
    if (who === 'client') client.end();
    else seen?.stream.end(null);
    await eventually('over', () => seen?.reset === 'closed');
    assert.equal(seen?.ended, false);
  });
}

const brokenOff: Record<string, (served: Served) => void> = {
  'its owner resets it': ({ requests }) => requests[0]?.stream.reset('closed'),
  'the connection is cut': ({ connection }) => connection.destroy(),
  'the client that reads it has ended its half': ({ client }) => client.end(),
};

for (const [how, breakOff] of Object.entries(brokenOff)) {
  for (const [what, request, status] of [
    ['a response that ends with the connection', 'GET / HTTP/1.0\r\n\r\n', 200],
    ['a tunnel', 'CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n', 200],
    ['an upgrade', 'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n', 101],
  ] as const) {
    // The end of a client's half is passed on in a tunnel.
    if (what !== 'a response that ends with the connection' && how.startsWith('the client')) continue;
    test(`${what} does not look whole where ${how}`, async (context) => {
      const served = await serve(context, ({ stream }) => {
        stream.respond({ status, headers: [] }, false);
        stream.write(Buffer.from('half'));
      });
      const { client, answer } = served;
      client.allowHalfOpen = true;
      const ends: string[] = [];
      client.on('end', () => ends.push('end')).on('error', ({ message }) => ends.push(message));
      client.write(request);
      await eventually('its half', () => answer.text.endsWith('half'));
      breakOff(served);
      await new Promise((resolve) => client.on('close', resolve));
      assert.deepEqual(ends, ['read ECONNRESET']);
    });
  }
}

test('an answer before the body is complete stands when the rest is given up', async (context) => {
  const { client, answer } = await serve(context, ({ stream }) => {
    stream.respond({ status: 413, headers: [] }, true);
    stream.reset('cancel');
  });
  client.write(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n${'x'.repeat(100_000)}`);
  await once(client, 'end');
  assert.ok(answer.text.startsWith('HTTP/1.1 413 '));
});

test('an owner that breaks its word is told, and the client sees no complete response', async (context) => {
  const misuses: Record<string, (stream: ServerStream) => void> = {
    'header injection': (stream) => stream.respond({ status: 200, headers: ['x', 'a\r\nb: c'] }, true),
    'bad name': (stream) => stream.respond({ status: 200, headers: ['x y', 'a'] }, true),
    'upper-case name': (stream) => stream.respond({ status: 200, headers: ['X', 'a'] }, true),
    'bad length': (stream) => stream.respond({ status: 200, headers: ['content-length', '5, 5'] }, false),
    'length without body': (stream) =>
      stream.respond({ status: 200, headers: ['content-length', '5'] }, true),
    'status 99': (stream) => stream.respond({ status: 99, headers: [] }, true),
    'unasked 101': (stream) => stream.respond({ status: 101, headers: [] }, false),
    'body before head': (stream) => void stream.write(Buffer.from('x')),
    'too many bytes': (stream) => {
      stream.respond({ status: 200, headers: ['content-length', '1'] }, false);
      stream.write(Buffer.from('xx'));
    },
    'too few bytes': (stream) => {
      stream.respond({ status: 200, headers: ['content-length', '3'] }, false);
      stream.write(Buffer.from('xx'));
      stream.end(null);
    },
  };
  for (const [name, misuse] of Object.entries(misuses)) {
    const { client, answer, requests } = await serve(context, ({ stream }) => misuse(stream));
    client.write(get('/'));
    await once(client, 'close');
    assert.equal(requests[0]?.reset, 'internal', name);
    assert.equal(answer.text, '', name);
  }
});

test('connection fields of the owner are left out: framing is the codec’s', async (context) => {
  const { client, answer } = await serve(context, ({ stream }) => {
    stream.respond(
      {
        status: 200,
        headers: [
          'connection',
          'x',
          'transfer-encoding',
          'chunked',
          'keep-alive',
          '1',
          'upgrade',
          'h2c',
          'x',
          '1',
        ],
      },
      true,
    );
  });
  client.write(get('/'));
  await eventually('answered', () => answer.text.endsWith('\r\n\r\n'));
  assert.equal(answer.text, 'HTTP/1.1 200 OK\r\nx: 1\r\ncontent-length: 0\r\n\r\n');
});

test('deadlines: head, idle, body, a reader that takes nothing, and a FIN that is never answered', async (context) => {
  const slow = await serve(context);
  slow.client.write('GET / HT');
  await eventually('the head began', () => slow.server.bytesRead === 8);
  slow.clock.advance(9_000);
  slow.client.write('TP/1.1\r\n');
  await eventually('the head went on', () => slow.server.bytesRead === 16);
  slow.clock.advance(1_000);
  await once(slow.client, 'end');
  assert.ok(slow.answer.text.startsWith('HTTP/1.1 408 '));
  assert.equal(slow.limits.hits('http1_head_ms'), 1);

  const idle = await serve(context);
  idle.clock.advance(599_999);
  assert.equal(idle.limits.hits('http1_idle_ms'), 0);
  idle.clock.advance(1);
  await once(idle.client, 'end');
  assert.equal(idle.answer.text, '');
  assert.equal(idle.limits.hits('http1_idle_ms'), 1);

  const stalled = await serve(context);
  stalled.client.write('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhel');
  const seen = await eventually('the body began', () => stalled.requests.find(({ body }) => body === 3));
  stalled.clock.advance(300_000);
  assert.equal(seen.reset, 'timeout');
  assert.equal(stalled.limits.hits('http1_stall_ms'), 1);

  const deaf = await serve(context, (request) => {
    request.stream.respond(ok, false);
    request.onDrain = () => {
      while (request.stream.write(Buffer.alloc(64 * 1024)));
    };
    request.onDrain();
  });
  deaf.client.pause();
  deaf.client.write(get('/'));
  const unread = await eventually('the request', () => deaf.requests[0]);
  let written = -1;
  await eventually(
    'nothing moves',
    () => {
      const still = written === deaf.server.bytesWritten;
      written = deaf.server.bytesWritten;
      return still;
    },
    { intervalMs: 100 },
  );
  deaf.clock.advance(300_000);
  assert.equal(unread.reset, 'timeout');
  assert.equal(deaf.limits.hits('http1_stall_ms'), 1);

  const lingering = await serve(context, ({ stream }) => stream.respond(ok, true));
  lingering.client.allowHalfOpen = true;
  lingering.client.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
  await once(lingering.client, 'end');
  assert.equal(lingering.closes.count, 0);
  lingering.clock.advance(1_000);
  await eventually('cut', () => lingering.closes.count === 1);
  assert.equal(lingering.limits.hits('http1_linger_ms'), 1);

  // Waiting for the owner has no deadline here.
  const waiting = await serve(context);
  waiting.client.write(get('/'));
  const request = await eventually('the request', () => waiting.requests[0]);
  waiting.clock.advance(10_000_000);
  assert.equal(request.reset, undefined);
});

const stallMs = http1Limits.http1_stall_ms.default;

test('a WebSocket and a CONNECT tunnel live on, however late they were accepted', async (context) => {
  const asks = [
    ['GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n', 101],
    ['CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n', 200],
  ] as const;
  for (const [ask, status] of asks) {
    const { client, answer, requests, clock, limits } = await serve(context);
    client.write(ask);
    const seen = await eventually('the request', () => requests[0]);
    // The owner has to reach its own server first: not within the read of the head.
    clock.advance(1_000);
    seen.stream.respond({ status, headers: [] }, false);
    await eventually('accepted', () => answer.text.includes(`HTTP/1.1 ${status} `));
    for (let half = 1; half <= 4; half++) {
      clock.advance(stallMs / 2);
      client.write('ping');
      seen.stream.write(Buffer.from('pong'));
      await eventually(
        'both ways',
        () => seen.body === 4 * half && answer.text.endsWith('pong'.repeat(half)),
      );
    }
    clock.advance(10 * stallMs);
    assert.equal(seen.reset, undefined);
    assert.equal(limits.hits('http1_stall_ms'), 0);
  }
});

test('a body in two reads, once complete, leaves its answer all the time it needs', async (context) => {
  for (const streams of [false, true]) {
    const { client, server, answer, requests, clock } = await serve(context);
    client.write('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n01234');
    const seen = await eventually('the body began', () => requests.find(({ body }) => body === 5));
    if (streams) seen.stream.respond(ok, false);
    // Each read has its own time.
    clock.advance(stallMs - 1);
    client.write('567');
    await eventually('the body went on', () => seen.body === 8);
    clock.advance(stallMs - 1);
    client.write('89');
    await eventually('the body ended', () => seen.ended);
    clock.advance(stallMs);
    if (streams) seen.stream.write(Buffer.from('event'));
    clock.advance(stallMs);
    assert.equal(seen.reset, undefined);
    assert.equal(server.destroyed, false);
    if (streams) seen.stream.end(null);
    else seen.stream.respond(ok, true);
    await eventually('answered', () => answer.text.endsWith(streams ? '\r\n0\r\n\r\n' : '\r\n\r\n'));
  }
});

test('a client that half-closes and leaves its answer unread has `http1_stall_ms`', async (context) => {
  const piece = Buffer.alloc(30_000);
  const { client, server, requests, clock, limits, closes } = await serve(context, ({ stream }) => {
    stream.respond({ status: 200, headers: ['content-length', `${piece.length}`] }, false);
    stream.write(piece);
    stream.end(null);
  });
  client.pause();
  for (let sent = 1; server.writableLength === 0; sent++) {
    client.write(get('/'));
    await eventually('answered', () => requests.length === sent, { intervalMs: 1 });
    await new Promise((resolve) => setImmediate(resolve));
  }
  client.end();
  await eventually('the FIN', () => server.readableEnded);
  clock.advance(stallMs - 1);
  assert.equal(server.destroyed, false);
  clock.advance(1);
  assert.equal(limits.hits('http1_stall_ms'), 1);
  await eventually('closed', () => closes.count === 1);
});

test('so has one that does it at the end of a tunnel', async (context) => {
  // What is left over fits into the socket, or the owner waits for the client, too.
  for (const bytes of [30_000, 16 * 1024 * 1024]) {
    const { client, server, requests, clock, limits, closes } = await serve(context);
    client.pause();
    client.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
    const seen = await eventually('the request', () => requests[0]);
    seen.stream.respond({ status: 101, headers: [] }, false);
    while (server.writableLength === 0) {
      seen.stream.write(Buffer.alloc(bytes));
      await new Promise((resolve) => setImmediate(resolve));
    }
    seen.stream.end(null);
    client.end();
    await eventually('both ends', () => seen.ended);
    clock.advance(stallMs - 1);
    assert.equal(server.destroyed, false);
    clock.advance(1);
    assert.equal(limits.hits('http1_stall_ms'), 1);
    await eventually('closed', () => closes.count === 1);
  }
});

test('a client that is held back is looked at, and let go once it is gone', async (context) => {
  const upload = 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 16777216\r\n\r\n';
  const upgrade = 'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';
  for (const ask of [get('/'), upload, upgrade]) {
    let gone = false;
    let looks = 0;
    const { client, server, requests, clock, limits } = await serve(
      context,
      (seen) => (seen.consumes = false),
      (socket) => {
        assert.equal(socket, server);
        looks++;
        return gone;
      },
    );
    client.write(ask);
    const seen = await eventually('the request', () => requests[0]);
    if (ask === upgrade) seen.stream.respond({ status: 101, headers: [] }, false);
    clock.advance(60_000);
    assert.equal(looks, 0, 'one that is read speaks for itself');
    client.write(Buffer.alloc(1024 * 1024, 'x'));
    await eventually('held back', () => server.isPaused());
    clock.advance(60_000);
    assert.equal(looks, 12);
    assert.equal(seen.reset, undefined);
    gone = true;
    clock.advance(5_000);
    assert.equal(seen.reset, 'closed');
    assert.equal(server.destroyed, true);
    assert.equal(limits.hits('http1_held_ms'), 1);
    assert.equal(clock.pending, 0);
  }
});

test('a slow reader is served while it reads, by an owner that writes as soon as it is told', async (context) => {
  const { client, server, requests, clock } = await serve(context, (request) => {
    request.stream.respond(ok, false);
    request.onDrain = () => {
      request.drains++;
      while (request.stream.write(Buffer.alloc(64 * 1024)));
    };
    request.onDrain();
  });
  client.pause();
  client.write(get('/'));
  const seen = await eventually('the request', () => requests[0]);
  for (let round = 0; round < 3; round++) {
    await eventually('the reader is waited for', () => server.writableNeedDrain);
    const { drains } = seen;
    clock.advance(stallMs - 1);
    client.resume();
    await eventually('it read', () => seen.drains > drains);
    client.pause();
  }
  assert.equal(seen.reset, undefined);
});

test('bytes that were put back into the socket are served', async (context) => {
  const [client, server] = await socketPair(context);
  client.write(get('/first'));
  server.pause();
  const [chunk] = (await once(
    server.on('readable', () => {}),
    'readable',
  ).then(() => [server.read()])) as [Buffer];
  server.removeAllListeners('readable');
  server.unshift(chunk);
  const path = await new Promise((resolve) => {
    serveHttp1(
      server,
      {
        onRequest: (stream, head, end) => {
          resolve(head.path);
          return new Seen(stream, head, end);
        },
        onClose: () => {},
      },
      { clock: new FakeClock(), limits: new LimitLedger(http1Limits) },
    );
  });
  assert.equal(path, '/first');
});
