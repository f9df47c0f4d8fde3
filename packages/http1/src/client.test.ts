import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type {
  ClientConnection,
  ClientHandler,
  ClientStream,
  Headers,
  RequestHead,
  ResetReason,
  ResponseHead,
} from '@mesh/http/message';
import { LimitLedger } from '@mesh/limits/limits';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { listen, socketPair } from '@mesh/testkit/servers';
import { connectHttp1 } from './client.ts';
import type { Http1Fault } from './faults.ts';
import { type Http1LimitName, http1Limits } from './limits.ts';

function requestHead(parts: Partial<RequestHead> = {}): RequestHead {
  return {
    method: 'GET',
    scheme: '',
    authority: 'cart',
    path: '/',
    headers: [],
    upgrade: '',
    version: 11,
    ...parts,
  };
}

/** One response as the owner saw it. */
class Seen implements ClientHandler {
  readonly events: string[] = [];
  body = 0;
  consumes = true;
  reset: ResetReason | undefined = undefined;
  stream: ClientStream | undefined = undefined;
  onInform(head: ResponseHead): void {
    this.events.push(`inform ${head.status}`);
  }
  onResponse(head: ResponseHead, end: boolean): void {
    this.events.push(`response ${head.status}${end ? ' end' : ''}`);
  }
  onData(chunk: Buffer): void {
    this.body += chunk.length;
    if (this.consumes) this.stream?.consume(chunk.length);
  }
  onEnd(trailers: Headers | null): void {
    this.events.push(`end ${JSON.stringify(trailers)}`);
  }
  onReset(reason: ResetReason): void {
    this.reset = reason;
    this.events.push(`reset ${reason}`);
  }
  onDrain(): void {
    this.events.push('drain');
  }
}

interface Connected {
  connection: ClientConnection;
  server: Socket;
  /** What the server received. */
  asked: { text: string };
  clock: FakeClock;
  limits: LimitLedger<Http1LimitName>;
  faults: Http1Fault[];
  ask(parts?: Partial<RequestHead>, end?: boolean): Seen;
}

async function connected(
  context: TestContext,
  values: Partial<Record<Http1LimitName, number>> = {},
): Promise<Connected> {
  const [client, server] = await socketPair(context);
  const asked = { text: '' };
  server.on('data', (chunk: Buffer) => (asked.text += chunk.toString('latin1')));
  const clock = new FakeClock();
  const limits = new LimitLedger<Http1LimitName>(http1Limits, values);
  const faults: Http1Fault[] = [];
  const connection = connectHttp1(client, { clock, limits, onFault: (fault) => faults.push(fault) });
  const ask = (parts: Partial<RequestHead> = {}, end = true): Seen => {
    const seen = new Seen();
    seen.stream = connection.request(requestHead(parts), end, seen);
    return seen;
  };
  return { connection, server, asked, clock, limits, faults, ask };
}

test('what a request looks like on the wire', async (context) => {
  const wire: [Partial<RequestHead>, string][] = [
    [{ path: '/a?b' }, 'GET /a?b HTTP/1.1\r\nhost: cart\r\n\r\n'],
    [{ scheme: 'http', path: '/a' }, 'GET http://cart/a HTTP/1.1\r\nhost: cart\r\n\r\n'],
    [{ scheme: 'http', path: '/a', version: 20 }, 'GET /a HTTP/1.1\r\nhost: cart\r\n\r\n'],
    [{ method: 'OPTIONS', path: '*' }, 'OPTIONS * HTTP/1.1\r\nhost: cart\r\n\r\n'],
    [{ method: 'OPTIONS', path: '*', scheme: 'http' }, 'OPTIONS http://cart HTTP/1.1\r\nhost: cart\r\n\r\n'],
    [{ method: 'POST' }, 'POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: 0\r\n\r\n'],
    [{ authority: '', version: 10 }, 'GET / HTTP/1.0\r\n\r\n'],
    [{ version: 10 }, 'GET / HTTP/1.1\r\nhost: cart\r\n\r\n'],
    [
      { headers: ['x', '1', 'connection', 'x', 'host', 'evil', 'transfer-encoding', 'chunked'] },
      'GET / HTTP/1.1\r\nhost: cart\r\nx: 1\r\n\r\n',
    ],
    [
      { headers: ['te', 'trailers'] },
      'GET / HTTP/1.1\r\nhost: cart\r\nte: trailers\r\nconnection: te\r\n\r\n',
    ],
    [
      { upgrade: 'websocket' },
      'GET / HTTP/1.1\r\nhost: cart\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
    ],
    [
      { method: 'CONNECT', path: '', authority: 'cart:80' },
      'CONNECT cart:80 HTTP/1.1\r\nhost: cart:80\r\n\r\n',
    ],
  ];
  for (const [parts, text] of wire) {
    const { ask, asked } = await connected(context);
    ask(parts);
    await eventually(text, () => asked.text === text);
  }
});

