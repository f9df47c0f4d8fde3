/** What clients see when no endpoint answers, in every protocol that they may speak. */
import assert from 'node:assert/strict';
import { createServer as createTcpServer } from 'node:net';
import { once } from 'node:events';
import { connect as connectHttp2, constants } from 'node:http2';
import { test, type TestContext } from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { eventually } from '@mesh/testkit/eventually';
import { silentPort } from '@mesh/testkit/silent-port';
import { ConnectError } from './connector.ts';
import {
  app,
  carried,
  http2App,
  type Rig,
  type RigOptions,
  rig,
  send,
  sendHttp2,
  spec,
} from './testing/forwarding-rig.ts';

interface Seen {
  readonly status: number;
  readonly fields: Record<string, unknown>;
}

/** Each sends `body`, and GET without one; gRPC is always POST. */
const clients: Record<string, (rig: Rig, body?: string) => Promise<Seen>> = {
  'HTTP/1': async ({ port }, body) => {
    const ask = body === undefined ? {} : { method: 'POST', body };
    const { status, headers } = await send(port, { ...ask, headers: { connection: 'keep-alive' } });
    return { status, fields: headers };
  },
  'HTTP/2': async ({ port }, body) => {
    const { status, headers } = await sendHttp2(
      port,
      { ':method': body === undefined ? 'GET' : 'POST' },
      body,
    );
    return { status, fields: headers };
  },
  gRPC: async ({ port }, body) => {
    const grpc = { ':method': 'POST', 'content-type': 'application/grpc' };
    const { status, headers, trailers } = await sendHttp2(port, grpc, body);
    return { status, fields: { ...headers, ...trailers } };
  },
};

interface Case {
  options?: RigOptions & { clock?: FakeClock };
  body?: string;
  arrange: (test: TestContext, rig: Rig) => Promise<void> | void;
  /** What happens once the request waits. */
  meanwhile?: (rig: Rig, clock: FakeClock) => Promise<void>;
  http: number;
  grpc: number;
  says: RegExp;
}

/** Requests at the endpoint that stops reading. */
let stalling = 0;

