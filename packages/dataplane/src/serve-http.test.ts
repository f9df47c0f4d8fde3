/** How long a connection that a proxy made to us is used: its age is ours to end, without losing a request. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import type { ServerStream } from '@mesh/http/message';
import { LimitLedger } from '@mesh/limits/limits';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { dialTcp, listen } from '@mesh/testkit/servers';
import { userTimeout } from '@mesh/transport/socket-options';
import { Discard } from './discard.ts';
import { Drain } from './drain.ts';
import { dataplaneLimits } from './limits.ts';
import { defaultCodecs } from './peer.ts';
import { serveHttp } from './serve-http.ts';
import { send } from './testing/forwarding-rig.ts';

const minute = 60_000;
const hour = 60 * minute;

interface Ends {
  readonly maxAgeMs?: number;
  /** From now until the first certificate expires. */
  readonly certificateMs?: number;
  readonly userTimeoutMs?: number;
}

async function serve(
  test: TestContext,
  version: 'http1' | 'http2',
  { maxAgeMs = hour, certificateMs = Number.POSITIVE_INFINITY, userTimeoutMs = 0 }: Ends = {},
) {
  const clock = new FakeClock();
  const until = clock.wall() + certificateMs;
  const limits = new LimitLedger(dataplaneLimits);
  const drain = new Drain();
  const codecs = defaultCodecs();
  const streams: ServerStream[] = [];
  const sockets: Socket[] = [];
  let closed = 0;
  const { port } = await listen(test, (socket) => {
    const listener = {
      onRequest(stream: ServerStream) {
        streams.push(stream);
        return new Discard(stream);
      },
      onClose: () => void closed++,
    };
    serveHttp(socket, version, listener, { clock, codecs, limits, drain, maxAgeMs, until, userTimeoutMs });
    sockets.push(socket);
  });
  const answer = (): void => {
    for (const stream of streams.splice(0)) stream.respond({ status: 200, headers: [] }, true);
  };
  return { clock, codecs, limits, port, sockets, streams, answer, closed: () => closed };
}

void test('HTTP/2: at its age both GOAWAY frames go out, and what is in flight is answered', async (t) => {
  const { clock, limits, port, streams, answer, closed } = await serve(t, 'http2');
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  t.after(() => session.destroy());
  const goaways: number[] = [];
  session.on('goaway', (_code, lastStream: number) => goaways.push(lastStream));
  const stream = session.request({ ':path': '/' });
  const head = once(stream, 'response') as Promise<[Record<string, unknown>]>;
  stream.resume();
  await eventually('the request runs', () => streams.length === 1);
  clock.advance(hour - 1);
  assert.deepEqual([limits.hits('connection_age_ms'), goaways], [0, []]);
  clock.advance(1);
  await eventually('it is announced and ended', () => goaways.length === 2);
  assert.deepEqual(goaways, [2 ** 31 - 1, 1]);
  assert.equal(limits.hits('connection_age_ms'), 1);
  assert.equal(closed(), 0);
  answer();
  assert.equal((await head)[0][':status'], 200);
  await eventually('then it ends', () => closed() === 1);
});

void test('HTTP/1: at its age the next answer says close', async (t) => {
  const { clock, limits, port, streams, answer, closed } = await serve(t, 'http1');
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const ask = async () => {
    const answered = send(port, { agent, headers: { connection: 'keep-alive' } });
    await eventually('the request runs', () => streams.length === 1);
    return { answered };
  };
  const young = await ask();
  answer();
  assert.notEqual((await young.answered).headers.connection, 'close');
  const old = await ask();
  clock.advance(hour);
  assert.equal(limits.hits('connection_age_ms'), 1);
  answer();
  const { status, headers } = await old.answered;
  assert.deepEqual([status, headers.connection], [200, 'close']);
  await eventually('then it ends', () => closed() === 1);
});

void test('a connection of an application has no age, and one that ended leaves no timer', async (t) => {
  for (const maxAgeMs of [Number.POSITIVE_INFINITY, hour]) {
    const { clock, limits, port, streams, answer, closed } = await serve(t, 'http1', { maxAgeMs });
    const answered = send(port, { headers: { connection: 'close' } });
    await eventually('the request runs', () => streams.length === 1);
    if (maxAgeMs !== hour) clock.advance(24 * hour);
    answer();
    assert.equal((await answered).status, 200);
    await eventually('it ended', () => closed() === 1);
    clock.advance(2 * hour);
    assert.equal(limits.hits('connection_age_ms'), 0);
  }
});

