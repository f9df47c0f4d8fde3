/**
 * gRPC cases whose server grpc-js cannot be: compression as seen on the wire, and the negative HTTP/2 set
 * (grpc/doc/negative-http2-interop-test-descriptions.md), through two sidecars and a gateway.
 */
import assert from 'node:assert/strict';
import { constants } from 'node:http2';
import { test } from 'node:test';
import { compressionAlgorithms, Metadata, status } from '@grpc/grpc-js';
import { eventually } from '@mesh/testkit/eventually';
import { type Answered, Caller } from './testing/grpc-application.ts';
import { payloadOf } from './testing/grpc-payload.ts';
import {
  codeHeader,
  flagsHeader,
  scriptedSizes,
  scriptPath,
  startScriptedGrpc,
} from './testing/scripted-grpc.ts';
import { startTwoClusters } from './testing/two-clusters.ts';

const gzip = { 'grpc.default_compression_algorithm': compressionAlgorithms.gzip };
/** Tells grpc-js to leave one message as it is. */
const noCompress = 2;
const {
  NGHTTP2_NO_ERROR,
  NGHTTP2_INTERNAL_ERROR,
  NGHTTP2_CANCEL,
  NGHTTP2_ENHANCE_YOUR_CALM,
  NGHTTP2_PROTOCOL_ERROR,
} = constants;

test('gRPC interop: compression, and servers that end streams and connections', async (t) => {
  const server = await startScriptedGrpc(t);
  const path = await startTwoClusters(t, { app: server.port });
  const caller = new Caller(t, path.port);
  const compressing = new Caller(t, path.port, gzip);

  await t.test('client_compressed_unary', async () => {
    for (const [channel, flags] of [
      [compressing, '1'],
      [caller, '0'],
    ] as const) {
      const { code, trailers, message } = await channel.unary(payloadOf({}, 271_828), {
        path: scriptPath('Flags'),
      });
      assert.equal(code, status.OK);
      assert.deepEqual(trailers.get(flagsHeader), [flags]);
      assert.deepEqual(message?.instruction.answers, [271_828]);
    }
  });

  await t.test('server_compressed_unary', async () => {
    const { code, message } = await caller.unary(payloadOf({}), { path: scriptPath('Compressed') });
    assert.equal(code, status.OK);
    assert.equal(message?.body.length, scriptedSizes[0]);
  });

  await t.test('client_compressed_streaming', async () => {
    const call = compressing.clientStream(scriptPath('Flags'));
    call.write(payloadOf({}, 27_182));
    call.write(payloadOf({}, 45_904), noCompress);
    call.end();
    const { code, trailers } = await call.ended;
    assert.equal(code, status.OK);
    assert.deepEqual(trailers.get(flagsHeader), ['10']);
    assert.deepEqual(call.messages[0]?.instruction.answers, [27_182, 45_904]);
  });

  await t.test('server_compressed_streaming', async () => {
    const call = caller.serverStream(payloadOf({}), scriptPath('CompressedThenPlain'));
    assert.equal((await call.ended).code, status.OK);
    assert.deepEqual(await call.answers(2), scriptedSizes);
  });

  await t.test('goaway: the next call goes over a new connection', async () => {
    const before = server.connections();
    for (let call = 0; call < 5; call++) {
      const { code, details, message } = await caller.unary(payloadOf({}), { path: scriptPath('goaway') });
      assert.equal(code, status.OK, details);
      assert.equal(message?.body.length, scriptedSizes[0]);
    }
    assert.ok(server.connections() - before >= 4, 'no connection is used again');
  });

  for (const script of ['rst_after_header', 'rst_during_data', 'rst_after_data']) {
    await t.test(`${script}: the call fails, and only this call`, async () => {
      for (const [sent, got] of [
        [NGHTTP2_NO_ERROR, status.INTERNAL],
        [NGHTTP2_INTERNAL_ERROR, status.INTERNAL],
        [NGHTTP2_PROTOCOL_ERROR, status.INTERNAL],
        [NGHTTP2_CANCEL, status.CANCELLED],
        [NGHTTP2_ENHANCE_YOUR_CALM, status.RESOURCE_EXHAUSTED],
      ] as const) {
        const metadata = new Metadata();
        metadata.set(codeHeader, String(sent));
        const beside = caller.unary(payloadOf({}, 1), { path: scriptPath('Flags') });
        const { code, message } = await caller.unary(payloadOf({}), { metadata, path: scriptPath(script) });
        assert.equal(status[code], status[got], `for code ${sent}`);
        if (script !== 'rst_after_data') assert.equal(message, undefined);
        assert.equal((await beside).code, status.OK);
      }
    });
  }

  await t.test('ping: answered by the sidecar next to the server, while the call goes on', async () => {
    const { code, message } = await caller.unary(payloadOf({}), { path: scriptPath('ping') });
    assert.equal(code, status.OK);
    assert.equal(message?.body.length, scriptedSizes[0]);
    await eventually('both pings are answered', () => server.pongs() === 2);
  });

  await t.test('orca_oob: reports of a stream that goes on until it is cancelled', async () => {
    const call = caller.serverStream(payloadOf({}), '/xds.service.orca.v3.OpenRcaService/StreamCoreMetrics');
    assert.deepEqual((await call.answers(3)).slice(0, 3), [1, 1, 1]);
    call.cancel();
    await eventually('the server hears of it', () => server.cancelled() === 1);
  });
});

test('gRPC interop: max_streams: one stream at a time on each connection, and every call succeeds', async (t) => {
  const server = await startScriptedGrpc(t, { maxConcurrentStreams: 1 });
  const { port } = await startTwoClusters(t, { app: server.port });
  const caller = new Caller(t, port);
  const call = (): Promise<Answered> => caller.unary(payloadOf({}), { path: scriptPath('max_streams') });
  // The limit is known once the first call has a connection.
  assert.equal((await call()).code, status.OK);
  for (const { code, details } of await Promise.all(Array.from({ length: 30 }, call))) {
    assert.equal(code, status.OK, details);
  }
  assert.equal(server.mostStreams(), 1);
});