const cases: Record<string, Case> = {
  'a service without endpoints': {
    arrange: (_, { pool }) => pool.empty(true),
    http: 503,
    grpc: 14,
    says: /^cart:80 has no endpoints$/,
  },
  'a service that does not exist': {
    arrange: (_, { pool }) => pool.empty(false),
    http: 503,
    grpc: 14,
    says: /^cart:80 does not exist$/,
  },
  'endpoints that refuse connections until the failfast time has passed': {
    options: { failfastMs: 3000, clock: new FakeClock() },
    arrange: (_, { pool }) => pool.apply([spec(1)], { replace: true }),
    meanwhile: async ({ pool }, clock) => {
      await eventually('the request waits', () => pool.waiting === 1);
      clock.advance(3000);
    },
    http: 504,
    grpc: 4,
    says: /no endpoint of cart:80 became ready within 3000 ms; last fault: .*ECONNREFUSED/,
  },
  'an address that never answers': {
    options: { failfastMs: 3000, clock: new FakeClock() },
    arrange: async (test, { pool }) => pool.apply([spec(await silentPort(test))], { replace: true }),
    meanwhile: async ({ pool }, clock) => {
      await eventually('it is dialled', () => pool.inFlight === 1);
      clock.advance(1000);
      await eventually('the request waits for another', () => pool.waiting === 1);
      clock.advance(3000);
    },
    http: 504,
    grpc: 4,
    says: /no endpoint of cart:80 became ready within 3000 ms; last fault: .*no connection within 1000 ms/,
  },
  'an endpoint that proves another identity': {
    options: {
      failfastMs: 3000,
      clock: new FakeClock(),
      connector: {
        connect: () => Promise.reject(new ConnectError('the server is payments', { kind: 'identity' })),
      },
    },
    arrange: (_, { pool }) => pool.apply([carried(1)], { replace: true }),
    meanwhile: async ({ pool }, clock) => {
      await eventually('the request waits', () => pool.waiting === 1);
      clock.advance(3000);
    },
    http: 502,
    grpc: 14,
    says: /no endpoint of cart:80 became ready within 3000 ms; last fault: the server is payments/,
  },
  'endpoints that fail in different ways': {
    options: {
      failfastMs: 3000,
      clock: new FakeClock(),
      connector: {
        connect: ({ port }) =>
          Promise.reject(new ConnectError('no', { kind: port === 1 ? 'identity' : 'timeout' })),
      },
    },
    arrange: (_, { pool }) => pool.apply([carried(1), carried(2)], { replace: true }),
    meanwhile: async ({ pool }, clock) => {
      await eventually('the request waits', () => pool.waiting === 1);
      clock.advance(3000);
    },
    http: 504,
    grpc: 4,
    says: /no endpoint of cart:80 became ready within 3000 ms; last fault: no/,
  },
  'more requests than may be in flight': {
    options: { limits: { in_flight_requests: 0 } },
    arrange: async (test, { pool }) => {
      pool.apply([spec(await app(test, (_, response) => response.end()))], { replace: true });
    },
    http: 503,
    grpc: 14,
    says: /^too many requests to cart:80 are in flight$/,
  },
  'more requests than may wait': {
    options: { limits: { queue_requests: 0 } },
    arrange: () => {},
    http: 503,
    grpc: 14,
    says: /^too many requests wait for an endpoint of cart:80$/,
  },
  'an endpoint that closes the connection': {
    arrange: async (test, { pool }) => {
      const server = createTcpServer((socket) => socket.once('data', () => socket.destroy()));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      test.after(() => server.close());
      const address = server.address();
      assert.ok(typeof address === 'object' && address !== null);
      pool.apply([spec(address.port)], { replace: true });
    },
    http: 502,
    grpc: 14,
    says: /127\.0\.0\.1:\d+ closed the connection before its answer was complete/,
  },
  'an endpoint that breaks the protocol': {
    arrange: async (test, { pool }) => {
      const port = await http2App(test, (stream) =>
        stream.respond({ ':status': 200, 'content-length': 'some' }),
      );
      pool.apply([carried(port)], { replace: true });
    },
    http: 502,
    grpc: 14,
    says: /127\.0\.0\.1:\d+ broke the protocol/,
  },
  'an endpoint that stops reading': {
    // Answers to PINGs do not come as fast as this clock goes.
    options: { clock: new FakeClock(), limits: { peer_silence_ms: 10 ** 9 } },
    body: 'x'.repeat(300_000),
    arrange: async (test, { pool }) => {
      stalling = 0;
      pool.apply([carried(await http2App(test, () => stalling++))], { replace: true });
    },
    meanwhile: async ({ codecs }, clock) => {
      const { values } = codecs.http2Limits;
      await eventually('the request is at the endpoint', () => stalling === 1);
      await eventually('it stalls', () => {
        clock.advance(values.http2_stall_ms / 2);
        return codecs.http2Limits.hits('http2_stall_ms') === 1;
      });
    },
    http: 502,
    grpc: 14,
    says: /127\.0\.0\.1:\d+ stopped reading in the middle of the request/,
  },
  'an endpoint that refuses every stream': {
    arrange: async (test, { pool }) => {
      pool.apply([carried(await http2App(test, (stream) => stream.close(7)))], { replace: true });
    },
    http: 502,
    grpc: 14,
    says: /127\.0\.0\.1:\d+ refused the request/,
  },
};

for (const [what, { options, body, arrange, meanwhile, http, grpc, says }] of Object.entries(cases)) {
  for (const [client, ask] of Object.entries(clients)) {
    void test(`${what}, to ${client}`, async (test) => {
      const made = await rig(test, { ...options, serves: client === 'HTTP/1' ? 'http1' : 'http2' });
      await arrange(test, made);
      const asked = ask(made, body);
      await meanwhile?.(made, options?.clock ?? new FakeClock());
      const { status, fields } = await asked;
      assert.equal(status, client === 'gRPC' ? 200 : http);
      assert.equal(fields['grpc-status'], client === 'gRPC' ? String(grpc) : undefined);
      assert.match(String(fields['l5d-proxy-error']), says);
      assert.equal(fields['l5d-proxy-name'], 'outbound web');
      // HTTP/2 has no such field; there the connection goes on.
      assert.equal(fields['connection'], client === 'HTTP/1' ? 'close' : undefined);
    });
  }
}

/** What the endpoint says of the request passes; what it says of our connection to it becomes PROTOCOL_ERROR. */
const streamErrors = [
  ['CANCEL', constants.NGHTTP2_CANCEL, constants.NGHTTP2_CANCEL],
  ['INTERNAL_ERROR', constants.NGHTTP2_INTERNAL_ERROR, constants.NGHTTP2_INTERNAL_ERROR],
  ['ENHANCE_YOUR_CALM', constants.NGHTTP2_ENHANCE_YOUR_CALM, constants.NGHTTP2_ENHANCE_YOUR_CALM],
  ['HTTP_1_1_REQUIRED', constants.NGHTTP2_HTTP_1_1_REQUIRED, constants.NGHTTP2_HTTP_1_1_REQUIRED],
  ['PROTOCOL_ERROR', constants.NGHTTP2_PROTOCOL_ERROR, constants.NGHTTP2_PROTOCOL_ERROR],
  ['FLOW_CONTROL_ERROR', constants.NGHTTP2_FLOW_CONTROL_ERROR, constants.NGHTTP2_PROTOCOL_ERROR],
] as const;

