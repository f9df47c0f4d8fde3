import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import type { RequestListener, ServerConnection, ServerStream, StreamHandler } from '@mesh/http/message';
import { LimitLedger } from '@mesh/limits/limits';
import { eventually } from '@mesh/testkit/eventually';
import { assertNoLeaks } from '@mesh/testkit/leaks';
import { dialTcp, listen, socketPair } from '@mesh/testkit/servers';
import { connectHttp2, type Http2ClientConnection } from './client.ts';
import { http2Limits } from './limits.ts';
import { serveHttp2 } from './server.ts';
import { EchoListener, requestHead, send } from './testing/exchange.ts';
import { frame, GOAWAY, preface, request, RST_STREAM, settings, u32 } from './testing/raw-peer.ts';

function options() {
  return { clock: systemClock, limits: new LimitLedger(http2Limits) };
}

interface Pair {
  client: Http2ClientConnection;
  server: ServerConnection;
  clientSocket: Socket;
  serverSocket: Socket;
}

async function pair(t: TestContext, listener: RequestListener): Promise<Pair> {
  assertNoLeaks(t);
  const [clientSocket, serverSocket] = await socketPair(t);
  const server = serveHttp2(serverSocket, listener, options());
  return { client: connectHttp2(clientSocket, options()), server, clientSocket, serverSocket };
}

test('our client and our server: a thousand exchanges, a hundred at a time', async (t) => {
  const { client } = await pair(t, new EchoListener());
  for (let round = 0; round < 10; round++) {
    const answers = Array.from({ length: 100 }, (_, index) =>
      send(client, requestHead(`/r/${round}/${index}`)),
    );
    assert.equal(client.capacity, 0);
    await Promise.all(answers.map((answer) => answer.done));
    answers.forEach((answer, index) => assert.equal(answer.body, `/r/${round}/${index}`));
  }
  assert.equal(client.activeStreams, 0);
});

test('our client and our server: ten bodies of 2 MiB at once, echoed with trailers', async (t) => {
  const { client } = await pair(t, new EchoListener());
  const bodies = Array.from({ length: 10 }, (_, index) => Buffer.alloc(2 << 20, `body ${index} `));
  const answers = bodies.map((body, index) =>
    send(client, requestHead('/echo', { method: 'POST' }), body, ['number', String(index)]),
  );
  await Promise.all(answers.map((answer) => answer.done));
  answers.forEach((answer, index) => {
    assert.ok(Buffer.concat(answer.chunks).equals(bodies[index] ?? Buffer.alloc(0)));
    assert.deepEqual(answer.trailers, ['number', String(index)]);
  });
});

test('bytes that were read before and put back are served', async (t) => {
  const listener = new EchoListener();
  const [client, server] = await socketPair(t);
  client.write(Buffer.concat([preface, settings(), request(1)]));
  const [first] = (await once(server, 'data')) as [Buffer];
  server.pause();
  server.unshift(first);
  serveHttp2(server, listener, options());
  await eventually('the request arrived', () => listener.heads.length === 1);
});

test('what a server says before it resets is heard, also where a write meets the reset first', async (t) => {
  const [clientSocket, server] = await socketPair(t);
  let received = 0;
  server.on('data', (bytes: Buffer) => (received += bytes.length));
  server.write(settings());
  const client = connectHttp2(clientSocket, options());
  const answer = send(client, requestHead('/'));
  await eventually('the request arrived', () => received > 0 && received === clientSocket.bytesWritten);
  server.write(frame(GOAWAY, 0, 0, u32(0, 0)));
  server.resetAndDestroy();
  // Leaves before anything is read, as what another request sends.
  clientSocket.write(Buffer.alloc(9));
  await answer.done;
  assert.equal(answer.resetReason, 'refused');
});

test('a socket that dies resets the streams on both sides and tells the owners once', async (t) => {
  const listener = new EchoListener();
  const { client, clientSocket } = await pair(t, listener);
  const answer = send(client, requestHead('/silent'));
  await eventually('the request arrived', () => listener.heads.length === 1);
  let changes = 0;
  client.onChange = () => {
    changes += 1;
  };
  clientSocket.resetAndDestroy();
  await answer.done;
  assert.equal(answer.resetReason, 'closed');
  await eventually('the server noticed', () => listener.closed === 1);
  assert.deepEqual(listener.resets, ['closed']);
  assert.equal(client.usable, false);
  assert.equal(changes, 1);
});

