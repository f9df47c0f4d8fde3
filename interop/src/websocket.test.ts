/** WebSocket with `ws` at both ends of two sidecars and a gateway: nothing of it is changed on the way. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { test, type TestContext } from 'node:test';
import { seededRandom } from '@mesh/clock/seeded';
import { eventually } from '@mesh/testkit/eventually';
import { WebSocket, WebSocketServer } from 'ws';
import { listening } from '@mesh/testkit/servers';
import { long } from './testing/long-form.ts';
import { startTwoClusters } from './testing/two-clusters.ts';

const mebibyte = 1_048_576;

interface Message {
  readonly data: Buffer;
  readonly binary: boolean;
}

interface Setting {
  readonly test: TestContext;
  readonly port: number;
  /** The server's end of the latest connection. */
  readonly server: () => WebSocket;
  /** The request that the latest connection began with. */
  readonly request: () => IncomingMessage;
}

/** An open connection, both ends of it. */
async function open(
  { test, port, server }: Setting,
  { path = '/', protocols = [] as string[], deflate = false } = {},
): Promise<{ client: WebSocket; server: WebSocket }> {
  const client = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols, { perMessageDeflate: deflate });
  test.after(() => client.terminate());
  client.on('error', () => {});
  await once(client, 'open');
  return { client, server: server() };
}

async function next(socket: WebSocket): Promise<Message> {
  const [data, binary] = (await once(socket, 'message')) as [Buffer, boolean];
  return { data, binary };
}

async function closing(socket: WebSocket): Promise<[code: number, reason: string]> {
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer];
  return [code, reason.toString()];
}

/** Random bytes for each piece, the same at each run. */
function pieces(seed: number): (bytes: number) => Buffer {
  const random = seededRandom(seed);
  return (bytes) => {
    const piece = Buffer.alloc(bytes);
    for (let at = 0; at + 4 <= bytes; at += 4) piece.writeUInt32LE(Math.floor(random.next() * 2 ** 32), at);
    return piece;
  };
}

type Case = readonly [name: string, run: (setting: Setting) => Promise<void>];

const messageCases: readonly Case[] = [
  [
    'text and binary come back as they were, down to the empty message',
    async (setting) => {
      const { client } = await open(setting);
      const random = pieces(1);
      for (const data of ['', 'hello', 'Grüße 😈\0\r\n', 'x'.repeat(70_000)]) {
        client.send(data);
        assert.deepEqual(await next(client), { data: Buffer.from(data), binary: false });
      }
      for (const bytes of [0, 1, 125, 126, 65_535, 65_536, 300_000]) {
        const data = random(bytes);
        client.send(data);
        assert.deepEqual(await next(client), { data, binary: true });
      }
    },
  ],
  [
    'fragments, with a ping between them',
    async (setting) => {
      const { client, server } = await open(setting);
      const pings: string[] = [];
      server.on('ping', (data: Buffer) => pings.push(data.toString()));
      const answer = next(client);
      client.send('one ', { fin: false });
      client.ping('between');
      client.send('two ', { fin: false });
      client.send('three', { fin: true });
      assert.equal((await answer).data.toString(), 'one two three');
      assert.deepEqual(pings, ['between']);
    },
  ],
  [
    'ping and pong, begun at either end',
    async (setting) => {
      const { client, server } = await open(setting);
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        const heard = once(to, 'ping');
        const answered = once(from, 'pong');
        from.ping('are you there');
        assert.equal(String((await heard)[0]), 'are you there');
        assert.equal(String((await answered)[0]), 'are you there');
      }
    },
  ],
  [
    'permessage-deflate and a subprotocol are negotiated by the ends alone',
    async (setting) => {
      const { client, server } = await open(setting, { protocols: ['chat.v2', 'chat.v1'], deflate: true });
      assert.equal(client.extensions, 'permessage-deflate');
      assert.equal(server.extensions, 'permessage-deflate');
      assert.equal(client.protocol, 'chat.v2');
      const text = 'the same again '.repeat(20_000);
      client.send(text);
      assert.equal((await next(client)).data.toString(), text);
      const plain = await open(setting);
      assert.equal(plain.client.extensions, '');
    },
  ],
  [
    'path, query and caller arrive with the upgrade',
    async (setting) => {
      await open(setting, { path: '/chat?room=%2f7' });
      const { url, headers } = setting.request();
      assert.equal(url, '/chat?room=%2f7');
      assert.match(String(headers['l5d-client-id']), /^frontend\.shop\..*\.east\.mesh\.local$/);
      assert.equal(headers['sec-websocket-version'], '13');
    },
  ],
];

