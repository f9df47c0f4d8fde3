/**
 * The interoperability cases of gRPC (grpc/doc/interop-test-descriptions.md, by their names and sizes) with grpc-js at
 * both ends, through two sidecars and a gateway.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { Metadata, status } from '@grpc/grpc-js';
import { eventually } from '@mesh/testkit/eventually';
import {
  Caller,
  echoInitial,
  echoTrailing,
  type GrpcApplication,
  serviceName,
  startGrpcApplication,
} from './testing/grpc-application.ts';
import { payloadOf } from './testing/grpc-payload.ts';
import { long } from './testing/long-form.ts';
import { startTwoClusters, type TwoClusters } from './testing/two-clusters.ts';

/** Sizes that all implementations use. */
const largeRequest = 271_828;
const largeAnswer = 314_159;
const clientStreamSizes = [27_182, 8, 1828, 45_904];
const serverStreamSizes = [31_415, 9, 2653, 58_979];
const mebibyte = 1_048_576;
/** Calls in turn and at once on one channel, and channels. */
const soak = long ? { inTurn: 1000, atOnce: 1000, channels: 100 } : { inTurn: 20, atOnce: 20, channels: 10 };

interface Setting {
  readonly test: TestContext;
  readonly path: TwoClusters;
  readonly application: GrpcApplication;
  /** One channel for all cases but those that want their own. */
  readonly caller: Caller;
}

type Case = readonly [name: string, run: (setting: Setting) => Promise<void>];

async function largeUnary(caller: Caller): Promise<void> {
  const { code, details, message } = await caller.unary(payloadOf({ answers: [largeAnswer] }, largeRequest));
  assert.equal(code, status.OK, details);
  assert.equal(message?.body.length, largeAnswer);
}

const openedByClients = async ({ path }: Setting): Promise<number> => {
  const page = await path.caller.metrics();
  return Number(/^tcp_open_total\{direction="outbound",peer="src"[^}]*\} (\d+)$/m.exec(page)?.[1] ?? 0);
};

const unaryCases: readonly Case[] = [
  [
    'empty_unary',
    async ({ caller }) => {
      const { code, message } = await caller.unary(payloadOf({}));
      assert.equal(code, status.OK);
      assert.deepEqual(message, payloadOf({}));
    },
  ],
  ['large_unary', async ({ caller }) => largeUnary(caller)],
  [
    'messages of 4 MiB both ways',
    async ({ caller }) => {
      const { code, message } = await caller.unary(payloadOf({ answers: [4 * mebibyte] }, 4 * mebibyte));
      assert.equal(code, status.OK);
      assert.equal(message?.body.length, 4 * mebibyte);
    },
  ],
  [
    'pick_first_unary',
    async (setting) => {
      const before = await openedByClients(setting);
      const caller = new Caller(setting.test, setting.path.port);
      for (let call = 0; call < 10; call++) await largeUnary(caller);
      assert.equal((await openedByClients(setting)) - before, 1, 'one connection for all calls');
    },
  ],
  [
    'rpc_soak',
    async ({ caller }) => {
      for (let call = 0; call < soak.inTurn; call++) await largeUnary(caller);
      await Promise.all(Array.from({ length: soak.atOnce }, () => largeUnary(caller)));
    },
  ],
  [
    'channel_soak',
    async (setting) => {
      const before = await openedByClients(setting);
      for (let channel = 0; channel < soak.channels; channel++) {
        const caller = new Caller(setting.test, setting.path.port);
        await largeUnary(caller);
        caller.client.close();
      }
      assert.equal((await openedByClients(setting)) - before, soak.channels);
    },
  ],
];

const streamingCases: readonly Case[] = [
  [
    'client_streaming',
    async ({ caller }) => {
      const call = caller.clientStream();
      for (const size of clientStreamSizes) call.write(payloadOf({}, size));
      call.end();
      assert.equal((await call.ended).code, status.OK);
      assert.deepEqual(call.messages[0]?.instruction.answers, clientStreamSizes);
    },
  ],
  [
    'server_streaming',
    async ({ caller }) => {
      const call = caller.serverStream(payloadOf({ answers: serverStreamSizes }));
      assert.equal((await call.ended).code, status.OK);
      assert.deepEqual(await call.answers(4), serverStreamSizes);
    },
  ],
  [
    'ping_pong',
    async ({ caller }) => {
      const call = caller.duplex();
      for (const [turn, size] of serverStreamSizes.entries()) {
        call.write(payloadOf({ answers: [size] }, clientStreamSizes[turn]));
        assert.equal((await call.answers(turn + 1))[turn], size);
      }
      call.end();
      assert.equal((await call.ended).code, status.OK);
    },
  ],
  [
    'empty_stream',
    async ({ caller }) => {
      const call = caller.duplex();
      call.end();
      assert.equal((await call.ended).code, status.OK);
      assert.deepEqual(call.messages, []);
    },
  ],
];