test('a graceful end of both sides leaves nothing behind', async (t) => {
  const listener = new EchoListener();
  const { client, server, clientSocket, serverSocket } = await pair(t, listener);
  const answer = send(client, requestHead('/big/3000000'));
  server.drain();
  await answer.done;
  assert.equal(answer.bytes, 3_000_000);
  await eventually('both sockets are closed', () => clientSocket.destroyed && serverSocket.destroyed);
  assert.equal(client.usable, false);
  assert.equal(listener.closed, 1);
});

/** Sends as long as the codec takes it, and counts what it took. */
class Endless implements StreamHandler {
  readonly #count: { taken: number };
  readonly #stream: ServerStream;

  constructor(count: { taken: number }, stream: ServerStream) {
    this.#count = count;
    this.#stream = stream;
    stream.respond({ status: 200, headers: [] }, false);
    this.onDrain();
  }

  onDrain(): void {
    do this.#count.taken += 8192;
    while (this.#stream.write(Buffer.alloc(8192)));
  }

  onData(): void {}
  onEnd(): void {}
  onReset(): void {}
}

test('a hundred readers that stop cost a hundred windows and queues, not what is sent to them', async (t) => {
  const endless = { taken: 0 };
  const { client } = await pair(t, {
    onRequest: (stream) => new Endless(endless, stream),
    onClose: () => {},
  });
  const answers = Array.from({ length: 100 }, () => {
    const answer = send(client, requestHead('/'));
    answer.consumes = false;
    return answer;
  });
  let before = -1;
  await eventually(
    'nothing moves any more',
    () => {
      const still = endless.taken === before;
      before = endless.taken;
      return still && endless.taken > 0;
    },
    { intervalMs: 100 },
  );
  const delivered = answers.reduce((sum, answer) => sum + answer.bytes, 0);
  assert.ok(delivered <= 2 * 1_048_576 + 65_535, `${delivered} bytes delivered to readers that stopped`);
  // Per stream: a queue of 64 KiB and one chunk over; Endless tries all streams whenever one drains.
  assert.ok(
    endless.taken <= delivered + 100 * (65_536 + 8192) + 8192 * 400,
    `${endless.taken} bytes accepted`,
  );
  client.destroy();
});

test('a rapid reset attack ends its own connection, and a neighbour is served meanwhile', async (t) => {
  const listener = new EchoListener();
  const limits = new LimitLedger(http2Limits);
  const { port } = await listen(t, (socket) => serveHttp2(socket, listener, { clock: systemClock, limits }));
  const neighbour = connectHttp2(await dialTcp(t, port), options());
  const attacker = await dialTcp(t, port);
  const heard: Buffer[] = [];
  attacker.on('data', (chunk: Buffer) => heard.push(chunk));
  attacker.write(Buffer.concat([preface, settings()]));
  for (let id = 1; id < 20_001; id += 2) {
    attacker.write(Buffer.concat([request(id), frame(RST_STREAM, 0, id, u32(8))]));
  }
  const answer = send(neighbour, requestHead('/neighbour'));
  await answer.done;
  assert.equal(answer.body, '/neighbour');
  await eventually('the attacker is cut off', () => listener.closed === 1);
  assert.ok(limits.hits('http2_peer_resets') === 1);
  assert.ok(listener.heads.length <= 102);
  assert.ok(Buffer.concat(heard).includes(frame(GOAWAY, 0, 0, u32(201, 11))));
});

test('a tunnel by extended CONNECT carries bytes both ways, for a node:http2 client', async (t) => {
  const heads: string[] = [];
  const listener: RequestListener = {
    onRequest(stream, head) {
      heads.push(`${head.method} ${head.path} ${head.upgrade}`);
      stream.respond({ status: 101, headers: [] }, false);
      return {
        onData(chunk) {
          stream.write(Buffer.from(`<${chunk.toString()}>`));
          stream.consume(chunk.length);
        },
        onEnd: () => stream.end(null),
        onReset: () => {},
        onDrain: () => {},
      };
    },
    onClose: () => {},
  };
  const { port } = await listen(t, (socket) => serveHttp2(socket, listener, options()));
  const session = http2.connect(`http://127.0.0.1:${port}`);
  t.after(() => session.destroy());
  await once(session, 'remoteSettings');
  const stream = session.request(
    { ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/chat' },
    { endStream: false },
  );
  const [head] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  assert.equal(head[':status'], 200);
  stream.write('ping');
  const [data] = (await once(stream, 'data')) as [Buffer];
  assert.equal(data.toString(), '<ping>');
  assert.deepEqual(heads, ['CONNECT /chat websocket']);
  stream.end();
  await once(stream, 'end');
});
