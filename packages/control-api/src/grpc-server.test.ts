import assert from 'node:assert/strict';
import test from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { systemClock } from '@mesh/clock/system';
import { getHeader } from '@mesh/http/headers';
import type { ClientHandler, ResponseHead } from '@mesh/http/message';
import { connectHttp2 } from '@mesh/http2/client';
import { http2Limits } from '@mesh/http2/limits';
import { LimitLedger } from '@mesh/limits/limits';
import { eventually } from '@mesh/testkit/eventually';
import { assertNoLeaks } from '@mesh/testkit/leaks';
import { dialTcp } from '@mesh/testkit/servers';
import { Destination } from './gen/linkerd/destination_pb.ts';
import { Identity } from './gen/linkerd/identity_pb.ts';
import { type GrpcRoutes, grpcService } from './grpc-server.ts';
import { frameMessage } from './message-reader.ts';
import type { GrpcSink } from './response-sink.ts';
import { GrpcError, grpcCode } from './status.ts';
import { foreignClient, foreignStream, foreignUnary, ownChannel, ownServer } from './testing/grpc-peer.ts';

const { get } = Destination.method;
const { certify } = Identity.method;

const identity = grpcService(Identity, {
  certify: ({ identity: name, token }, { peer }) => {
    if (name === 'refused') throw new GrpcError(grpcCode.permissionDenied, 'niemals: ✗');
    if (name === 'broken') throw new Error('secret detail');
    if (name === 'slow') return new Promise<never>(() => {});
    return { leafCertificate: Buffer.concat([Buffer.from(`${peer}:${name}:`), token]) };
  },
});

function destination(onGet: (path: string, sink: GrpcSink<typeof get.output>) => void): GrpcRoutes<string> {
  return grpcService(Destination, {
    get: ({ path }, sink) => onGet(path, sink),
    getProfile: () => {
      throw new GrpcError(grpcCode.notFound, 'no profile');
    },
  });
}

test('a grpc-js client: unary calls, large messages and statuses', async (context) => {
  assertNoLeaks(context);
  const { port } = await ownServer(context, [identity]);
  const client = foreignClient(context, port);
  const token = Buffer.alloc(300_000, 7);
  const answer = await foreignUnary(client, certify, { input: { identity: 'me', token } });
  assert.deepEqual(Buffer.from(answer.leafCertificate), Buffer.concat([Buffer.from('somebody:me:'), token]));

  await assert.rejects(foreignUnary(client, certify, { input: { identity: 'refused' } }), {
    code: grpcCode.permissionDenied,
    details: 'niemals: ✗',
  });
  await assert.rejects(foreignUnary(client, certify, { input: { identity: 'broken' } }), {
    code: grpcCode.internal,
    details: 'internal error',
  });
  const unknown = foreignStream(client, get, { path: 'x' });
  assert.equal((await unknown.ended).code, grpcCode.unimplemented);
});

test('the deadline of a client ends the call here too', async (context) => {
  const done: [string, number][] = [];
  const { port } = await ownServer(context, [identity], { onDone: (path, code) => done.push([path, code]) });
  const client = foreignClient(context, port);
  // Over a connection that is there, so that the deadline cannot pass before the call is made.
  await foreignUnary(client, certify, { input: { identity: 'me' } });
  await assert.rejects(foreignUnary(client, certify, { input: { identity: 'slow' }, deadlineMs: 150 }), {
    code: grpcCode.deadlineExceeded,
  });
  const [path, code] = await eventually('the call ended', () => done[1]);
  assert.equal(path, '/io.linkerd.proxy.identity.Identity/Certify');
  assert.ok(code === grpcCode.deadlineExceeded || code === grpcCode.cancelled);
});

test('a grpc-js client: a stream brings messages as they are sent, then the status', async (context) => {
  assertNoLeaks(context);
  let sink: GrpcSink<typeof get.output> | undefined;
  const { port } = await ownServer(context, [
    destination((_path, opened) => {
      sink = opened;
      opened.send({ update: { case: 'noEndpoints', value: { exists: true } } });
    }),
  ]);
  const client = foreignClient(context, port);
  const stream = foreignStream(client, get, { path: 'web.shop' });
  await eventually('the first message', () => stream.messages.length === 1);
  sink?.send({ update: { case: 'noEndpoints', value: { exists: false } } });
  await eventually('the second message', () => stream.messages.length === 2);
  sink?.end({ code: grpcCode.failedPrecondition, message: 'over' });
  const status = await stream.ended;
  assert.equal(status.code, grpcCode.failedPrecondition);
  assert.equal(status.details, 'over');
  assert.equal(sink?.open, false);
  const profile = foreignStream(client, Destination.method.getProfile, { path: 'x' });
  assert.equal((await profile.ended).code, grpcCode.notFound);
});

test('a stream without messages is accepted at once, and cancelling it reaches the handler', async (context) => {
  assertNoLeaks(context);
  let cancelled = 0;
  const { port } = await ownServer(context, [destination((_path, sink) => sink.onCancel(() => cancelled++))]);
  const { call, ended } = foreignStream(foreignClient(context, port), get, { path: 'x' });
  await new Promise((resolve) => call.once('metadata', resolve));
  call.cancel();
  assert.equal((await ended).code, grpcCode.cancelled);
  await eventually('the handler was told', () => cancelled === 1);
});

