import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { socketPair } from '@mesh/testkit/servers';
import { resetSocket } from './reset-socket.ts';

/** The code of the error that `socket` ends with; undefined for a clean end. */
async function endOf(socket: Socket): Promise<string | undefined> {
  let code: string | undefined;
  socket.on('error', (error: NodeJS.ErrnoException) => (code = error.code));
  socket.resume();
  await new Promise((resolve) => socket.once('close', resolve));
  return code;
}

void test('the other end sees a reset, not an end', async (t) => {
  const [client, server] = await socketPair(t);
  server.write('a part');
  await once(client, 'readable');
  resetSocket(server);
  resetSocket(server);
  assert.equal(server.destroyed, true);
  assert.equal(await endOf(client), 'ECONNRESET');
});

void test('one that is just sending its end is closed', async (t) => {
  for (const last of ['all of it', Buffer.alloc(8 * 1024 * 1024)]) {
    for (let ticks = 0; ticks < 6; ticks++) {
      const [client, server] = await socketPair(t);
      client.resume();
      const closed = new Promise((resolve) => server.once('close', resolve));
      server.end(last);
      for (let tick = 0; tick < ticks; tick++) await new Promise((resolve) => process.nextTick(resolve));
      resetSocket(server);
      assert.equal(server.destroyed, true);
      await closed;
    }
  }
});
