import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import { MeshError } from '@mesh/errors/mesh-error';
import { LimitLedger } from '@mesh/limits/limits';
import { eventually } from '@mesh/testkit/eventually';
import { listening } from '@mesh/testkit/servers';
import { KubeApiError } from './api-error.ts';
import { KubeClient, type KubeClientOptions } from './client.ts';
import { type KubeLimit, kubeLimits } from './limits.ts';
import { configMaps, pods } from './resources.ts';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

async function clientOf(
  t: TestContext,
  answer: Answer,
  options: Partial<KubeClientOptions> = {},
): Promise<KubeClient> {
  const port = await listening(t, createServer(answer));
  const client = new KubeClient({
    server: `http://127.0.0.1:${port}`,
    namespace: 'default',
    clock: systemClock,
    ...options,
  });
  t.after(() => client.close());
  return client;
}

const stored = (name: string): string =>
  JSON.stringify({ metadata: { name, uid: 'u', resourceVersion: '1', creationTimestamp: '' } });

const limitsWith = (overrides: Partial<Record<KubeLimit, number>>): LimitLedger<KubeLimit> =>
  new LimitLedger(kubeLimits, overrides);

test('refusals carry status, reason, details and the wait that was asked for', async (t) => {
  const client = await clientOf(t, (request, response) => {
    if (request.url === '/api/v1/pods') {
      response.writeHead(429, { 'retry-after': '7' }).end('slow down');
      return;
    }
    response.statusCode = 422;
    const details = { name: 'cart', causes: [{ field: 'spec.containers', reason: 'FieldValueRequired' }] };
    response.end(
      JSON.stringify({
        kind: 'Status',
        code: 422,
        reason: 'Invalid',
        message: 'Pod "cart" is invalid',
        details,
      }),
    );
  });
  await assert.rejects(client.list(pods), (thrown) => {
    assert.ok(thrown instanceof KubeApiError);
    assert.deepEqual([thrown.status, thrown.reason, thrown.retryAfterMs], [429, 'TooManyRequests', 7000]);
    assert.equal(thrown.message, 'GET /api/v1/pods: 429 TooManyRequests: slow down');
    return true;
  });
  await assert.rejects(client.create(pods, { metadata: { name: 'cart' } }), (thrown) => {
    assert.ok(thrown instanceof KubeApiError);
    assert.equal(thrown.reason, 'Invalid');
    assert.equal(thrown.details?.causes?.[0]?.field, 'spec.containers');
    return true;
  });
});

test('a rotated token file is used from the next request on, and its loss is survived', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'kube-token-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const tokenFile = join(directory, 'token');
  const seen: (string | undefined)[] = [];
  const client = await clientOf(
    t,
    (request, response) => {
      seen.push(request.headers.authorization);
      response.end(stored('a'));
    },
    { tokenFile },
  );
  const get = async (): Promise<unknown> => client.get(configMaps, { namespace: 'default', name: 'a' });
  await assert.rejects(get(), /cannot read token file/);
  writeFileSync(tokenFile, 'first\n');
  await get();
  writeFileSync(join(directory, 'next'), 'other');
  renameSync(join(directory, 'next'), tokenFile);
  await get();
  rmSync(tokenFile);
  await get();
  assert.deepEqual(seen, ['Bearer first', 'Bearer other', 'Bearer other']);
});

test('a credential plugin gives the token, and is asked again after a 401', async (t) => {
  const seen: (string | undefined)[] = [];
  const program = `process.stdout.write(JSON.stringify({
    apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential',
    status: { token: 'of ' + process.pid },
  }))`;
  const client = await clientOf(
    t,
    (request, response) => {
      seen.push(request.headers.authorization);
      if (seen.length === 2) response.statusCode = 401;
      response.end(stored('a'));
    },
    {
      exec: {
        apiVersion: 'client.authentication.k8s.io/v1',
        command: process.execPath,
        args: ['-e', program],
        env: {},
        interactiveMode: 'Never',
        installHint: '',
      },
    },
  );
  const get = async (): Promise<unknown> => client.get(configMaps, { namespace: 'default', name: 'a' });
  await get();
  await assert.rejects(get(), /401/);
  await get();
  assert.match(seen[0] ?? '', /^Bearer of \d+$/);
  assert.equal(seen[1], seen[0]);
  assert.notEqual(seen[2], seen[0]);
});

