/** Against node:http as an independent peer, in both roles, and both of ours against each other. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import type {
  ClientHandler,
  ClientStream,
  Headers,
  RequestHead,
  RequestListener,
  ResetReason,
  ResponseHead,
  ServerStream,
  StreamHandler,
} from '@mesh/http/message';
import { LimitLedger } from '@mesh/limits/limits';
import { eventually } from '@mesh/testkit/eventually';
import { assertNoLeaks } from '@mesh/testkit/leaks';
import { dialTcp, listen, listening } from '@mesh/testkit/servers';
import { connectHttp1 } from './client.ts';
import { http1Limits } from './limits.ts';
import { serveHttp1 } from './server.ts';

const limits = new LimitLedger(http1Limits);
const options = { clock: systemClock, limits };

function requestHead(parts: Partial<RequestHead>): RequestHead {
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

/** Collects one response. */
class Collector implements ClientHandler {
  readonly informed: ResponseHead[] = [];
  head: ResponseHead | undefined = undefined;
  body = '';
  trailers: Headers | null = null;
  ended = false;
  reset: ResetReason | undefined = undefined;
  drains = 0;
  stream: ClientStream | undefined = undefined;
  onInform(head: ResponseHead): void {
    this.informed.push(head);
  }
  onResponse(head: ResponseHead, end: boolean): void {
    this.head = head;
    this.ended = end;
  }
  onData(chunk: Buffer): void {
    this.body += chunk.toString('latin1');
    this.stream?.consume(chunk.length);
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
  async done(): Promise<this> {
    await eventually('the response is complete', () => this.ended || this.reset !== undefined, {
      intervalMs: 1,
    });
    return this;
  }
}

/** Answers `METHOD path` and echoes the request body. */
class Echo implements RequestListener {
  readonly heads: RequestHead[] = [];
  closed = 0;
  onRequest(stream: ServerStream, head: RequestHead, end: boolean): StreamHandler {
    this.heads.push(head);
    const respond = (body: Buffer, trailers: Headers | null): void => {
      const text = Buffer.concat([Buffer.from(`${head.method} ${head.path} `), body]);
      const length: Headers = head.path === '/length' ? ['content-length', String(text.length)] : [];
      stream.respond({ status: 200, headers: ['x-from', 'mesh', ...length] }, false);
      stream.write(text);
      stream.end(trailers);
    };
    const chunks: Buffer[] = [];
    if (end) respond(Buffer.alloc(0), null);
    return {
      onData: (chunk) => {
        chunks.push(chunk);
        stream.consume(chunk.length);
      },
      onEnd: (trailers) => respond(Buffer.concat(chunks), trailers),
      onReset: () => {},
      onDrain: () => {},
    };
  }
  onClose(): void {
    this.closed++;
  }
}

async function nodeServer(
  context: TestContext,
  onRequest: http.RequestListener,
): Promise<[http.Server, number]> {
  const server = http.createServer(onRequest);
  return [server, await listening(context, server)];
}

async function nodeRequest(
  parts: http.RequestOptions,
  body?: (request: http.ClientRequest) => void,
): Promise<{ response: http.IncomingMessage; text: string }> {
  const request = http.request(parts);
  if (body === undefined) request.end();
  else body(request);
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return { response, text };
}

test('a node:http client is served, and reuses the connection', async (context) => {
  assertNoLeaks(context);
  const echo = new Echo();
  let connections = 0;
  const { port } = await listen(context, (socket) => {
    connections++;
    serveHttp1(socket, echo, options);
  });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  context.after(() => agent.destroy());
  const base = { port, host: '127.0.0.1', agent };
  for (const path of ['/chunked', '/length']) {
    const { response, text } = await nodeRequest({ ...base, path });
    assert.equal(response.statusCode, 200);
    assert.equal(response.headers['x-from'], 'mesh');
    assert.equal(text, `GET ${path} `);
  }
  const posted = await nodeRequest({ ...base, path: '/p', method: 'POST' }, (request) => {
    request.write('one');
    request.end('two');
  });
  assert.equal(posted.text, 'POST /p onetwo');
  const trailered = await nodeRequest(
    { ...base, path: '/t', method: 'PUT', headers: { trailer: 'x-sum' } },
    (request) => {
      request.write('body');
      request.addTrailers({ 'x-sum': '7' });
      request.end();
    },
  );
  assert.equal(trailered.text, 'PUT /t body');
  assert.deepEqual(trailered.response.trailers, { 'x-sum': '7' });
  const head = await nodeRequest({ ...base, path: '/length', method: 'HEAD' });
  assert.equal(head.text, '');
  assert.equal(head.response.headers['content-length'], '13');
  assert.equal(connections, 1);
  assert.equal(echo.heads[0]?.authority, `127.0.0.1:${port}`);
});

test('a node:http server is asked, and the connection reused', async (context) => {
  assertNoLeaks(context);
  let connections = 0;
  const [server, port] = await nodeServer(context, (request, response) => {
    const chunks: string[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk.toString('latin1')));
    request.on('end', () => {
      const text = `${request.method} ${request.headers.host} ${request.url} ${chunks.join('')}`;
      if (request.url === '/none') response.writeHead(204).end();
      else if (request.url === '/length') response.setHeader('content-length', text.length).end(text);
      else {
        response.writeHead(200, { trailer: 'x-sum' });
        response.write(text);
        response.addTrailers({ 'x-sum': request.trailers['x-up'] ?? 'none' });
        response.end();
      }
    });
  });
  server.on('connection', () => connections++);
  const connection = connectHttp1(await dialTcp(context, port), options);
  const ask = async (
    parts: Partial<RequestHead>,
    send?: (stream: ClientStream) => void,
  ): Promise<Collector> => {
    const collector = new Collector();
    assert.equal(connection.capacity, 1);
    collector.stream = connection.request(requestHead(parts), send === undefined, collector);
    assert.equal(connection.capacity, 0);
    send?.(collector.stream);
    return collector.done();
  };
  const chunked = await ask({ path: '/c' });
  assert.equal(chunked.body, 'GET cart /c ');
  assert.deepEqual(chunked.trailers, ['x-sum', 'none']);
  assert.equal((await ask({ path: '/length' })).body, 'GET cart /length ');
  assert.equal((await ask({ path: '/none' })).head?.status, 204);
  const headOnly = await ask({ path: '/length', method: 'HEAD' });
  assert.equal(headOnly.body, '');
  const posted = await ask({ method: 'POST', path: '/p', headers: ['content-length', '6'] }, (stream) => {
    stream.write(Buffer.from('abc'));
    stream.write(Buffer.from('def'));
    stream.end(null);
  });
  assert.equal(posted.body, 'POST cart /p abcdef');
  const trailered = await ask({ method: 'POST', path: '/t', headers: ['trailer', 'x-up'] }, (stream) => {
    stream.write(Buffer.alloc(10_000, 'x'));
    stream.write(Buffer.alloc(0));
    stream.end(['x-up', '9', 'content-length', '5']);
  });
  assert.equal(trailered.body.length, 'POST cart /t '.length + 10_000);
  assert.deepEqual(trailered.trailers, ['x-sum', '9']);
  assert.equal((await ask({ method: 'POST', path: '/empty' })).body, 'POST cart /empty ');
  assert.equal(connections, 1);
  connection.drain();
  assert.ok(!connection.usable);
});

