/** Tunnels by extended CONNECT (RFC 8441), both roles: each direction ends by itself, and a graceful end waits for them. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import type { Server } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import type { ServerConnection, ServerStream } from '@mesh/http/message';
import { LimitLedger } from '@mesh/limits/limits';
import { eventually } from '@mesh/testkit/eventually';
import { dialTcp, listen } from '@mesh/testkit/servers';
import { connectHttp2, type Http2ClientConnection } from './client.ts';
import { http2Limits } from './limits.ts';
import { serveHttp2 } from './server.ts';
import { Collector, requestHead } from './testing/exchange.ts';

const chat = requestHead('/chat', { method: 'GET', upgrade: 'websocket' });
const options = (): { clock: typeof systemClock; limits: LimitLedger<keyof typeof http2Limits> } => ({
  clock: systemClock,
  limits: new LimitLedger(http2Limits),
});

/** The far end of a tunnel, as the test drives it. */
interface FarEnd {
  received: string;
  ended: boolean;
  write(text: string): void;
  end(): void;
}

interface Far {
  port: number;
  /** Opened tunnels. */
  ends: FarEnd[];
  drain(): void;
}

/** A tunnel endpoint on our own server. */
async function ourServer(t: TestContext): Promise<Far> {
  const ends: FarEnd[] = [];
  let connection: ServerConnection | undefined;
  const { port } = await listen(t, (socket) => {
    const onRequest = (stream: ServerStream) => {
      const end: FarEnd = {
        received: '',
        ended: false,
        write: (text) => void stream.write(Buffer.from(text)),
        end: () => stream.end(null),
      };
      ends.push(end);
      stream.respond({ status: 101, headers: [] }, false);
      return {
        onData(chunk: Buffer) {
          end.received += chunk.toString();
          stream.consume(chunk.length);
        },
        onEnd: () => {
          end.ended = true;
        },
        onReset: () => {},
        onDrain: () => {},
      };
    };
    connection = serveHttp2(socket, { onRequest, onClose: () => {} }, options());
  });
  return { port, ends, drain: () => connection?.drain() };
}

/** The same on node:http2. */
async function nodeServer(t: TestContext): Promise<Far> {
  const ends: FarEnd[] = [];
  let session: http2.ServerHttp2Session | undefined;
  const server = http2.createServer({ settings: { enableConnectProtocol: true } });
  server.on('session', (opened) => {
    session = opened;
  });
  server.on('stream', (stream) => {
    const end: FarEnd = {
      received: '',
      ended: false,
      write: (text) => void stream.write(text),
      end: () => void stream.end(),
    };
    ends.push(end);
    stream.on('error', () => {});
    stream.respond({ ':status': 200 });
    stream.on('data', (chunk: Buffer) => {
      end.received += chunk.toString();
    });
    stream.on('end', () => {
      end.ended = true;
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    session?.destroy();
    server.close();
  });
  const address = (server as unknown as Server).address();
  assert.ok(address !== null && typeof address === 'object');
  return { port: address.port, ends, drain: () => session?.close() };
}

async function tunnel(
  t: TestContext,
  { port, ends }: Far,
): Promise<{ client: Http2ClientConnection; near: Collector; far: FarEnd }> {
  const client = connectHttp2(await dialTcp(t, port), options());
  t.after(() => client.destroy());
  await eventually('the server said what it supports', () => client.extendedConnect);
  const near = new Collector();
  near.stream = client.request(chat, false, near);
  await eventually('the tunnel is open', () => near.head !== undefined);
  assert.equal(near.head?.status, 200);
  const [far] = ends;
  assert.ok(far !== undefined);
  return { client, near, far };
}

for (const [name, start] of [
  ['our server', ourServer],
  ['a node:http2 server', nodeServer],
] as const) {
  test(`tunnel to ${name}: the client ends its half, the other one goes on`, async (t) => {
    const { near, far } = await tunnel(t, await start(t));
    near.stream?.write(Buffer.from('to the server'));
    near.stream?.end(null);
    await eventually('the server has all of it', () => far.ended);
    assert.equal(far.received, 'to the server');
    assert.equal(near.ended, false);
    far.write('still ');
    await eventually('bytes come behind the end', () => near.body === 'still ');
    far.write('here');
    far.end();
    await near.done;
    assert.equal(near.body, 'still here');
    assert.equal(near.resetReason, undefined);
  });

  test(`tunnel to ${name}: the server ends its half, the other one goes on`, async (t) => {
    const { client, near, far } = await tunnel(t, await start(t));
    far.write('bye');
    far.end();
    await near.done;
    assert.equal(near.body, 'bye');
    assert.equal(client.activeStreams, 1);
    near.stream?.write(Buffer.from('late news'));
    await eventually('bytes go behind the end', () => far.received === 'late news');
    near.stream?.end(null);
    await eventually('both halves are done', () => far.ended && client.activeStreams === 0);
  });

  test(`tunnel to ${name}: a graceful end waits for it`, async (t) => {
    const started = await start(t);
    const { client, near, far } = await tunnel(t, started);
    started.drain();
    await eventually('the client takes no more requests', () => !client.usable);
    near.stream?.write(Buffer.from('in time'));
    await eventually('the tunnel still works', () => far.received === 'in time');
    far.end();
    near.stream?.end(null);
    await near.done;
    assert.equal(near.resetReason, undefined);
  });
}

test('a tunnel that the server refuses is an answer with a body, not a tunnel', async (t) => {
  const { port } = await listen(t, (socket) => {
    serveHttp2(
      socket,
      {
        onRequest(stream) {
          stream.respond({ status: 403, headers: ['content-length', '2'] }, false);
          stream.write(Buffer.from('no'));
          stream.end(null);
          return { onData: () => {}, onEnd: () => {}, onReset: () => {}, onDrain: () => {} };
        },
        onClose: () => {},
      },
      options(),
    );
  });
  const client = connectHttp2(await dialTcp(t, port), options());
  t.after(() => client.destroy());
  await eventually('settings', () => client.extendedConnect);
  const near = new Collector();
  near.stream = client.request(chat, false, near);
  await near.done;
  assert.deepEqual([near.head?.status, near.body], [403, 'no']);
});
