import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request as httpRequest } from 'node:http';
import {
  connect as connectHttp2,
  createServer as createHttp2Server,
  type IncomingHttpHeaders,
  sensitiveHeaders,
} from 'node:http2';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { eventually } from '@mesh/testkit/eventually';
import { listening } from '@mesh/testkit/servers';
import { startSidecars } from './testing/mesh.ts';

void test('a reader that stops holds the application back through both sidecars, then gets everything', async (t) => {
  const total = 64 * 1024 * 1024;
  let written = 0;
  const app = createServer((_, response) => {
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
  const { caller } = await startSidecars(t, await listening(t, app));
  const sent = httpRequest({ host: '127.0.0.1', port: caller.ports.outbound, agent: false });
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  response.pause();
  let before = -1;
  await eventually(
    'the application stands still',
    () => {
      const still = written === before;
      before = written;
      return still && written > 0;
    },
    { intervalMs: 150 },
  );
  assert.ok(written < total / 2, `${written} of ${total} bytes were taken from the application`);
  let received = 0;
  response.on('data', (chunk: Buffer) => {
    received += chunk.length;
  });
  response.resume();
  await once(response, 'end');
  assert.equal(received, total);
});

void test('a large upload is held back by an application that does not read', async (t) => {
  let release: (() => void) | undefined;
  const app = createServer((request, response) => {
    request.pause();
    release = () => {
      let bytes = 0;
      request.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      request.on('end', () => response.end(String(bytes)));
      request.resume();
    };
  });
  const { caller } = await startSidecars(t, await listening(t, app));
  const total = 64 * 1024 * 1024;
  let offered = 0;
  const sent = httpRequest({ host: '127.0.0.1', port: caller.ports.outbound, agent: false, method: 'POST' });
  const pump = (): void => {
    while (offered < total) {
      offered += 65_536;
      if (!sent.write(Buffer.alloc(65_536))) {
        sent.once('drain', pump);
        return;
      }
    }
    sent.end();
  };
  pump();
  let before = -1;
  await eventually(
    'the client stands still',
    () => {
      const still = offered === before && release !== undefined;
      before = offered;
      return still;
    },
    { intervalMs: 150 },
  );
  assert.ok(offered < total / 2, `${offered} of ${total} bytes were taken from the client`);
  release?.();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const [body] = (await once(response, 'data')) as [Buffer];
  assert.equal(body.toString(), String(total));
});

/** Names of fields that came never-indexed. */
const marked = (headers: IncomingHttpHeaders): unknown => Reflect.get(headers, sensitiveHeaders);

void test('fields that come never-indexed leave so: heads and trailers, both ways, each time', async (t) => {
  const app = createHttp2Server();
  const asked: unknown[] = [];
  app.on('stream', (stream, headers) => {
    asked.push([headers['x-key'], marked(headers)]);
    stream.respond(
      { 'x-answer': 'b', 'x-plain': 'c', [sensitiveHeaders]: ['x-answer'] },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': 'd', [sensitiveHeaders]: ['x-sum'] }));
    stream.end('body');
  });
  const { caller } = await startSidecars(t, await listening(t, app));
  const session = connectHttp2(`http://127.0.0.1:${caller.ports.outbound}`);
  t.after(() => session.destroy());
  for (let round = 0; round < 3; round++) {
    const stream = session.request({ 'x-key': 'a', 'x-other': 'e', [sensitiveHeaders]: ['x-key'] });
    const ended = once(stream, 'trailers') as Promise<[IncomingHttpHeaders]>;
    const [answer] = (await once(stream, 'response')) as [IncomingHttpHeaders];
    stream.resume();
    const [trailers] = await ended;
    assert.deepEqual(asked.pop(), ['a', ['x-key']]);
    assert.deepEqual([answer['x-answer'], marked(answer)], ['b', ['x-answer']]);
    assert.deepEqual([trailers['x-sum'], marked(trailers)], ['d', ['x-sum']]);
  }
});

void test('both directions of an HTTP/2 stream run at once', async (t) => {
  const app = createHttp2Server();
  app.on('stream', (stream) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200 });
    stream.on('data', (chunk: Buffer) => stream.write(chunk));
    stream.on('end', () => stream.end());
  });
  const { caller } = await startSidecars(t, await listening(t, app));
  const session = connectHttp2(`http://127.0.0.1:${caller.ports.outbound}`);
  t.after(() => session.destroy());
  const stream = session.request({ ':method': 'POST', ':path': '/' }, { endStream: false });
  for (const word of ['one', 'two', 'three']) {
    stream.write(word);
    const [chunk] = (await once(stream, 'data')) as [Buffer];
    assert.equal(chunk.toString(), word);
  }
  stream.end();
  await once(stream, 'end');
});

void test('an upgraded connection is a tunnel', async (t) => {
  const app = createServer();
  app.on('upgrade', (request: IncomingMessage, socket: Socket) => {
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ${request.headers.upgrade}\r\n\r\n`,
    );
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => socket.write(chunk.toString().toUpperCase()));
  });
  const { caller } = await startSidecars(t, await listening(t, app));
  const sent = httpRequest({
    host: '127.0.0.1',
    port: caller.ports.outbound,
    agent: false,
    headers: { connection: 'upgrade', upgrade: 'echo' },
  });
  sent.end();
  const [response, socket] = (await once(sent, 'upgrade')) as [IncomingMessage, Socket];
  t.after(() => socket.destroy());
  assert.equal(response.statusCode, 101);
  socket.write('hello');
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  assert.equal(chunk.toString(), 'HELLO');
});

void test('a sidecar that is told to stop ends what is in progress first', async (t) => {
  let answer: () => void = () => {};
  const app = createServer((_, response) => {
    answer = () => response.end('finished');
  });
  const { caller, server } = await startSidecars(t, await listening(t, app), { MESH_SHUTDOWN_GRACE: '10s' });
  const sent = httpRequest({ host: '127.0.0.1', port: caller.ports.outbound, agent: false });
  sent.end();
  const arrived = once(app, 'request');
  await arrived;
  const stopped = server.proxy.stop();
  assert.equal(server.proxy.ready().ready, false);
  answer();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const [body] = (await once(response, 'data')) as [Buffer];
  assert.equal(body.toString(), 'finished');
  await stopped;
});
