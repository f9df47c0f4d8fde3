import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import { LimitLedger } from '@mesh/limits/limits';
import { eventually } from '@mesh/testkit/eventually';
import { dialTcp, listen } from '@mesh/testkit/servers';
import { connectHttp2, type Http2ClientConnection } from './client.ts';
import { http2Limits } from './limits.ts';
import { serveHttp2 } from './server.ts';
import { EchoListener, requestHead, send } from './testing/exchange.ts';

function options() {
  return { clock: systemClock, limits: new LimitLedger(http2Limits) };
}

async function nodeClient(t: TestContext, listener: EchoListener): Promise<http2.ClientHttp2Session> {
  const { port } = await listen(t, (socket) => serveHttp2(socket, listener, options()));
  const session = http2.connect(`http://127.0.0.1:${port}`);
  t.after(() => session.destroy());
  session.on('error', () => {});
  await once(session, 'connect');
  return session;
}

async function ask(
  session: http2.ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders,
  body?: Buffer,
): Promise<{ status: number; body: Buffer; trailers: http2.IncomingHttpHeaders }> {
  const stream = session.request(headers, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  let status = 0;
  let trailers: http2.IncomingHttpHeaders = {};
  stream.on('response', (head) => {
    status = Number(head[':status']);
  });
  stream.on('trailers', (head) => {
    trailers = head;
  });
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return { status, body: Buffer.concat(chunks), trailers };
}

test('a node:http2 client gets heads, bodies and trailers from our server', async (t) => {
  const listener = new EchoListener();
  const session = await nodeClient(t, listener);
  const plain = await ask(session, { ':path': '/hello', 'x-a': 'one', cookie: ['a=1', 'b=2'] });
  assert.equal(plain.status, 200);
  assert.equal(plain.body.toString(), '/hello');
  assert.match(listener.heads[0]?.authority ?? '', /^127\.0\.0\.1:\d+$/);
  assert.ok(listener.heads[0]?.headers.includes('a=1; b=2'));
  const trailed = await ask(session, { ':path': '/trailers' });
  assert.equal(trailed.trailers['checksum'], 'abc');
});

test('a node:http2 client echoes 1 MiB through our server', async (t) => {
  const session = await nodeClient(t, new EchoListener());
  const body = Buffer.alloc(1 << 20);
  for (let at = 0; at < body.length; at += 4) body.writeUInt32BE(at, at);
  const answer = await ask(session, { ':path': '/echo', ':method': 'POST' }, body);
  assert.ok(answer.body.equals(body));
});

test('many concurrent streams of a node:http2 client are all answered', async (t) => {
  const session = await nodeClient(t, new EchoListener());
  await once(session, 'remoteSettings');
  const answers = await Promise.all(
    Array.from({ length: 300 }, (_, index) => ask(session, { ':path': `/n/${index}` })),
  );
  answers.forEach((answer, index) => assert.equal(answer.body.toString(), `/n/${index}`));
});

test('every byte that may stand in a value survives a node:http2 client and back', async (t) => {
  const listener = new EchoListener();
  const session = await nodeClient(t, listener);
  let text = '';
  for (let byte = 0x21; byte < 0x100; byte++) if (byte !== 0x7f) text += String.fromCharCode(byte);
  await ask(session, { ':path': '/bytes', 'x-bytes': text });
  assert.ok(listener.heads[0]?.headers.includes(text));
});

test('a reset by a node:http2 client reaches the handler', async (t) => {
  const listener = new EchoListener();
  const session = await nodeClient(t, listener);
  const stream = session.request({ ':path': '/silent' });
  stream.on('error', () => {});
  await eventually('request arrived', () => listener.heads.length === 1);
  stream.close(http2.constants.NGHTTP2_CANCEL);
  await eventually('reset arrived', () => listener.resets.length === 1);
  assert.deepEqual(listener.resets, ['cancel']);
});

test('draining our server lets a node:http2 client finish and then closes', async (t) => {
  const listener = new EchoListener();
  let drain = (): void => {};
  const { port } = await listen(t, (socket) => {
    const served = serveHttp2(socket, listener, options());
    drain = () => served.drain();
  });
  const session = http2.connect(`http://127.0.0.1:${port}`);
  t.after(() => session.destroy());
  const goaways: number[] = [];
  session.on('goaway', (_code, last) => goaways.push(last ?? -1));
  const stream = session.request({ ':path': '/silent' });
  stream.on('error', () => {});
  await eventually('request arrived', () => listener.streams.length === 1);
  drain();
  await eventually('two GOAWAY frames', () => goaways.length === 2);
  assert.deepEqual(goaways, [0x7fffffff, 1]);
  listener.streams[0]?.respond({ status: 204, headers: [] }, true);
  const [head] = await once(stream, 'response');
  assert.equal(head[':status'], 204);
  if (!session.closed) await once(session, 'close');
  await eventually('the connection is gone', () => listener.closed === 1);
});

test('a node:http2 client that does not read holds little of our memory', async (t) => {
  const listener = new EchoListener();
  const session = await nodeClient(t, listener);
  const stream = session.request({ ':path': '/silent' });
  stream.pause();
  await eventually('request arrived', () => listener.streams.length === 1);
  const server = listener.streams[0];
  assert.ok(server !== undefined);
  server.respond({ status: 200, headers: [] }, false);
  let taken = 0;
  while (server.write(Buffer.alloc(8192))) taken += 8192;
  assert.ok(taken < 256 * 1024, `${taken} bytes accepted without a reader`);
  server.end(null);
  let got = 0;
  for await (const chunk of stream) got += (chunk as Buffer).length;
  assert.equal(got, taken + 8192);
});

async function ourClient(
  t: TestContext,
  onStream: (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void,
  settings: http2.Settings = {},
): Promise<{ client: Http2ClientConnection; sessions: http2.ServerHttp2Session[] }> {
  const server = http2.createServer({ settings });
  const sessions: http2.ServerHttp2Session[] = [];
  server.on('session', (session) => {
    sessions.push(session as http2.ServerHttp2Session);
    session.on('error', () => {});
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    onStream(stream, headers);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  const socket: Socket = await dialTcp(t, (server.address() as AddressInfo).port);
  return { client: connectHttp2(socket, options()), sessions };
}

test('our client gets heads, bodies and trailers from a node:http2 server', async (t) => {
  const { client } = await ourClient(t, (stream, headers) => {
    stream.additionalHeaders({ ':status': 103, link: '</a>' });
    stream.respond({ ':status': 200, 'x-path': String(headers[':path']) }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ checksum: 'abc' }));
    stream.end('hello');
  });
  const answer = send(client, requestHead('/one?two', { headers: ['x-a', 'b'] }));
  await answer.done;
  assert.equal(answer.informed[0]?.status, 103);
  assert.equal(answer.head?.status, 200);
  assert.ok(answer.head?.headers.includes('/one?two'));
  assert.equal(answer.body, 'hello');
  assert.deepEqual(answer.trailers, ['checksum', 'abc']);
  assert.equal(client.activeStreams, 0);
});

test('our client echoes 1 MiB through a node:http2 server, with request trailers', async (t) => {
  let trailers: http2.IncomingHttpHeaders = {};
  const { client } = await ourClient(t, (stream) => {
    stream.on('trailers', (fields) => {
      trailers = fields;
    });
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
  });
  const body = Buffer.alloc(1 << 20, 'abcdefg');
  const answer = send(client, requestHead('/echo', { method: 'POST' }), body, ['digest', 'x']);
  await answer.done;
  assert.ok(Buffer.concat(answer.chunks).equals(body));
  assert.equal(trailers['digest'], 'x');
});

test('our client respects the stream limit of a node:http2 server', async (t) => {
  const held: http2.ServerHttp2Stream[] = [];
  const { client } = await ourClient(t, (stream) => held.push(stream), { maxConcurrentStreams: 3 });
  await eventually('SETTINGS arrived', () => client.capacity === 3);
  let changes = 0;
  client.onChange = () => {
    changes += 1;
  };
  const answers = [1, 2, 3].map(() => send(client, requestHead('/')));
  assert.equal(client.capacity, 0);
  await eventually('all arrived', () => held.length === 3);
  held[0]?.respond({ ':status': 204 }, { endStream: true });
  await answers[0]?.done;
  assert.equal(client.capacity, 1);
  assert.equal(changes, 1);
});

test('a refused or cancelled stream and a GOAWAY of a node:http2 server reach the owner', async (t) => {
  const { client, sessions } = await ourClient(t, (stream, headers) => {
    if (headers[':path'] === '/refuse') stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    if (headers[':path'] === '/cancel') stream.close(http2.constants.NGHTTP2_CANCEL);
    if (headers[':path'] === '/goaway') {
      stream.session?.goaway(0, 1);
    }
  });
  const refused = send(client, requestHead('/refuse'));
  const cancelled = send(client, requestHead('/cancel'));
  await refused.done;
  await cancelled.done;
  assert.equal(refused.resetReason, 'refused');
  assert.equal(cancelled.resetReason, 'cancel');
  const above = send(client, requestHead('/goaway'));
  await above.done;
  assert.equal(above.resetReason, 'refused');
  assert.equal(client.usable, false);
  assert.equal(sessions.length, 1);
});

test('PING measures a round trip against a node:http2 server', async (t) => {
  const { client } = await ourClient(t, () => {});
  const rtt = await new Promise<number>((resolve) => client.ping(resolve));
  assert.ok(rtt > 0 && rtt < 5000);
});

test('a reader that stops bounds what a node:http2 server can send', async (t) => {
  const { client } = await ourClient(t, (stream) => {
    stream.respond({ ':status': 200 });
    stream.end(Buffer.alloc(2 << 20));
  });
  const slow = send(client, requestHead('/big'));
  slow.consumes = false;
  const fast = send(client, requestHead('/big'));
  await fast.done;
  assert.equal(fast.bytes, 2 << 20);
  assert.ok(slow.bytes <= 65_536, `${slow.bytes} bytes delivered to a reader that stopped`);
  slow.consumes = true;
  slow.stream?.consume(slow.bytes);
  await slow.done;
  assert.equal(slow.bytes, 2 << 20);
});
