import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { seededRandom } from '@mesh/clock/seeded';
import fc from 'fast-check';
import type { Impairment } from './delay-line.ts';
import { eventually } from './eventually.ts';
import { FakeClock } from './fake-clock.ts';
import { FaultRelay, type FaultRelayOptions, type RelayDirection } from './fault-relay.ts';
import { assertNoLeaks } from './leaks.ts';
import { dialTcp, listen } from './servers.ts';

/** What one end has seen. */
class End {
  readonly socket: Socket;
  bytes = 0;
  ended = false;
  code = '';
  readonly chunks: Buffer[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.chunks.push(chunk);
      this.bytes += chunk.length;
    });
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.code = error.code ?? '';
    });
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString();
  }
}

async function setup(test: TestContext, options: Partial<FaultRelayOptions> = {}) {
  assertNoLeaks(test);
  const clock = new FakeClock();
  const servers: End[] = [];
  const { port } = await listen(test, (socket) => servers.push(new End(socket)));
  const relay = new FaultRelay({ host: '127.0.0.1', port, clock, random: seededRandom(4), ...options });
  await relay.start();
  test.after(() => relay.kill());
  const connect = async (): Promise<{ client: End; server: End }> => {
    const before = servers.length;
    const client = new End(await dialTcp(test, relay.port));
    await eventually('the server sees the connection', () => servers.length > before);
    return { client, server: servers[before] as End };
  };
  const holds = (bytes: number) => eventually(`${bytes} bytes wait`, () => relay.held === bytes);
  return { clock, relay, servers, connect, holds };
}

/** What has arrived after the event loop had time to deliver it. */
async function settled(end: End, bytes: number): Promise<void> {
  await eventually(`${bytes} bytes arrived`, () => end.bytes >= bytes);
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(end.bytes, bytes);
}

void test('bytes pass at once and unchanged when nothing is wrong', async (test) => {
  const { connect } = await setup(test);
  const { client, server } = await connect();
  client.socket.write('there');
  await settled(server, 5);
  server.socket.end('back');
  await settled(client, 4);
  assert.equal(server.text + client.text, 'thereback');
  client.socket.end();
});

void test('a delay holds each direction for its own time', async (test) => {
  const { clock, relay, connect, holds } = await setup(test);
  relay.setDirection('toServer', { delayMs: 30 });
  relay.setDirection('toClient', { delayMs: 5 });
  const { client, server } = await connect();
  client.socket.write('ping');
  await holds(4);
  clock.advance(29);
  await settled(server, 0);
  clock.advance(1);
  await settled(server, 4);
  server.socket.write('pong');
  await holds(4);
  clock.advance(5);
  await settled(client, 4);
});

void test('nothing overtakes when the delay gets shorter', async (test) => {
  const { clock, relay, connect, holds } = await setup(test);
  relay.set({ delayMs: 100 });
  const { client, server } = await connect();
  client.socket.write('first ');
  await holds(6);
  relay.set({ delayMs: 0 });
  client.socket.write('second');
  await holds(12);
  await settled(server, 0);
  clock.advance(100);
  await settled(server, 12);
  assert.equal(server.text, 'first second');
});

void test('a bandwidth spreads bytes over time', async (test) => {
  const { clock, relay, connect, holds } = await setup(test);
  relay.setDirection('toServer', { bandwidth: 100_000 });
  const { client, server } = await connect();
  client.socket.write(Buffer.alloc(10_000));
  await holds(10_000);
  clock.advance(50);
  await settled(server, 5000);
  clock.advance(50);
  await settled(server, 10_000);
});

void test('slices arrive apart', async (test) => {
  const { clock, relay, connect, holds } = await setup(test);
  relay.setDirection('toServer', { sliceBytes: 3, sliceGapMs: 10 });
  const { client, server } = await connect();
  client.socket.write('sliced');
  await holds(6);
  clock.advance(10);
  await settled(server, 3);
  clock.advance(10);
  await settled(server, 6);
});

void test('a lost segment holds up what is behind it', async (test) => {
  const { clock, relay, connect, holds } = await setup(test);
  relay.set({ delayMs: 10, lossShare: 1, recoveryMs: 20 });
  const { client, server } = await connect();
  client.socket.write('lost ');
  await holds(5);
  relay.set({ lossShare: 0 });
  client.socket.write('behind');
  await holds(11);
  clock.advance(29);
  await settled(server, 0);
  clock.advance(1);
  await settled(server, 11);
});

void test('a stall keeps everything, the end too, and then delivers it', async (test) => {
  const { relay, connect, holds } = await setup(test);
  const { client, server } = await connect();
  relay.set({ stalled: true });
  client.socket.end('kept');
  await holds(4);
  await settled(server, 0);
  relay.set({ stalled: false });
  await settled(server, 4);
  await eventually('the end arrives', () => server.ended);
  server.socket.end();
});

