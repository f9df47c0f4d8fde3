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
