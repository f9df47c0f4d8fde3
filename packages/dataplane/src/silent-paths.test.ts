import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { LimitLedger } from '@mesh/limits/limits';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { socketPair } from '@mesh/testkit/servers';
import { tcpPath, type TcpPath } from '@mesh/transport/socket-options';
import { dataplaneLimits } from './limits.ts';
import { SilentPaths } from './silent-paths.ts';

const well: TcpPath = { probes: 0, unacked: 0, lastAckMs: 0, rttMs: 1, acknowledgedBytes: 0 };

/** Paths over real sockets whose kernel says what the test wants. */
function setup() {
  const limits = new LimitLedger(dataplaneLimits);
  const said = new Map<Socket, TcpPath>();
  const looks: Socket[] = [];
  const clock = new FakeClock();
  const paths = new SilentPaths(limits, clock, (socket) => {
    looks.push(socket);
    return said.get(socket);
  });
  clock.every(1000, () => paths.sweep());
  return { limits, said, looks, paths, clock };
}

void test('what is sent and not acknowledged in time cuts the connection', async (test) => {
  const { limits, said, paths, clock } = setup();
  const [client] = await socketPair(test);
  paths.follow(client);
  client.write('under way');
  said.set(client, { ...well, unacked: 1, lastAckMs: 0 });
  clock.advance(9000);
  said.set(client, { ...well, unacked: 1, lastAckMs: 4999 });
  paths.sweep();
  assert.equal(client.destroyed, false);
  said.set(client, { ...well, unacked: 1, lastAckMs: 5000 });
  paths.sweep();
  assert.equal(client.destroyed, true);
  assert.equal(limits.hits('tcp_silence_ms'), 1);
});

void test('silence counts from what is under way, not from the last word before a connection was idle', async (test) => {
  const { limits, said, paths, clock } = setup();
  const [client] = await socketPair(test);
  paths.follow(client);
  for (let round = 0; round < 3; round++) {
    client.write('after a pause');
    // A packet was lost, or the way is long.
    said.set(client, { ...well, unacked: 1, lastAckMs: 60_000 });
    clock.advance(4000);
    assert.equal(client.destroyed, false);
    said.set(client, well);
    clock.advance(1000);
  }
  client.write('into the void');
  said.set(client, { ...well, unacked: 1, lastAckMs: 60_000 });
  clock.advance(5000);
  assert.equal(client.destroyed, false);
  clock.advance(1000);
  assert.equal(client.destroyed, true);
  assert.equal(limits.hits('tcp_silence_ms'), 1);
});

void test('a window that stays closed is no silence while its probes are answered', async (test) => {
  const { said, paths, clock } = setup();
  const [client] = await socketPair(test);
  paths.follow(client);
  client.write('waits');
  said.set(client, { ...well, lastAckMs: 60_000 });
  paths.sweep();
  assert.equal(client.destroyed, false);
  client.write('more');
  said.set(client, { ...well, probes: 3, lastAckMs: 60_000 });
  clock.advance(6000);
  assert.equal(client.destroyed, true);
});

void test('a long round trip gets a longer silence', async (test) => {
  const { said, paths, clock } = setup();
  const [client] = await socketPair(test);
  paths.follow(client);
  client.write('far');
  said.set(client, { ...well, unacked: 1, lastAckMs: 5900, rttMs: 1000 });
  clock.advance(9000);
  assert.equal(client.destroyed, false);
});

void test('a connection with nothing under way is looked at once, a closed one never', async (test) => {
  const { said, looks, paths } = setup();
  const [client, server] = await socketPair(test);
  paths.follow(client);
  client.write('said');
  said.set(client, well);
  await eventually('it is written', () => client.writableLength === 0);
  for (let sweep = 0; sweep < 5; sweep++) paths.sweep();
  assert.equal(looks.length, 1);
  client.write('more');
  paths.sweep();
  assert.ok(looks.length >= 2);
  client.destroy();
  await eventually('it is closed', () => server.destroyed || server.readableEnded || client.closed);
  const before = looks.length;
  paths.sweep();
  assert.equal(looks.length, before);
});

void test('the kernel tells a reader that pauses from one that is gone', async (test) => {
  const [client, server] = await socketPair(test);
  server.pause();
  client.write(Buffer.alloc(16 * 1024 * 1024));
  const stuck = await eventually('the window is closed', () => {
    const path = tcpPath(client);
    return path !== undefined && path.unacked === 0 && client.writableLength > 0 ? path : undefined;
  });
  assert.equal(stuck.probes, 0);
  assert.ok(stuck.acknowledgedBytes > 0);
});
