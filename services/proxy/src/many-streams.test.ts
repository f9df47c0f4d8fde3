import assert from 'node:assert/strict';
import { Agent, createServer, request } from 'node:http';
import { test } from 'node:test';
import { eventually } from '@mesh/testkit/eventually';
import { listening } from '@mesh/testkit/servers';
import { startSidecars } from './testing/mesh.ts';

test('over a thousand streams of events to one pod leave room for other requests to it', async (context) => {
  const app = createServer((asked, response) => {
    if (asked.url === '/events') response.write('data: 1\n\n');
    else response.end('ok');
  });
  const { caller } = await startSidecars(context, await listening(context, app));
  const streams = 1100;
  const agent = new Agent({ maxSockets: streams + 1 });
  context.after(() => agent.destroy());
  let open = 0;
  const ask = (path: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const options = {
        host: '127.0.0.1',
        port: caller.ports.outbound,
        path,
        agent,
        headers: { host: 'cart' },
      };
      const asked = request(options, (response) => {
        open++;
        response.on('error', () => {}).resume();
        resolve(response.statusCode);
      });
      asked.on('error', reject).end();
    });
  for (let begun = 0; begun < streams; begun += 100) {
    await Promise.all(Array.from({ length: 100 }, () => ask('/events')));
  }
  assert.equal(open, streams);
  let status: number | undefined;
  void ask('/other').then((answered) => (status = answered));
  await eventually('the other request is answered', () => status === 200);
});
