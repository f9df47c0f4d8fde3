import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { eventually } from '@mesh/testkit/eventually';
import { socketPair } from '@mesh/testkit/servers';
import {
  isReset,
  resetAtClose,
  resetUnseen,
  setUserTimeout,
  tcpPath,
  userTimeout,
} from './socket-options.ts';
import { whyNoNamespace, inNamespace } from './testing/namespace.ts';

void test('the user timeout is set, and read back', async (test) => {
  const [client, server] = await socketPair(test);
  assert.equal(userTimeout(client), 0);
  assert.equal(setUserTimeout(client, 12_345), true);
  assert.equal(userTimeout(client), 12_345);
  assert.equal(userTimeout(server), 0);
  client.destroy();
  assert.equal(setUserTimeout(client, 1), false);
  assert.equal(userTimeout(client), undefined);
});

void test('the kernel tells how many bytes the other end acknowledged', async (test) => {
  const [client] = await socketPair(test);
  const before = tcpPath(client)?.acknowledgedBytes ?? Number.NaN;
  client.write(Buffer.alloc(5000));
  await eventually('all is acknowledged', () => tcpPath(client)?.acknowledgedBytes === before + 5000);
  const path = tcpPath(client);
  assert.equal(path?.unacked, 0);
  assert.equal(path?.probes, 0);
  assert.ok((path?.rttMs ?? 0) > 0 && (path?.rttMs ?? 0) < 1000);
});

void test('the kernel tells of a paused socket that its other end reset it', async (test) => {
  const [client, server] = await socketPair(test);
  server.pause();
  client.write('bytes');
  assert.equal(isReset(server), false);
  client.resetAndDestroy();
  await eventually('the reset came', () => isReset(server));
  assert.equal(server.destroyed, false);
  server.destroy();
  assert.equal(isReset(server), false);
});

/** A TLS connection without certificates, and the server's socket below. */
async function tlsPair(test: TestContext): Promise<{ client: TLSSocket; server: TLSSocket; below: Socket }> {
  const [near, below] = await socketPair(test);
  const psk = Buffer.alloc(16, 1);
  const acceptor = createServer({ ciphers: 'PSK', pskCallback: () => psk });
  acceptor.emit('connection', below);
  const client = connect({
    socket: near,
    ciphers: 'PSK',
    pskCallback: () => ({ psk, identity: 'client' }),
    checkServerIdentity: () => undefined,
  });
  client.allowHalfOpen = true;
  const [[server]] = (await Promise.all([
    once(acceptor, 'secureConnection'),
    once(client, 'secureConnect'),
  ])) as [[TLSSocket], unknown];
  for (const socket of [client, server]) socket.on('error', () => {});
  return { client, server, below };
}

void test('an end that is read of a TLS socket whose other end was reset is none', async (test) => {
  const reset = await tlsPair(test);
  reset.client.pause();
  assert.equal(resetUnseen(reset.client), false);
  reset.below.resetAndDestroy();
  await eventually('the reset came', () => resetUnseen(reset.client));

  const ended = await tlsPair(test);
  ended.client.resume();
  ended.server.end();
  await once(ended.client, 'end');
  assert.equal(resetUnseen(ended.client), false);
});

void test('a socket is reset as it closes, also below TLS, and while its end is under way', async (test) => {
  for (const ends of [false, true]) {
    const { client, server, below } = await tlsPair(test);
    let code: string | undefined;
    client.on('error', (error: NodeJS.ErrnoException) => (code = error.code));
    client.write('unread');
    server.write('a part');
    await once(client, 'readable');
    if (ends) server.end(Buffer.alloc(8 * 1024 * 1024));
    assert.equal(resetAtClose(below), true);
    below.destroy();
    client.resume();
    await new Promise((resolve) => client.once('close', resolve));
    assert.equal(code, 'ECONNRESET');
    assert.equal(resetAtClose(below), false);
  }
});

void test('a machine that is gone ends the connection after the user timeout', {
  skip: whyNoNamespace() ?? false,
}, () => {
  const script = `ip link set lo up && exec "${process.execPath}" "${join(import.meta.dirname, 'testing/gone.ts')}"`;
  const run = spawnSync('unshare', [...inNamespace, 'sh', '-c', script], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(run.status, 0, run.stderr);
  const seen = JSON.parse(run.stdout) as { code: string; unacked: number; lastAckMs: number };
  assert.equal(seen.code, 'ETIMEDOUT');
  assert.ok(seen.unacked > 0 && seen.lastAckMs >= 400, run.stdout);
});