test('a request that cannot be sent as it is never reaches the wire', async (context) => {
  const unfit: Partial<RequestHead>[] = [
    { path: '/ HTTP/1.1\r\nx: y' },
    { path: 'a' },
    { path: '/\0' },
    { method: 'G T' },
    { method: '' },
    { authority: 'a\r\nb: c' },
    { authority: 'a b' },
    { headers: ['x', 'a\nb'] },
    { headers: ['x', 'a\0'] },
    { headers: ['x', '\u0100'] },
    { headers: ['x:', 'a'] },
    { headers: ['', 'a'] },
    { headers: ['X', 'a'] },
    { headers: ['content-length', '5, 5'] },
    { headers: ['content-length', '5'] },
    { headers: ['content-length', '0', 'content-length', '0'] },
    { method: 'CONNECT', path: '/', authority: 'cart:80' },
    { method: 'CONNECT', path: '/', upgrade: 'websocket' },
    { scheme: 'ftp' },
  ];
  const { ask, asked, connection, server } = await connected(context);
  for (const parts of unfit) {
    const seen = ask(parts);
    assert.deepEqual(seen.events, [], 'no call before request returned');
    await eventually('refused', () => seen.reset === 'protocol');
    assert.equal(connection.capacity, 1);
  }
  const seen = ask();
  server.write('HTTP/1.1 204 No Content\r\n\r\n');
  await eventually('answered', () => seen.events.length > 0);
  assert.equal(asked.text, 'GET / HTTP/1.1\r\nhost: cart\r\n\r\n');
});

test('responses that spoil the connection: the response stands, nobody gets what follows', async (context) => {
  const ok = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
  const scripts: Record<string, string> = {
    'extra bytes': `${ok}x`,
    'second response': `${ok}HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison`,
    'connection: close': 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok',
    'version 1.0': 'HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok',
  };
  for (const [name, script] of Object.entries(scripts)) {
    const { ask, connection, server } = await connected(context);
    const second = { asked: false };
    connection.onChange = () => {
      // As a pool does: the next request at the first chance.
      if (connection.capacity > 0) {
        second.asked = true;
        ask();
      }
    };
    const seen = ask();
    server.write(script);
    await eventually('answered', () => seen.events.includes('end null'));
    assert.deepEqual(seen.events, ['response 200', 'end null'], name);
    assert.ok(!connection.usable, name);
    assert.ok(!second.asked, name);
  }
});

test('bytes that nobody asked for close an idle connection', async (context) => {
  const { connection, server } = await connected(context);
  let changes = 0;
  connection.onChange = () => changes++;
  server.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
  await eventually('closed', () => !connection.usable);
  assert.ok(changes > 0);
});

test('malformed responses reset the exchange', async (context) => {
  const scripts: Record<string, [string, Http1Fault]> = {
    'length and chunked': [
      'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n',
      'length-and-chunked',
    ],
    'unasked 101': ['HTTP/1.1 101 S\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n', 'bad-upgrade'],
    'endless interim heads': ['HTTP/1.1 103 E\r\n\r\n'.repeat(17), 'too-many-informational'],
    garbage: ['hello\r\n\r\n', 'bad-status-line'],
  };
  for (const [name, [script, fault]] of Object.entries(scripts)) {
    const { ask, connection, server, faults } = await connected(context);
    const seen = ask();
    server.write(script);
    await eventually(name, () => seen.reset === 'protocol');
    assert.deepEqual(faults, [fault], name);
    assert.ok(!connection.usable, name);
  }
});

test('a response cut short is not a response', async (context) => {
  for (const script of [
    'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n',
    'HTTP/1.1 200 OK\r\ncontent-le',
    '',
  ]) {
    const { ask, asked, server } = await connected(context);
    const seen = ask();
    await eventually('asked', () => asked.text !== '');
    server.end(script);
    // The request was written: nobody can prove that it was not processed.
    await eventually(script, () => seen.reset === 'closed');
    assert.ok(!seen.events.some((event) => event.startsWith('end')));
  }
});