void test('a black hole swallows everything, for ever, and new connections while it lasts', async (test) => {
  const { relay, servers, connect } = await setup(test);
  const { client, server } = await connect();
  relay.set({ blackHole: true });
  client.socket.write('gone');
  const late = new End(await dialTcp(test, relay.port));
  await eventually('the late one is accepted', () => relay.accepted === 2);
  late.socket.write('gone');
  client.socket.end();
  relay.set({ blackHole: false });
  const after = await connect();
  after.client.socket.write('new');
  await settled(after.server, 3);
  assert.equal(server.bytes, 0);
  assert.equal(server.ended, false);
  assert.equal(servers.length, 2);
  assert.equal(late.code, '');
});

void test('a reset reaches both ends', async (test) => {
  const { relay, connect } = await setup(test);
  const { client, server } = await connect();
  relay.reset();
  await eventually('both are reset', () => client.code === 'ECONNRESET' && server.code === 'ECONNRESET');
  await eventually('nothing is open', () => relay.open === 0);
});

void test('a reset after so many bytes', async (test) => {
  const { relay, connect } = await setup(test);
  relay.setDirection('toServer', { resetAfterBytes: 4 });
  const { client } = await connect();
  client.socket.write('cut!');
  await eventually('the client is reset', () => client.code === 'ECONNRESET');
});

void test('the end of one side comes late, and only there', async (test) => {
  const { clock, relay, connect } = await setup(test);
  relay.setDirection('toServer', { closeDelayMs: 1000 });
  const { client, server } = await connect();
  client.socket.end('last');
  await settled(server, 4);
  await eventually('the end waits', () => clock.pending === 1);
  clock.advance(999);
  await settled(server, 4);
  assert.equal(server.ended, false);
  server.socket.write('answer');
  await settled(client, 6);
  clock.advance(1);
  await eventually('the end arrives', () => server.ended);
  await eventually('nothing is open', () => relay.open === 0);
});

void test('memory is bounded when the other side does not read', async (test) => {
  const bufferBytes = 256 * 1024;
  const { relay, connect } = await setup(test, { bufferBytes });
  const { client, server } = await connect();
  server.socket.pause();
  const sent = Buffer.alloc(16 * 1024 * 1024);
  client.socket.write(sent);
  await eventually('the buffer is full', () => relay.held >= bufferBytes);
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(relay.held < bufferBytes + 65_537, `${relay.held} bytes are held`);
  server.socket.resume();
  await settled(server, sent.length);
});

void test('killed, it refuses; started again, it serves on the same port', async (test) => {
  const { relay, connect } = await setup(test);
  const { client } = await connect();
  const { port } = relay;
  await relay.kill();
  await eventually('the client is reset', () => client.code === 'ECONNRESET');
  await assert.rejects(dialTcp(test, port), { code: 'ECONNREFUSED' });
  await relay.start();
  assert.equal(relay.port, port);
  const { client: again, server } = await connect();
  again.socket.write('x');
  await settled(server, 1);
});

void test('whatever the network does short of breaking, bytes arrive complete and in order', async (test) => {
  const { clock, relay, connect } = await setup(test);
  const fault = fc.record({
    delayMs: fc.nat(50),
    bandwidth: fc.constantFrom(Infinity, 1e6, 1e5),
    sliceBytes: fc.constantFrom(Infinity, 1, 7, 1000),
    sliceGapMs: fc.nat(2),
    lossShare: fc.constantFrom(0, 0.3),
    recoveryMs: fc.nat(100),
    stalled: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 300 }), fault), { maxLength: 6 }),
      fc.constantFrom<RelayDirection>('toServer', 'toClient'),
      async (writes, direction) => {
        const { client, server } = await connect();
        const [from, to] = direction === 'toServer' ? [client, server] : [server, client];
        for (const [bytes, impairment] of writes) {
          relay.setDirection(direction, impairment satisfies Partial<Impairment>);
          from.socket.write(bytes);
          clock.advance(7);
        }
        from.socket.end();
        relay.setDirection(direction, { stalled: false });
        await eventually(
          'the end arrives',
          () => {
            clock.advance(50);
            return to.ended;
          },
          { intervalMs: 1 },
        );
        assert.deepEqual(Buffer.concat(to.chunks), Buffer.concat(writes.map(([bytes]) => bytes)));
        to.socket.destroy();
        from.socket.destroy();
      },
    ),
    { numRuns: 30 },
  );
});

void test('as a process it prints its port, follows commands and ends with its input', async (test) => {
  const { port } = await listen(test, (socket) => socket.pipe(socket));
  const child = spawn(
    process.execPath,
    [
      fileURLToPath(new URL('fault-relay-main.ts', import.meta.url)),
      JSON.stringify({ host: '127.0.0.1', port }),
      JSON.stringify({ stalled: true }),
    ],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  test.after(() => child.kill());
  const [printed] = (await once(child.stdout, 'data')) as [Buffer];
  const client = new End(await dialTcp(test, Number(printed.toString())));
  client.socket.write('hello');
  child.stdin.write('{"set":{"stalled":false}}\n');
  await settled(client, 5);
  child.stdin.end();
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});
