import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { dialTcp, listening } from '@mesh/testkit/servers';
import { askTagged } from './tagged-requests.ts';

async function askedOf(t: TestContext, answerFor: (path: string) => string | undefined): Promise<void> {
  const server = createServer((request, response) => {
    const answer = answerFor(request.url ?? '');
    if (answer === undefined) response.destroy();
    else response.end(answer);
  });
  const port = await listening(t, server);
  const sockets: Socket[] = [await dialTcp(t, port), await dialTcp(t, port)];
  await askTagged(sockets, { requests: 40, perSecond: 2000 });
}

test('every request is answered by its own tag', async (t) => {
  const seen = new Set<string>();
  await askedOf(t, (path) => {
    seen.add(path);
    return path;
  });
  assert.equal(seen.size, 40);
});

test('one answer that is another’s is a fault, and so is one that does not come', async (t) => {
  await assert.rejects(
    askedOf(t, (path) => (path === '/tag/17' ? '/tag/18' : path)),
    /the answer for \/tag\/17 is HTTP\/1\.1 200/,
  );
  await assert.rejects(
    askedOf(t, (path) => (path === '/tag/17' ? undefined : path)),
    /no answer for \/tag\/17/,
  );
});