for (const [name, sent, heard] of streamErrors) {
  void test(`the stream error ${name}: as such to HTTP/2 and gRPC, 502 to HTTP/1`, async (test) => {
    const port = await http2App(test, (stream) => stream.close(sent));
    for (const [client, fields] of [
      ['HTTP/2', {}],
      ['gRPC', { ':method': 'POST', 'content-type': 'application/grpc' }],
    ] as const) {
      const made = await rig(test, { serves: 'http2' });
      made.pool.apply([carried(port)], { replace: true });
      assert.equal(await resetCode(made.port, fields), heard, client);
    }
    const made = await rig(test);
    made.pool.apply([carried(port)], { replace: true });
    const { status, headers } = await send(made.port);
    assert.equal(status, 502);
    assert.match(String(headers['l5d-proxy-error']), /127\.0\.0\.1:\d+ (?:ended the request|says|wants)/);
  });
}

/** Code of the RST_STREAM that answers a request. */
async function resetCode(port: number, fields: Record<string, string>): Promise<number | undefined> {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  const stream = session.request({ ':path': '/', ':authority': 'cart', ...fields }, { endStream: true });
  stream.on('error', () => {});
  stream.resume();
  await new Promise((resolve) => stream.on('close', resolve));
  session.destroy();
  return stream.rstCode;
}

void test('a stream that is refused when its answer has begun was not refused: the client may not send it again', async (test) => {
  const port = await http2App(test, (stream) => {
    stream.respond({ ':status': 200 });
    stream.write('half', () => stream.close(constants.NGHTTP2_REFUSED_STREAM));
  });
  const { port: proxy, pool, registry } = await rig(test, { serves: 'http2' });
  pool.apply([carried(port)], { replace: true });
  assert.equal(await resetCode(proxy, {}), constants.NGHTTP2_PROTOCOL_ERROR);
  assert.match(registry.render(), /^response_total\{[^}]*status_code="200",[^}]*error="protocol"\} 1$/m);
  assert.doesNotMatch(registry.render(), /^mesh_retries_total\{[^}]*\} [1-9]/m);
});

void test('a client that may not know learns the status alone', async (test) => {
  const made = await rig(test, { context: { proxyName: '' } });
  made.pool.empty(true);
  const { status, headers } = await send(made.port);
  assert.equal(status, 503);
  assert.equal(headers['l5d-proxy-error'], undefined);
  assert.equal(headers['l5d-proxy-name'], undefined);
});

void test('a gRPC answer that breaks off ends in trailers that say why, any other in a reset', async (test) => {
  const port = await http2App(test, (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    stream.write('half', () => stream.session?.destroy());
  });
  const { port: proxy, pool } = await rig(test, { serves: 'http2' });
  pool.apply([carried(port)], { replace: true });
  const answer = await sendHttp2(proxy, { ':method': 'POST', 'content-type': 'application/grpc' });
  assert.equal(answer.body, 'half');
  assert.equal(answer.trailers['grpc-status'], '14');
  assert.match(
    String(answer.trailers['grpc-message']),
    /closed the connection before its answer was complete/,
  );
  await assert.rejects(sendHttp2(proxy), /ERR_HTTP2_STREAM_ERROR|NGHTTP2_INTERNAL_ERROR|closed with error/);
});

void test('an error that asks for it ends the HTTP/1 connection of the client, an ordinary one does not', async (test) => {
  let fields: Record<string, string> = {};
  const port = await http2App(test, (stream) => {
    stream.respond({ ':status': 503, ...fields });
    stream.end();
  });
  const { port: proxy, pool } = await rig(test);
  pool.apply([carried(port)], { replace: true });
  assert.notEqual((await send(proxy, { headers: { connection: 'keep-alive' } })).headers.connection, 'close');
  fields = { 'l5d-proxy-connection': 'close', 'l5d-proxy-error': 'the next proxy says so' };
  const answer = await send(proxy, { headers: { connection: 'keep-alive' } });
  assert.equal(answer.headers.connection, 'close');
  assert.equal(answer.headers['l5d-proxy-error'], 'the next proxy says so');
});
