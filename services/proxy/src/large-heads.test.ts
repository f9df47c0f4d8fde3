import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { test } from 'node:test';
import { listening } from '@mesh/testkit/servers';
import { startSidecars } from './testing/mesh.ts';

test('many requests at once with large cookies pass between sidecars', async (context) => {
  const atOnce = 150;
  const waiting: (() => void)[] = [];
  const app = createServer((_, response) => {
    waiting.push(() => response.end());
    if (waiting.length === atOnce) for (const answer of waiting) answer();
  });
  const { caller } = await startSidecars(context, await listening(context, app));
  const headers = { host: 'cart', cookie: `session=${'x'.repeat(8000)}` };
  const ask = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port: caller.ports.outbound, agent: false, headers };
      const asked = request(options, (response) => {
        response.resume();
        if (response.statusCode === 200) resolve();
        else reject(new Error(`${response.statusCode} ${response.headers['l5d-proxy-error']}`));
      });
      asked.on('error', reject);
      asked.end();
    });
  await Promise.all(Array.from({ length: atOnce }, ask));
  assert.equal(waiting.length, atOnce);
});