const endingCases: readonly Case[] = [
  [
    'timeout_on_sleeping_server',
    async ({ caller, application }) => {
      const before = application.cancelled();
      const call = caller.duplex({ deadlineMs: 150 });
      call.write(payloadOf({}, clientStreamSizes[0]));
      assert.equal((await call.ended).code, status.DEADLINE_EXCEEDED);
      await eventually('the application hears of it', () => application.cancelled() > before);
      const { code } = await caller.unary(payloadOf({}), { deadlineMs: 60_000 });
      assert.equal(code, status.OK);
      const left = application.deadlineMs() ?? 0;
      assert.ok(left > 30_000 && left <= 60_000, `the deadline arrives: ${left} ms`);
    },
  ],
  [
    'cancel_after_begin',
    async ({ caller }) => {
      const call = caller.clientStream();
      call.write(payloadOf({}, 8));
      await new Promise((resolve) => setImmediate(resolve));
      call.cancel();
      assert.equal((await call.ended).code, status.CANCELLED);
      assert.equal((await caller.unary(payloadOf({}))).code, status.OK);
    },
  ],
  [
    'cancel_after_first_response',
    async ({ caller, application }) => {
      const before = application.cancelled();
      const call = caller.duplex();
      call.write(payloadOf({ answers: [31_415] }, 27_182));
      await call.answers(1);
      call.cancel();
      assert.equal((await call.ended).code, status.CANCELLED);
      await eventually('the application hears of it', () => application.cancelled() === before + 1);
    },
  ],
  [
    'status_code_and_message',
    async ({ caller }) => {
      for (let wanted = 1; wanted <= 16; wanted++) {
        const details = `test status message ${wanted}`;
        const instruction = { status: { code: wanted, details } };
        const unary = await caller.unary(payloadOf(instruction));
        assert.deepEqual([unary.code, unary.details], [wanted, details]);
        const call = caller.duplex();
        call.write(payloadOf(instruction));
        const ended = await call.ended;
        assert.deepEqual([ended.code, ended.details], [wanted, details]);
      }
    },
  ],
  [
    'special_status_message',
    async ({ caller }) => {
      const details = '\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n';
      const answer = await caller.unary(payloadOf({ status: { code: status.UNKNOWN, details } }));
      assert.deepEqual([answer.code, answer.details], [status.UNKNOWN, details]);
    },
  ],
  [
    'custom_metadata',
    async ({ caller, application }) => {
      const metadata = new Metadata();
      const binary = Buffer.from([0xab, 0xab, 0xab, 0x00, 0xff]);
      metadata.add(echoInitial, 'test_initial_metadata_value');
      metadata.add(echoTrailing, binary);
      const unary = await caller.unary(payloadOf({ answers: [largeAnswer] }, largeRequest), { metadata });
      const call = caller.duplex({ metadata });
      call.write(payloadOf({ answers: [1] }));
      call.end();
      for (const { code, initial, trailers } of [unary, await call.ended]) {
        assert.equal(code, status.OK);
        assert.deepEqual(initial.get(echoInitial), ['test_initial_metadata_value']);
        assert.deepEqual(trailers.get(echoTrailing), [binary]);
      }
      assert.match(String(application.latest('l5d-client-id')), /^frontend\.shop\..*\.east\.mesh\.local$/);
    },
  ],
  [
    'unimplemented_method',
    async ({ caller }) => {
      const { code } = await caller.unary(payloadOf({}), { path: `/${serviceName}/NoSuchMethod` });
      assert.equal(code, status.UNIMPLEMENTED);
    },
  ],
  [
    'unimplemented_service',
    async ({ caller }) => {
      const { code } = await caller.unary(payloadOf({}), { path: '/mesh.interop.NoSuchService/Unary' });
      assert.equal(code, status.UNIMPLEMENTED);
    },
  ],
  [
    'orca_per_rpc',
    async ({ caller }) => {
      const { trailers } = await caller.unary(payloadOf({}, 100));
      const [report] = trailers.get('endpoint-load-metrics-bin');
      // request_cost: a map entry of "bytes" to 100.0 (a double).
      assert.ok(Buffer.isBuffer(report) && report.includes('bytes'), 'a load report in the trailers');
      assert.ok(report.includes(Buffer.from('0000000000005940', 'hex')));
    },
  ],
];

/** grpc-js sends its first report after 30 s of silence; the short form of this case is among the scripted ones. */
const orcaOutOfBand: Case = [
  'orca_oob',
  async ({ test, path }) => {
    const { client } = new Caller(test, path.port);
    const bytes = (message: Buffer): Buffer => message;
    const call = client.makeServerStreamRequest(
      '/xds.service.orca.v3.OpenRcaService/StreamCoreMetrics',
      bytes,
      bytes,
      Buffer.alloc(0),
    );
    call.on('error', () => {});
    const [report] = (await once(call, 'data')) as [Buffer];
    // cpu_utilization, field 1 of OrcaLoadReport, is 0.25.
    assert.deepEqual(report.subarray(0, 9), Buffer.from('09000000000000d03f', 'hex'));
    call.cancel();
  },
];

const cases: readonly Case[] = [
  ...(long ? [orcaOutOfBand] : []),
  ...unaryCases,
  ...streamingCases,
  ...endingCases,
];

test('gRPC interop: grpc-js calls grpc-js through two sidecars and a gateway', async (t) => {
  const application = await startGrpcApplication(t);
  const path = await startTwoClusters(t, { app: application.port });
  const caller = new Caller(t, path.port);
  for (const [name, run] of cases) {
    await t.test(name, async (each) => run({ test: each, path, application, caller }));
  }
  await t.test('all of it went through the gateway as gRPC of one caller', async () => {
    const page = await path.gateway.metrics();
    assert.match(page, /^response_total\{[^}]*source_cluster="east"[^}]*grpc_status="0"[^}]*\} \d{2,}$/m);
  });
});
