import assert from 'node:assert/strict';
import { once } from 'node:events';
import test, { type TestContext } from 'node:test';
import { createServer, connect as connectTls } from 'node:tls';
import { create, type MessageShape } from '@bufbuild/protobuf';
import { systemClock } from '@mesh/clock/system';
import { eventually } from '@mesh/testkit/eventually';
import { assertNoLeaks } from '@mesh/testkit/leaks';
import { listen } from '@mesh/testkit/servers';
import { TlsAcceptor } from '@mesh/trust/accept';
import { CredentialStore, secureContextOptions } from '@mesh/trust/credentials';
import { dialTls } from '@mesh/trust/dial';
import {
  credentialsOf,
  forgeAnchor,
  forgeIssuer,
  forgeLeaf,
  generalName,
  identityOf,
} from '@mesh/trust/forgery';
import { Destination, UpdateSchema } from './gen/linkerd/destination_pb.ts';
import { OutboundPolicies } from './gen/linkerd/outbound_pb.ts';
import { CertifyResponseSchema, Identity } from './gen/linkerd/identity_pb.ts';
import type { GrpcChannel } from './grpc-client.ts';
import { grpcService } from './grpc-server.ts';
import { type GrpcError, grpcCode, type GrpcStatus } from './status.ts';
import {
  addStream,
  addUnary,
  channelOver,
  foreignServer,
  ownChannel,
  ownServer,
} from './testing/grpc-peer.ts';

const { get } = Destination.method;
const { certify } = Identity.method;

type Update = MessageShape<typeof UpdateSchema>;

function collect(channel: GrpcChannel, path = 'web.shop:80') {
  const updates: Update[] = [];
  const statuses: GrpcStatus[] = [];
  const running = channel.serverStream(
    get,
    { path },
    { onMessage: (update) => updates.push(update), onEnd: (status) => statuses.push(status) },
  );
  return { updates, statuses, running };
}

const echo = grpcService(Identity, {
  certify: ({ identity }) => ({ leafCertificate: Buffer.from(identity) }),
});

test('a grpc-js server: unary calls and statuses', async (context) => {
  assertNoLeaks(context);
  const port = await foreignServer(context, (server) =>
    addUnary(server, certify, ({ request }, callback) => {
      if (request.identity === 'refused') {
        callback({ code: grpcCode.permissionDenied, details: 'nein: ✗ 100%' });
      } else if (request.identity !== 'silent') {
        callback(null, create(CertifyResponseSchema, { leafCertificate: request.token }));
      }
    }),
  );
  const channel = ownChannel(context, port, { grpc_message_bytes: 500_000 });
  const token = Buffer.alloc(200_000, 9);
  const answer = await channel.unary(certify, { token });
  assert.deepEqual(Buffer.from(answer.leafCertificate), token);
  assert.ok(channel.connected);

  const failure = (code: number, message: RegExp) => (error: GrpcError) => {
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  };
  await assert.rejects(channel.unary(certify, { identity: 'refused' }), failure(7, /^nein: ✗ 100%$/));
  await assert.rejects(channel.unary(certify, { identity: 'silent' }, { deadlineMs: 50 }), failure(4, /./));
  const abort = new AbortController();
  const aborted = channel.unary(certify, { identity: 'silent' }, { signal: abort.signal });
  abort.abort();
  await assert.rejects(aborted, failure(1, /aborted/));
  await assert.rejects(channel.unary(certify, { token: Buffer.alloc(600_000) }), failure(8, /limit/));
  await assert.rejects(channel.unary(OutboundPolicies.method.get, {}), failure(12, /./));
  // The connection outlived all of that.
  await channel.unary(certify, {});
});

test('a grpc-js server: a stream of messages, its end, and cancelling', async (context) => {
  assertNoLeaks(context);
  let cancelled = 0;
  const port = await foreignServer(context, (server) =>
    addStream(server, get, (call) => {
      call.on('cancelled', () => cancelled++);
      const update = create(UpdateSchema, { update: { case: 'noEndpoints', value: { exists: true } } });
      for (let count = 0; count < 50; count++) call.write(update);
      if (call.request.path === 'short') call.end();
    }),
  );
  const channel = ownChannel(context, port);
  const short = collect(channel, 'short');
  await eventually('the end', () => short.statuses.length === 1);
  assert.equal(short.updates.length, 50);
  assert.deepEqual(short.statuses, [{ code: 0, message: 'OK' }]);

  const long = collect(channel, 'long');
  await eventually('the messages', () => long.updates.length === 50);
  long.running.cancel();
  await eventually('the server was told', () => cancelled === 1);
  assert.deepEqual(long.statuses, []);
});

