/** What HTTP/1 takes at the first hop no later hop may refuse, where HTTP/2 and proxies have fields of their own beside it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request as httpRequest } from 'node:http';
import { test } from 'node:test';
import { http1Limits } from '@mesh/http1/limits';
import { listening } from '@mesh/testkit/servers';
import { startTwoClusters } from './testing/two-clusters.ts';

const { http1_head_bytes: bytes, http1_header_count: count } = http1Limits;
/** For Node's own parser. */
const maxHeaderSize = 2 * bytes.default;

/** With room for the fields that Node adds. */
const heads: Record<string, Record<string, string>> = {
  fields: Object.fromEntries(Array.from({ length: count.default - 4 }, (_, at) => [`x-${at}`, '1'])),
  bytes: { x: 'y'.repeat(bytes.default - 200) },
};

for (const [what, headers] of Object.entries(heads)) {
  test(`a head of as many ${what} as HTTP/1 takes passes two sidecars and a gateway, both ways`, async (t) => {
    const ours = (message: IncomingMessage): unknown[] =>
      Object.keys(headers).map((name) => message.headers[name]);
    let seen: unknown[] = [];
    const server = createServer({ maxHeaderSize }, (request, response) => {
      seen = ours(request);
      response.sendDate = false;
      response.writeHead(200, { ...headers, 'content-length': '0' });
      response.end();
    });
    const { port } = await startTwoClusters(t, { app: await listening(t, server) });
    const sent = httpRequest({ host: '127.0.0.1', port, agent: false, maxHeaderSize, headers });
    const [answer] = (await once(sent.end(), 'response')) as [IncomingMessage];
    answer.resume();
    assert.equal(answer.statusCode, 200, String(answer.headers['l5d-proxy-error']));
    assert.deepEqual(seen, Object.values(headers));
    assert.deepEqual(ours(answer), Object.values(headers));
  });
}
