import assert from 'node:assert/strict';
import { requestHead, send } from '@mesh/http2/testing/exchange';
import {
  block,
  type ClientRig,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  get,
  GOAWAY,
  HEADERS,
  openRequest,
  PADDED,
  PING,
  PRIORITY,
  request,
  RST_STREAM,
  type ServerRig,
  settings,
  startClient,
  startServer,
  turn,
  u32,
  WINDOW_UPDATE,
} from '@mesh/http2/testing/raw-peer';
import { cuts, type FuzzTarget } from '../target.ts';

const common = [
  settings([4, 10]),
  settings([1, 0], [3, 1]),
  frame(PING, 0, 0, Buffer.alloc(8)),
  frame(PRIORITY, 0, 1, Buffer.alloc(5)),
  frame(RST_STREAM, 0, 1, u32(8)),
  frame(WINDOW_UPDATE, 0, 0, u32(1000)),
  frame(WINDOW_UPDATE, 0, 1, u32(0x7fffffff)),
  frame(GOAWAY, 0, 0, u32(0, 0)),
  frame(DATA, END_STREAM, 1, 'x'),
  frame(DATA, PADDED, 1, '\x02abc\0\0'),
  frame(CONTINUATION, END_HEADERS, 1, block('a', 'b')),
];

const get200 = frame(HEADERS, END_HEADERS, 1, block(':status', '200'));
const path = (text: string): string[] => [...get.slice(0, 5), text, ...get.slice(6)];
const connect = [':method', 'CONNECT', ':protocol', 'websocket', ':scheme', 'http', ':path', '/silent'];

async function serverAnswer(reads: readonly Buffer[]): Promise<ServerRig> {
  const rig = startServer();
  for (const read of reads) rig.server.receive(read);
  await turn();
  await turn();
  return rig;
}

/** What came behind the preface of a client. */
export const http2Server: FuzzTarget = {
  name: 'http2-server',
  what: 'a whole server connection, behind the preface',
  seeds: () => [
    Buffer.concat([request(1, path('/x')), request(3)]),
    Buffer.concat([
      openRequest(1, path('/x')),
      frame(DATA, 0, 1, 'some'),
      frame(DATA, END_STREAM, 1, 'body'),
    ]),
    Buffer.concat([
      openRequest(1, path('/x')),
      frame(DATA, 0, 1, 'some'),
      frame(HEADERS, END_HEADERS | END_STREAM, 1, block('a', 'b')),
    ]),
    Buffer.concat([openRequest(1, connect), frame(DATA, 0, 1, 'tunnel')]),
    Buffer.concat([frame(HEADERS, END_STREAM, 1, block(...get)), frame(CONTINUATION, END_HEADERS, 1)]),
    ...common,
  ],
  dictionary: [...common, request(1, path('/x')), openRequest(3), block('content-length', '1')],
  async run(input) {
    const whole = await serverAnswer([input]);
    const cut = await serverAnswer(cuts(input));
    assert.deepEqual(cut.transport.frames(), whole.transport.frames(), 'other reads give other answers');
    const sent = whole.transport.writes.reduce((sum, { length }) => sum + length, 0);
    assert.ok(sent <= 1000 + input.length * 32, `${sent} bytes answer ${input.length}`);
    assert.ok(whole.server.activeStreams <= 100);
    for (const { server, listener, clock } of [whole, cut]) {
      server.destroy();
      assert.equal(server.activeStreams, 0);
      assert.equal(listener.closed, 1);
      assert.equal(clock.pending, 0, 'a timer is left');
    }
  },
};

interface ClientRun {
  rig: ClientRig;
  answers: ReturnType<typeof send>[];
}

async function clientAnswer(reads: readonly Buffer[]): Promise<ClientRun> {
  const rig = startClient();
  const answers = [
    send(rig.client, requestHead('/get')),
    send(rig.client, requestHead('/head', { method: 'HEAD' })),
    send(rig.client, requestHead('/post', { method: 'POST' }), Buffer.from('body')),
  ];
  await turn();
  for (const read of reads) rig.client.receive(read);
  await turn();
  await turn();
  return { rig, answers };
}

/** What a server says behind its SETTINGS to a client with three requests. */
export const http2Client: FuzzTarget = {
  name: 'http2-client',
  what: 'a whole client connection with three requests, behind the SETTINGS of the server',
  seeds: () => [
    Buffer.concat([get200, frame(DATA, END_STREAM, 1, 'body')]),
    Buffer.concat([get200, frame(DATA, 0, 1, 'x'), frame(HEADERS, 5, 1, block('grpc-status', '0'))]),
    Buffer.concat([frame(HEADERS, 4, 1, block(':status', '103')), get200]),
    frame(HEADERS, 5, 3, block(':status', '204')),
    ...common,
  ],
  dictionary: [...common, get200, block('content-length', '1'), block(':status', '304')],
  async run(input) {
    const whole = await clientAnswer([input]);
    const cut = await clientAnswer(cuts(input));
    assert.deepEqual(
      cut.rig.transport.frames(),
      whole.rig.transport.frames(),
      'other reads give other answers',
    );
    for (const { rig, answers } of [whole, cut]) {
      rig.client.destroy();
      assert.equal(rig.client.activeStreams, 0);
      assert.equal(rig.clock.pending, 0, 'a timer is left');
      for (const { ended, resetReason } of answers) {
        assert.ok(ended !== (resetReason !== undefined), 'an exchange has one end');
      }
    }
    const bodies = (run: ClientRun): string[] => run.answers.map(({ body }) => body);
    assert.deepEqual(bodies(cut), bodies(whole));
  },
};