void test('HTTP/2: what is open is asked to leave before the certificate expires, and is cut then', async (t) => {
  const day = 24 * hour;
  const { clock, limits, port, streams, closed } = await serve(t, 'http2', {
    maxAgeMs: 2 * day,
    certificateMs: day,
  });
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  const goaways: number[] = [];
  session.on('goaway', (_code, lastStream: number) => goaways.push(lastStream));
  const stream = session.request({ ':method': 'POST', ':path': '/' }, { endStream: false });
  stream.on('error', () => {});
  session.on('error', () => {});
  await eventually('the request runs', () => streams.length === 1);
  clock.advance(day - 10 * minute - 1);
  // What GOAWAY would be sent is behind this answer.
  await new Promise((resolve) => session.ping(resolve));
  assert.deepEqual(goaways, []);
  clock.advance(1);
  await eventually('it is asked to leave', () => goaways.length === 2);
  clock.advance(10 * minute - 1);
  assert.deepEqual([closed(), limits.hits('expiry_lead_ms')], [0, 0]);
  clock.advance(1);
  assert.deepEqual([closed(), limits.hits('expiry_lead_ms'), limits.hits('connection_age_ms')], [1, 1, 0]);
  await eventually('the stream is over', () => stream.closed);
});

void test('HTTP/1: a tunnel is cut when the certificate expires, also after its age', async (t) => {
  const { clock, limits, port, streams, closed } = await serve(t, 'http1', { certificateMs: 2 * hour });
  const socket = await dialTcp(t, port);
  socket.write('GET / HTTP/1.1\r\nhost: cart\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n');
  await eventually('the request runs', () => streams.length === 1);
  streams[0]?.respond({ status: 101, headers: [] }, false);
  await once(socket, 'data');
  clock.advance(2 * hour - 1);
  assert.deepEqual([closed(), limits.hits('connection_age_ms')], [0, 1]);
  clock.advance(1);
  await eventually('it is cut', () => closed() === 1);
  assert.equal(limits.hits('expiry_lead_ms'), 1);
});

void test('the expiry is the wall clock: set back it waits, set forward it cuts within a minute', async (t) => {
  const { clock, port, streams, closed } = await serve(t, 'http2', {
    maxAgeMs: 24 * hour,
    certificateMs: hour,
  });
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  session.request({ ':path': '/' }).on('error', () => {});
  await eventually('the request runs', () => streams.length === 1);
  clock.jumpWall(-hour);
  clock.advance(hour + minute);
  assert.equal(closed(), 0);
  clock.jumpWall(hour);
  clock.advance(minute);
  assert.equal(closed(), 1);
});

void test('a certificate may outlast the longest timer', async (t) => {
  const { clock, port, streams, closed } = await serve(t, 'http1', { certificateMs: 365 * 24 * hour });
  const after = t.mock.method(clock, 'after');
  const answered = send(port, { headers: { connection: 'close' } });
  await eventually('the request runs', () => streams.length === 1);
  assert.ok(after.mock.calls.every(({ arguments: [delayMs] }) => delayMs < 2 ** 31));
  for (const stream of streams) stream.respond({ status: 200, headers: [] }, true);
  await answered;
  await eventually('it ended', () => closed() === 1);
  assert.equal(clock.pending, 0, 'and left no timer');
});

void test('the kernel gives up on HTTP/2 of another proxy after the time it is given, on nobody else', async (t) => {
  for (const [version, askedMs, setMs] of [
    ['http2', 7000, 7000],
    ['http2', 0, 0],
    ['http1', 7000, 0],
  ] as const) {
    const { port, sockets } = await serve(t, version, { userTimeoutMs: askedMs });
    await dialTcp(t, port);
    const socket = await eventually('it is accepted', () => sockets[0]);
    assert.equal(userTimeout(socket), setMs);
  }
});

void test('HTTP/1: a client that is held back and resets gives up its place, though nobody answers', async (t) => {
  const { clock, codecs, port, sockets, streams, closed } = await serve(t, 'http1');
  const client = await dialTcp(t, port);
  client.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  await eventually('the request runs', () => streams.length === 1);
  client.write(Buffer.alloc(200_000, 'x'));
  await eventually('held back', () => sockets[0]?.isPaused() === true);
  clock.advance(60_000);
  assert.equal(closed(), 0, 'one that is there may wait');
  client.resetAndDestroy();
  await eventually('it is let go', () => {
    clock.advance(codecs.http1Limits.values.http1_held_ms);
    return closed() === 1;
  });
  assert.equal(codecs.http1Limits.hits('http1_held_ms'), 1);
});