test('a reader that stalls is held back, then told; one that never reads loses its stream', async (context) => {
  const sinks: GrpcSink<typeof get.output>[] = [];
  const name = 'n'.repeat(20_000);
  const message = { update: { case: 'add' as const, value: { metricLabels: { name } } } };
  let drained = 0;
  const { port } = await ownServer(
    context,
    [
      destination((_path, sink) => {
        sinks.push(sink);
        sink.onDrain(() => drained++);
      }),
    ],
    { limits: { grpc_queued_messages: 3 } },
  );
  const client = foreignClient(context, port);
  const reader = foreignStream(client, get, { path: 'reader' });
  reader.call.pause();
  const sink = await eventually('the stream', () => sinks[0]);
  let sent = 1;
  while (sink.send(message)) sent++;
  assert.ok(sent > 1 && sent < 100, `${sent} messages of 20 kB were taken at once`);
  assert.equal(drained, 0);
  reader.call.resume();
  await eventually('all messages', () => reader.messages.length === sent);
  await eventually('room again', () => drained >= 1);

  const stalled = foreignStream(client, get, { path: 'stalled' });
  stalled.call.pause();
  const second = await eventually('the second stream', () => sinks[1]);
  let cancelled = false;
  second.onCancel(() => {
    cancelled = true;
  });
  for (let count = 0; count < 200 && second.open; count++) second.send(message);
  assert.equal(second.open, false);
  assert.ok(cancelled);
});

test('what is no gRPC request is refused in HTTP', async (context) => {
  const { port } = await ownServer(context, [identity]);
  const socket = await dialTcp(context, port);
  const connection = connectHttp2(socket, { clock: systemClock, limits: new LimitLedger(http2Limits) });
  const ask = (method: string, type: string, path = '/io.linkerd.proxy.identity.Identity/Certify') =>
    new Promise<ResponseHead>((resolve, reject) => {
      const handler: ClientHandler = {
        onResponse: (head) => resolve(head),
        onInform() {},
        onData() {},
        onEnd() {},
        onDrain() {},
        onReset: (reason) => reject(new Error(reason)),
      };
      const headers = type === '' ? [] : ['content-type', type];
      connection.request(
        { method, scheme: 'http', authority: 'x', path, headers, upgrade: '', version: 20 },
        true,
        handler,
      );
    });
  assert.equal((await ask('POST', 'application/json')).status, 415);
  assert.equal((await ask('POST', '')).status, 415);
  assert.equal((await ask('POST', 'application/grpcx')).status, 415);
  assert.equal((await ask('GET', 'application/grpc')).status, 405);
  const empty = await ask('POST', 'application/grpc+proto');
  assert.equal(empty.status, 200);
  assert.deepEqual(empty.headers.slice(2, 4), ['grpc-status', String(grpcCode.internal)]);
});

test('a request over the limit is refused by its prefix', async (context) => {
  const { port } = await ownServer(context, [identity], { limits: { grpc_message_bytes: 1000 } });
  const client = foreignClient(context, port);
  await assert.rejects(
    foreignUnary(client, certify, { input: { identity: 'me', token: Buffer.alloc(2000) } }),
    {
      code: grpcCode.resourceExhausted,
    },
  );
  await foreignUnary(client, certify, { input: { identity: 'me', token: Buffer.alloc(900) } });
});

test('requests that are never complete hold no more than their connection may', async (context) => {
  const limits = { grpc_request_bytes: 40_000 };
  const { port } = await ownServer(context, [identity], { limits });
  const socket = await dialTcp(context, port);
  const connection = connectHttp2(socket, { clock: systemClock, limits: new LimitLedger(http2Limits) });
  let statuses: (string | undefined)[] = [];
  const begin = (bytes: number) => {
    const handler: ClientHandler = {
      onResponse: ({ headers }) => void statuses.push(getHeader(headers, 'grpc-status')),
      onInform() {},
      onData() {},
      onEnd() {},
      onDrain() {},
      onReset() {},
    };
    const path = '/io.linkerd.proxy.identity.Identity/Certify';
    const headers = ['content-type', 'application/grpc'];
    const head = {
      method: 'POST',
      scheme: 'http',
      authority: 'x',
      path,
      headers,
      upgrade: '',
      version: 20,
    } as const;
    const stream = connection.request(head, false, handler);
    const whole = frameMessage(
      toBinary(certify.input, create(certify.input, { token: Buffer.alloc(18_000) })),
    );
    stream.write(Buffer.from(whole.subarray(0, bytes)));
    return { reset: () => stream.reset('cancel'), complete: () => stream.end(null) };
  };
  const first = begin(15_000);
  const second = begin(15_000);
  begin(15_000);
  begin(15_000);
  await eventually('two are refused', () => statuses.length === 2);
  assert.deepEqual(statuses, [String(grpcCode.resourceExhausted), String(grpcCode.resourceExhausted)]);
  // Whichever way a call ends, it gives back what it held.
  statuses = [];
  first.reset();
  second.complete();
  await eventually('the second is over', () => statuses.length === 1);
  assert.deepEqual(statuses, [String(grpcCode.internal)]);
  const whole = [begin(20_000), begin(20_000)];
  for (const { complete } of whole) complete();
  await eventually('two are answered', () => statuses.length === 3);
  assert.deepEqual(statuses.slice(1), [undefined, undefined]);
});

test('a deadline that is years away does not pass at once', async (context) => {
  const { port } = await ownServer(context, [identity]);
  const answer = await ownChannel(context, port).unary(
    certify,
    { identity: 'me' },
    { metadata: ['grpc-timeout', '99999999H'] },
  );
  assert.equal(Buffer.from(answer.leafCertificate).toString(), 'somebody:me:');
  const slow = ownChannel(context, port).unary(
    certify,
    { identity: 'slow' },
    { metadata: ['grpc-timeout', '99999999H'] },
  );
  const first = await Promise.race([
    slow.catch(() => 'ended'),
    new Promise((resolve) => setTimeout(resolve, 50, 'open')),
  ]);
  assert.equal(first, 'open');
});