test('refused: only when not a byte of the request was written', async (context) => {
  const { port, server } = await listen(context, () => {});
  server.close();
  await once(server, 'close');
  const socket = connect(port, '127.0.0.1');
  const options = { clock: new FakeClock(), limits: new LimitLedger(http1Limits) };
  const connection = connectHttp1(socket, options);
  const seen = new Seen();
  connection.request(requestHead(), true, seen);
  await eventually('refused', () => seen.reset === 'refused');

  const unsent = await connected(context);
  const waiting = unsent.ask({ headers: ['content-length', '5'] }, false);
  unsent.connection.destroy();
  assert.equal(waiting.reset, 'refused');
  assert.equal(unsent.asked.text, '');

  const sent = await connected(context);
  const written = sent.ask();
  sent.connection.destroy();
  assert.equal(written.reset, 'closed');

  const late = sent.ask();
  await eventually('refused', () => late.reset === 'refused');
});

const crossings: readonly [what: string, method: string, reused: boolean, bytes: string, reason: string][] = [
  ['a safe request that met the end of an idle connection', 'GET', true, '', 'refused'],
  ['one that may have changed something', 'POST', true, '', 'closed'],
  ['one on a new connection, whose server did take it', 'GET', false, '', 'closed'],
  ['one whose response had begun', 'GET', true, 'HTTP/1.1 2', 'closed'],
  ['one that was informed', 'GET', true, 'HTTP/1.1 103 Early Hints\r\n\r\n', 'closed'],
];

test('refused: also when a request and the end of an idle connection crossed, if it is safe', async (context) => {
  for (const [what, method, reused, bytes, reason] of crossings) {
    const { ask, asked, connection, server } = await connected(context);
    if (reused) {
      const before = ask();
      await eventually('asked', () => asked.text.endsWith('\r\n\r\n'));
      server.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
      await eventually('answered', () => before.events.length === 1 && connection.capacity === 1);
      asked.text = '';
    }
    const seen = ask({ method });
    await eventually('asked', () => asked.text.endsWith('\r\n\r\n'));
    server.end(bytes);
    await eventually(what, () => seen.reset !== undefined);
    assert.equal(seen.reset, reason, what);
  }
});

test('an early response stands and the rest of the request is sent; the connection takes no other', async (context) => {
  const { ask, asked, connection, server } = await connected(context);
  const seen = ask({ method: 'POST' }, false);
  seen.stream?.write(Buffer.from('a'));
  await eventually('asked', () => asked.text.endsWith('1\r\na\r\n'));
  server.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
  await eventually('answered', () => seen.events.length === 1);
  assert.equal(connection.capacity, 0);
  seen.stream?.write(Buffer.from('b'));
  seen.stream?.end(null);
  assert.equal(connection.usable, false);
  await eventually('all sent', () => asked.text.endsWith('1\r\nb\r\n0\r\n\r\n'));
  await eventually('closed', () => server.readableEnded);
});

test('an early response stands, too, where the rest of the request meets a reset before it is read', async (context) => {
  const { ask, asked, connection, server } = await connected(context);
  const seen = ask({ method: 'POST', headers: ['content-length', '1000000'] }, false);
  seen.stream?.write(Buffer.alloc(10, 'a'));
  await eventually('asked', () => asked.text.endsWith('a'));
  server.write('HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbig');
  server.resetAndDestroy();
  // Leaves at once, so that nothing was read in between.
  seen.stream?.write(Buffer.alloc(65_536));
  assert.deepEqual(seen.events, []);
  await eventually('over', () => seen.reset !== undefined);
  assert.deepEqual(seen.events, ['response 413', 'end null', 'reset closed']);
  assert.equal(seen.body, 3);
  assert.equal(connection.usable, false);
});

test('what is read behind a failed write is bounded by what its reader takes', async (context) => {
  const { ask, asked, server } = await connected(context, { http1_body_window_bytes: 1000 });
  const seen = ask({ method: 'POST', headers: ['content-length', '1000000'] }, false);
  seen.consumes = false;
  seen.stream?.write(Buffer.alloc(10, 'a'));
  await eventually('asked', () => asked.text.endsWith('a'));
  server.write('HTTP/1.1 413 Content Too Large\r\ncontent-length: 100000\r\n\r\n');
  server.write(Buffer.alloc(100_000));
  server.resetAndDestroy();
  seen.stream?.write(Buffer.alloc(65_536));
  await eventually('over', () => seen.reset !== undefined);
  assert.deepEqual(seen.events, ['response 413', 'reset closed']);
  // One read, in which the window was used up.
  assert.ok(seen.body > 1000 && seen.body < 65_536, String(seen.body));
});

test('a body until the end of the connection', async (context) => {
  const { ask, connection, server } = await connected(context);
  const seen = ask();
  server.end('HTTP/1.1 200 OK\r\n\r\nhello');
  await eventually('ended', () => seen.events.includes('end null'));
  assert.equal(seen.body, 5);
  assert.ok(!connection.usable);
});