const closeCodes: readonly (readonly [code: number, reason: string])[] = [
  [1000, ''],
  [1001, 'going away'],
  [1008, 'policy'],
  [1011, 'Fehler: unerwartet ☺'],
  [3000, 'x'.repeat(123)],
  [4999, 'ours'],
];

const endingCases: readonly Case[] = [
  [
    'close codes and reasons, from either end',
    async (setting) => {
      for (const [code, reason] of closeCodes) {
        const first = await open(setting);
        const heard = closing(first.server);
        first.client.close(code, reason);
        assert.deepEqual(await heard, [code, reason]);
        const second = await open(setting);
        const told = closing(second.client);
        second.server.close(code, reason);
        assert.deepEqual(await told, [code, reason]);
      }
    },
  ],
  [
    'a connection that is cut, at either end, is cut at the other',
    async (setting) => {
      const first = await open(setting);
      const heard = closing(first.server);
      first.client.terminate();
      assert.equal((await heard)[0], 1006);
      const second = await open(setting);
      const told = closing(second.client);
      second.server.terminate();
      assert.equal((await told)[0], 1006);
    },
  ],
  [
    'an upgrade that the application refuses is refused with its own answer',
    async ({ port }) => {
      const client = new WebSocket(`ws://127.0.0.1:${port}/forbidden`);
      client.on('error', () => {});
      const [, response] = (await once(client, 'unexpected-response')) as [unknown, IncomingMessage];
      assert.equal(response.statusCode, 403);
      assert.equal(response.headers['x-why'], 'not today');
      response.destroy();
    },
  ],
];

const total = long ? 1024 * mebibyte : 16 * mebibyte;

const volumeCases: readonly Case[] = [
  [
    `${total / mebibyte} MiB in pieces, both ways at once, unchanged`,
    async (setting) => {
      const { client } = await open(setting, { path: '/echo' });
      const sent = createHash('sha256');
      const received = createHash('sha256');
      let back = 0;
      client.on('message', (data: Buffer) => {
        received.update(data);
        back += data.length;
      });
      const random = pieces(2);
      for (let bytes = 0; bytes < total; bytes += 256 * 1024) {
        const piece = random(256 * 1024);
        sent.update(piece);
        client.send(piece);
        if (client.bufferedAmount > mebibyte) {
          await eventually('the client sends on', () => client.bufferedAmount < mebibyte, { intervalMs: 1 });
        }
      }
      await eventually('all came back', () => back === total, { timeoutMs: 60_000 });
      assert.equal(received.digest('hex'), sent.digest('hex'));
    },
  ],
  [
    'an application that does not read holds the client back, and loses nothing',
    async (setting) => {
      const { client, server } = await open(setting, { path: '/silent' });
      let got = 0;
      server.on('message', (data: Buffer) => (got += data.length));
      server.pause();
      const piece = Buffer.alloc(256 * 1024);
      const most = 64 * mebibyte;
      for (let bytes = 0; bytes < most; bytes += piece.length) client.send(piece);
      let before = -1;
      await eventually(
        'the client stands still',
        () => {
          const still = client.bufferedAmount === before;
          before = client.bufferedAmount;
          return still;
        },
        { intervalMs: 150 },
      );
      assert.ok(
        client.bufferedAmount > most / 2,
        `only ${client.bufferedAmount} bytes still wait at the client`,
      );
      server.resume();
      await eventually('all arrived', () => got === most, { timeoutMs: 20_000 });
    },
  ],
];

test('WebSocket through two sidecars and a gateway', async (t) => {
  let latest: { socket: WebSocket; request: IncomingMessage } | undefined;
  const http = createServer();
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: true,
    maxPayload: 64 * mebibyte,
    handleProtocols: (offered) => (offered.has('chat.v2') ? 'chat.v2' : false),
  });
  http.on('upgrade', (request, socket, head) => {
    if (request.url === '/forbidden') {
      socket.end('HTTP/1.1 403 Forbidden\r\nx-why: not today\r\ncontent-length: 0\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, socket, head, (accepted) => {
      latest = { socket: accepted, request };
      accepted.on('error', () => {});
      if (request.url === '/silent') return;
      accepted.on('message', (data: Buffer, binary: boolean) => accepted.send(data, { binary }));
    });
  });
  const { port } = await startTwoClusters(t, { app: await listening(t, http) });
  const end = (): NonNullable<typeof latest> => {
    assert.ok(latest !== undefined);
    return latest;
  };
  for (const [name, run] of [...messageCases, ...endingCases, ...volumeCases]) {
    await t.test(name, async (each) =>
      run({ test: each, port, server: () => end().socket, request: () => end().request }),
    );
  }
});