test('expect: 100-continue crosses both codecs', async (context) => {
  const { port } = await listen(context, (socket) => {
    serveHttp1(
      socket,
      {
        onRequest: (stream, head) => {
          assert.deepEqual(head.headers.slice(0, 2), ['expect', '100-continue']);
          stream.inform({ status: 103, headers: ['link', '</a>'] });
          stream.inform({ status: 100, headers: [] });
          return {
            onData: (chunk) => stream.consume(chunk.length),
            onEnd: () => stream.respond({ status: 201, headers: [] }, true),
            onReset: () => {},
            onDrain: () => {},
          };
        },
        onClose: () => {},
      },
      options,
    );
  });
  const request = http.request({
    port,
    host: '127.0.0.1',
    method: 'POST',
    headers: { expect: '100-continue' },
  });
  const early: number[] = [];
  request.on('information', (info: http.InformationEvent) => early.push(info.statusCode));
  request.flushHeaders();
  await once(request, 'continue');
  request.end('body');
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  assert.equal(response.statusCode, 201);
  response.resume();
  assert.deepEqual(early, [103, 100]);
  request.destroy();
});

test('a final answer instead of 100 ends the connection', async (context) => {
  let reset: ResetReason | undefined;
  const { port } = await listen(context, (socket) => {
    serveHttp1(
      socket,
      {
        onRequest: (stream) => {
          stream.respond({ status: 413, headers: [] }, true);
          return {
            onData: () => {},
            onEnd: () => {},
            onReset: (reason) => (reset = reason),
            onDrain: () => {},
          };
        },
        onClose: () => {},
      },
      options,
    );
  });
  const socket = await dialTcp(context, port);
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
  socket.write('POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n');
  await once(socket, 'end');
  assert.equal(answer, 'HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
  assert.equal(reset, 'cancel');
});

test('upgrade: a tunnel through both codecs, ends half by half, early bytes held back', async (context) => {
  assertNoLeaks(context);
  const { port } = await listen(context, (socket) => {
    serveHttp1(
      socket,
      {
        onRequest: (stream, head, end) => {
          assert.equal(head.upgrade, 'echo/1');
          assert.equal(end, false);
          stream.respond({ status: 101, headers: ['x-ok', '1'] }, false);
          return {
            onData: (chunk) => {
              stream.write(Buffer.from(chunk.toString().toUpperCase()));
              stream.consume(chunk.length);
            },
            onEnd: () => {
              stream.write(Buffer.from('.'));
              stream.end(null);
            },
            onReset: () => {},
            onDrain: () => {},
          };
        },
        onClose: () => {},
      },
      options,
    );
  });
  const connection = connectHttp1(await dialTcp(context, port), options);
  const collector = new Collector();
  const stream = connection.request(requestHead({ upgrade: 'echo/1' }), false, collector);
  collector.stream = stream;
  assert.equal(stream.write(Buffer.from('early ')), false);
  await eventually('switched', () => collector.head !== undefined);
  assert.equal(collector.head?.status, 101);
  await eventually('drained', () => collector.drains === 1);
  stream.write(Buffer.from('late'));
  stream.end(null);
  await collector.done();
  assert.equal(collector.body, 'EARLY LATE.');
  assert.equal(collector.reset, undefined);
  assert.ok(!connection.usable);
});

test('upgrade with node:http on the other side, both roles', async (context) => {
  const [server, nodePort] = await nodeServer(context, (_request, response) => response.writeHead(426).end());
  server.on('upgrade', (_request, socket: Socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: Echo\r\n\r\nhello');
    socket.pipe(socket);
  });
  const collector = new Collector();
  const connection = connectHttp1(await dialTcp(context, nodePort), options);
  collector.stream = connection.request(requestHead({ upgrade: 'echo' }), false, collector);
  await eventually('switched', () => collector.body === 'hello');
  collector.stream.write(Buffer.from(' you'));
  collector.stream.end(null);
  await collector.done();
  assert.equal(collector.body, 'hello you');

  const { port } = await listen(context, (socket) => {
    serveHttp1(
      socket,
      {
        onRequest: (stream, head) => {
          if (head.method === 'CONNECT')
            stream.respond({ status: 200, headers: ['content-length', '0'] }, false);
          else stream.respond({ status: 101, headers: [] }, false);
          return {
            onData: (chunk) => {
              stream.write(chunk);
              stream.consume(chunk.length);
            },
            onEnd: () => stream.end(null),
            onReset: () => {},
            onDrain: () => {},
          };
        },
        onClose: () => {},
      },
      options,
    );
  });
  for (const [event, parts] of [
    ['upgrade', { headers: { connection: 'upgrade', upgrade: 'echo' } }],
    ['connect', { method: 'CONNECT', path: 'cart:80', headers: { host: 'cart:80' } }],
  ] as const) {
    const request = http.request({ port, host: '127.0.0.1', ...parts });
    request.end();
    const [response, socket] = (await once(request, event)) as [http.IncomingMessage, Socket];
    assert.equal(response.headers['content-length'], undefined);
    socket.end('ping');
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    assert.equal(text, 'ping', event);
  }
});

test('a refused upgrade is an ordinary exchange, and what follows the request is the next one', async (context) => {
  const echo = new Echo();
  let ended = 0;
  const { port } = await listen(context, (socket) => {
    serveHttp1(
      socket,
      {
        onRequest: (stream, head, end) => {
          if (head.upgrade === '') return echo.onRequest(stream, head, end);
          stream.respond({ status: 403, headers: [] }, true);
          return {
            onData: () => assert.fail('tunnel bytes'),
            onEnd: () => ended++,
            onReset: () => {},
            onDrain: () => {},
          };
        },
        onClose: () => {},
      },
      options,
    );
  });
  const socket = await dialTcp(context, port);
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
  socket.write(
    'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nGET /length HTTP/1.1\r\nhost: a\r\n\r\n',
  );
  await eventually('both answers', () => answer.endsWith('GET /length '));
  assert.ok(answer.startsWith('HTTP/1.1 403 Forbidden\r\n'));
  assert.equal(ended, 1);
});

test('a refused CONNECT ends the connection: what follows it is nobody’s request', async (context) => {
  const methods: string[] = [];
  const { port } = await listen(context, (socket) => {
    serveHttp1(
      socket,
      {
        onRequest: (stream, head) => {
          methods.push(head.method);
          stream.respond({ status: 405, headers: [] }, true);
          return {
            onData: () => assert.fail('tunnel bytes'),
            onEnd: () => {},
            onReset: () => {},
            onDrain: () => {},
          };
        },
        onClose: () => {},
      },
      options,
    );
  });
  const socket = await dialTcp(context, port);
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
  socket.write('CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n');
  await once(socket, 'end');
  socket.end();
  assert.equal(answer, 'HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
  assert.deepEqual(methods, ['CONNECT']);
});

test('HTTP/1.0: no chunks, and the end of the connection ends the body', async (context) => {
  const { port } = await listen(context, (socket) => {
    serveHttp1(socket, new Echo(), options);
  });
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
  socket.write('GET /length HTTP/1.0\r\nconnection: keep-alive\r\n\r\n');
  await eventually('first answer', () => answer.endsWith('GET /length '));
  assert.match(answer, /\r\nconnection: keep-alive\r\n/);
  answer = '';
  socket.write('GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\n');
  await once(socket, 'close');
  assert.equal(answer, 'HTTP/1.1 200 OK\r\nx-from: mesh\r\nconnection: close\r\n\r\nGET /a ');
});