test('a response body is bounded by what its reader takes, and arrives whole', async (context) => {
  const total = 8 * 1024 * 1024;
  const { ask, server } = await connected(context);
  const seen = ask();
  seen.consumes = false;
  server.write(`HTTP/1.1 200 OK\r\ncontent-length: ${total}\r\n\r\n`);
  server.write(Buffer.alloc(total));
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
  seen.stream?.consume(seen.body);
  await eventually('all arrived', () => seen.events.includes('end null'));
  assert.equal(seen.body, total);
});

test('who waits for a slow server hears of it before the exchange is over', async (context) => {
  const { ask, server } = await connected(context);
  server.removeAllListeners('data');
  server.pause();
  const seen = ask({ method: 'POST', headers: [] }, false);
  // More than the kernel takes.
  assert.equal(seen.stream?.write(Buffer.alloc(16 * 1024 * 1024, 'x')), false);
  seen.stream.end(null);
  server.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
  await eventually('answered', () => seen.events.includes('end null'));
  assert.ok(seen.events.includes('drain'), seen.events.join(', '));
});

test('a head that trickles is cut off; waiting for its first byte is not', async (context) => {
  const { ask, asked, server, clock, limits } = await connected(context);
  const seen = ask();
  await eventually('asked', () => asked.text !== '');
  clock.advance(1_000_000);
  assert.equal(seen.reset, undefined);
  server.write('HTTP/1.1 200');
  await eventually('the timer runs', () => clock.pending === 1);
  clock.advance(10_000);
  assert.equal(seen.reset, 'protocol');
  assert.equal(limits.hits('http1_head_ms'), 1);
});

test('drain lets the response finish and closes', async (context) => {
  const { ask, connection, server } = await connected(context);
  const seen = ask();
  connection.drain();
  assert.ok(!connection.usable);
  const ended = once(server, 'end');
  server.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
  await ended;
  assert.deepEqual(seen.events, ['response 200 end']);
});

for (const [how, breakOff] of Object.entries({
  'its owner resets it': ({ stream }: Seen) => stream?.reset('cancel'),
  'the connection is cut': (_: Seen, connection: ClientConnection) => connection.destroy(),
})) {
  test(`a tunnel does not look to the server as if it had ended where ${how}`, async (context) => {
    const { ask, asked, connection, server } = await connected(context);
    const ends: string[] = [];
    server.on('end', () => ends.push('end')).on('error', ({ message }) => ends.push(message));
    const seen = ask({ method: 'CONNECT', authority: 'cart:1', path: '' }, false);
    await eventually('asked', () => asked.text.endsWith('\r\n\r\n'));
    server.write('HTTP/1.1 200 OK\r\n\r\n');
    await eventually('open', () => seen.events.length === 1);
    breakOff(seen, connection);
    await new Promise((resolve) => server.on('close', resolve));
    assert.deepEqual(ends, ['read ECONNRESET']);
  });
}

for (const who of ['server', 'owner'] as const) {
  test(`the end of a tunnel is none where the server reset it: the ${who}’s`, async (context) => {
    const [client, server] = await socketPair(context);
    const connection = connectHttp1(client, {
      clock: new FakeClock(),
      limits: new LimitLedger(http1Limits),
      resetUnseen: () => true,
    });
    const seen = new Seen();
    const head = requestHead({ method: 'CONNECT', authority: 'cart:1', path: '' });
    const stream = connection.request(head, false, seen);
    server.write('HTTP/1.1 200 OK\r\n\r\n');
    await eventually('open', () => seen.events.length === 1);
    if (who === 'server') server.end();
    else stream.end(null);
    await eventually('over', () => seen.reset !== undefined);
    assert.deepEqual(seen.events, ['response 200', 'reset closed']);
  });
}

test('a refused tunnel: what was sent ahead is dropped, and the connection takes no other request', async (context) => {
  const { ask, asked, connection, server } = await connected(context);
  const seen = ask({ upgrade: 'websocket' }, false);
  assert.equal(seen.stream?.write(Buffer.from('GET /smuggled HTTP/1.1\r\n\r\n')), false);
  seen.stream?.end(null);
  await eventually('asked', () => asked.text.endsWith('\r\n\r\n'));
  server.write('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n');
  await eventually('answered', () => seen.events.length > 0);
  await eventually('closed', () => server.readableEnded);
  assert.equal(connection.usable, false);
  assert.ok(!asked.text.includes('smuggled'));
  assert.equal(seen.events[0], 'response 403 end');
});