test('a lost connection ends its streams, and the next call connects anew', async (context) => {
  assertNoLeaks(context);
  const server = await ownServer(context, [
    grpcService(Destination, { get: () => {}, getProfile: () => {} }),
    echo,
  ]);
  const channel = ownChannel(context, server.port);
  const { statuses } = collect(channel);
  await eventually('the stream', () => server.connections[0]?.activeStreams === 1);
  server.connections[0]?.destroy();
  await eventually('the end', () => statuses.length === 1);
  assert.equal(statuses[0]?.code, grpcCode.unavailable);
  const answer = await channel.unary(certify, { identity: 'again' });
  assert.equal(Buffer.from(answer.leafCertificate).toString(), 'again');
  assert.equal(server.connections.length, 2);
});

test('more streams than one connection allows open another one, up to the limit', async (context) => {
  const server = await ownServer(
    context,
    [grpcService(Destination, { get: () => {}, getProfile: () => {} }), echo],
    {
      http2_streams: 2,
    },
  );
  const channel = ownChannel(context, server.port, { grpc_channel_connections: 2 });
  // The first answer brings the server's settings.
  await channel.unary(certify, {});
  const streams = [];
  for (let count = 0; count < 3; count++) {
    streams.push(collect(channel, String(count)));
    await eventually('the stream is open', () => {
      let active = 0;
      for (const connection of server.connections) active += connection.activeStreams;
      return active === count + 1;
    });
  }
  assert.equal(server.connections.length, 2);
  collect(channel, '3');
  await eventually('all streams are used', () => server.connections[1]?.activeStreams === 2);
  const beyond = collect(channel, '4');
  await eventually('the limit', () => beyond.statuses.length === 1);
  assert.equal(beyond.statuses[0]?.code, grpcCode.resourceExhausted);
});

test('calls made at once share connections without losing any', async (context) => {
  const server = await ownServer(context, [echo], { http2_streams: 1000 });
  const channel = ownChannel(context, server.port);
  const answers = await Promise.all(
    Array.from({ length: 250 }, (_, index) => channel.unary(certify, { identity: String(index) })),
  );
  assert.deepEqual(
    answers.map(({ leafCertificate }) => Number(Buffer.from(leafCertificate).toString())),
    Array.from({ length: 250 }, (_, index) => index),
  );
});

test('a server that cannot be reached is UNAVAILABLE', async (context) => {
  const channel = channelOver(context, () => Promise.reject(new Error('no route')));
  await assert.rejects(channel.unary(certify, {}), {
    code: grpcCode.unavailable,
    message: 'cannot connect: no route',
  });
  channel.close();
  await assert.rejects(channel.unary(certify, {}), { code: grpcCode.unavailable });
});

async function stores() {
  const anchor = forgeAnchor();
  const issuer = forgeIssuer(anchor, 'east');
  const store = (serviceAccount: string) =>
    new CredentialStore(
      credentialsOf(
        forgeLeaf(issuer, [generalName.dns(identityOf(serviceAccount, 'east'))]),
        [issuer],
        [anchor],
      ),
    );
  return { server: store('server'), client: store('client') };
}

async function meshServer(context: TestContext) {
  const { server, client } = await stores();
  const acceptor = new TlsAcceptor({ credentials: server, clock: systemClock, alpn: [] });
  const own = await ownServer(context, [echo]);
  const { port } = await listen(context, (socket) =>
    acceptor.accept(socket, (result) => {
      if ('socket' in result) own.serve(result.socket);
    }),
  );
  return { port, client };
}

test('mTLS without ALPN, as the proxies dial', async (context) => {
  const { port, client } = await meshServer(context);
  const channel = channelOver(context, () =>
    dialTls({
      host: '127.0.0.1',
      port,
      identity: identityOf('server', 'east'),
      alpn: [],
      credentials: client,
      clock: systemClock,
      timeoutMs: 5000,
    }),
  );
  const answer = await channel.unary(certify, { identity: 'over TLS' });
  assert.equal(Buffer.from(answer.leafCertificate).toString(), 'over TLS');
});

test('our client speaks TLS without ALPN to a plain tls server as well', async (context) => {
  const { server: store } = await stores();
  const credentials = store.current;
  assert.ok(credentials !== undefined);
  const own = await ownServer(context, [echo]);
  const server = createServer(secureContextOptions(credentials), (socket) => {
    assert.equal(socket.alpnProtocol, false);
    own.serve(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  const address = server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  const channel = channelOver(context, async () => {
    const socket = connectTls({
      host: '127.0.0.1',
      port,
      ca: credentials.anchorsPem,
      servername: identityOf('server', 'east'),
    });
    await once(socket, 'secureConnect');
    return socket;
  });
  const answer = await channel.unary(certify, { identity: 'plain tls' });
  assert.equal(Buffer.from(answer.leafCertificate).toString(), 'plain tls');
});