test('a silent server ends in a time-out that names the request, an abort at once', async (t) => {
  const client = await clientOf(t, () => {}, { limits: limitsWith({ kube_request_ms: 50 }) });
  await assert.rejects(client.list(pods, { namespace: 'shop' }), (thrown) => {
    assert.ok(thrown instanceof MeshError);
    assert.equal(thrown.code, 'kube-unreachable');
    assert.match(
      thrown.message,
      /^GET \/api\/v1\/namespaces\/shop\/pods at http:.*: no answer within 50 ms$/,
    );
    return true;
  });
  const abort = new AbortController();
  const reason = new Error('no longer wanted');
  const pending = client.list(pods, { signal: abort.signal, timeoutMs: 60_000 });
  abort.abort(reason);
  await assert.rejects(pending, reason);
  await assert.rejects(client.list(pods, { signal: abort.signal }), reason);
});

test('answers and events past their limits are refused by name', async (t) => {
  const limits = limitsWith({ kube_response_bytes: 1000, kube_watch_line_bytes: 1000 });
  const client = await clientOf(
    t,
    (_request, response) => {
      response.flushHeaders();
      response.end(`{"pad":"${'x'.repeat(2000)}"}\n`);
    },
    { limits },
  );
  await assert.rejects(client.list(pods), /larger than 1000 bytes/);
  const end = await client.watch(pods, { resourceVersion: '1' }, () => {}).done;
  assert.ok(end.kind === 'failed' && end.error instanceof MeshError && end.error.code === 'kube-limit');
  assert.deepEqual(
    [...limits.entries()],
    [
      ['kube_response_bytes', 1],
      ['kube_watch_line_bytes', 1],
    ],
  );
});

test('a watch that falls silent is given up', async (t) => {
  const client = await clientOf(t, (_request, response) => response.flushHeaders(), {
    limits: limitsWith({ kube_watch_idle_ms: 50 }),
  });
  const watch = client.watch(pods, { resourceVersion: '1' }, () => {});
  assert.equal(await watch.opened, true);
  const end = await watch.done;
  assert.ok(end.kind === 'failed' && end.error instanceof MeshError);
  assert.match(end.error.message, /silent for 50 ms/);
});

test('a stopped watch delivers nothing more and closes its connection', async (t) => {
  let closed = false;
  let stream: ServerResponse | undefined;
  const client = await clientOf(t, (_request, response) => {
    stream = response;
    response.flushHeaders();
    response.on('close', () => {
      closed = true;
    });
  });
  const seen: string[] = [];
  const watch = client.watch(pods, { resourceVersion: '1' }, ({ object }) => {
    seen.push(object.metadata.name ?? '');
    watch.stop();
  });
  await watch.opened;
  stream?.write(`{"type":"ADDED","object":${stored('a')}}\n{"type":"ADDED","object":${stored('b')}}\n`);
  assert.deepEqual(await watch.done, { kind: 'stopped' });
  assert.deepEqual(seen, ['a']);
  await eventually('closed', () => closed);
  const early = client.watch(pods, { resourceVersion: '1' }, () => assert.fail('no event'));
  early.stop();
  assert.deepEqual([await early.opened, await early.done], [false, { kind: 'stopped' }]);
});

test('a connection that breaks within an answer is an error, never half an answer', async (t) => {
  const client = await clientOf(t, (_request, response) => {
    response.setHeader('content-length', '100');
    response.write('{"metadata":{},"items":[]}', () => response.destroy());
  });
  await assert.rejects(
    client.list(pods),
    (thrown) => thrown instanceof MeshError && thrown.code === 'kube-unreachable',
  );
});

test('a read on a kept connection that the server has closed is asked again, a write is not', async (t) => {
  const used = new WeakSet<object>();
  let requests = 0;
  const client = await clientOf(t, (request, response) => {
    requests++;
    if (used.has(request.socket)) {
      request.socket.resetAndDestroy();
      return;
    }
    used.add(request.socket);
    response.end(stored('a'));
  });
  const ref = { namespace: 'default', name: 'a' };
  await client.get(configMaps, ref);
  assert.equal((await client.get(configMaps, ref)).metadata.name, 'a');
  assert.equal(requests, 3);
  await assert.rejects(client.create(configMaps, { metadata: ref }), /ECONNRESET/);
  assert.equal(requests, 4);
});
