import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import { connect, createServer as createNetServer, type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import { configMap, startFixture, type ApiFixture } from './api-fixture.ts';
import { at, listAt, textAt, type Json, type JsonObject } from './json.ts';
import { loadClusterKeys } from './pki.ts';

const maps = '/api/v1/namespaces/default/configmaps';

interface Hook {
  port: number;
  caBundle: string;
  reviews: JsonObject[];
}

/** An HTTPS webhook with a certificate of its own CA; `answer` gives the response to each review. */
async function startHook(t: TestContext, answer: (request: Json) => JsonObject | 'hang'): Promise<Hook> {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-webhook-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const keys = await loadClusterKeys({
    directory,
    cluster: 'hook',
    clock: systemClock,
    servingNames: [
      { type: 'dns', value: 'hook.default.svc' },
      { type: 'ip', value: '127.0.0.1' },
    ],
  });
  const reviews: JsonObject[] = [];
  const server = createServer(
    { cert: keys.serving.certificatePem, key: keys.serving.keyPem },
    (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const review = JSON.parse(Buffer.concat(chunks).toString()) as JsonObject;
        reviews.push(review);
        const result = answer(review['request'] ?? null);
        if (result === 'hang') return;
        const uid = textAt(review, 'request', 'uid') ?? '';
        response.end(JSON.stringify({ ...review, request: null, response: { uid, ...result } }));
      });
    },
  );
  const open = new Set<Duplex>();
  server.on('connection', (socket) => open.add(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  return {
    port: (server.address() as AddressInfo).port,
    caBundle: Buffer.from(keys.caPem).toString('base64'),
    reviews,
  };
}

async function register(
  api: ApiFixture,
  kind: 'Mutating' | 'Validating',
  webhook: JsonObject,
): Promise<void> {
  const plural = `${kind.toLowerCase()}webhookconfigurations`;
  const answer = await api.call(`/apis/admissionregistration.k8s.io/v1/${plural}`, {
    body: {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: `${kind}WebhookConfiguration`,
      metadata: { name: `hook-${kind.toLowerCase()}` },
      webhooks: [
        {
          name: 'hook.example.com',
          sideEffects: 'None',
          admissionReviewVersions: ['v1'],
          rules: [
            { apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'], operations: ['CREATE'] },
          ],
          ...webhook,
        },
      ],
    },
  });
  assert.equal(answer.code, 201, answer.text);
}

const patchOf = (operations: Json): string => Buffer.from(JSON.stringify(operations)).toString('base64');

test('a mutating webhook changes the object, and hears what a real one would', async (t) => {
  const api = await startFixture(t);
  const hook = await startHook(t, () => ({
    allowed: true,
    warnings: ['mind the gap'],
    patchType: 'JSONPatch',
    patch: patchOf([{ op: 'add', path: '/data/added', value: 'yes' }]),
  }));
  await register(api, 'Mutating', {
    clientConfig: { url: `https://127.0.0.1:${hook.port}/mutate`, caBundle: hook.caBundle },
    objectSelector: { matchExpressions: [{ key: 'skip', operator: 'DoesNotExist' }] },
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'default' } },
  });
  const created = await api.call(maps, { body: configMap('a', { x: '1' }) });
  assert.deepEqual(at(created.body, 'data'), { x: '1', added: 'yes' });
  assert.equal(created.headers['warning'], '299 - "mind the gap"');
  const [review] = hook.reviews;
  assert.equal(textAt(review, 'request', 'operation'), 'CREATE');
  assert.equal(textAt(review, 'request', 'userInfo', 'username'), 'admin');
  assert.equal(textAt(review, 'request', 'object', 'metadata', 'namespace'), 'default');

  const skipped = configMap('b');
  skipped['metadata'] = { name: 'b', labels: { skip: '1' } };
  await api.call(maps, { body: skipped });
  await api.call('/api/v1/namespaces/kube-system/configmaps', { body: configMap('c') });
  await api.patch(`${maps}/a`, 'merge', { data: { y: '2' } });
  assert.equal(hook.reviews.length, 1, 'selectors and rules were respected');
});

test('a webhook that asks for it is called once more when a later one changed the object', async (t) => {
  const api = await startFixture(t);
  const hook = await startHook(t, (request) => {
    const data = at(request, 'object', 'data');
    const patch = patchOf([{ op: 'add', path: '/data/n', value: String(Object.keys(data ?? {}).length) }]);
    return { allowed: true, patchType: 'JSONPatch', patch };
  });
  const other = await startHook(t, () => {
    const patch = patchOf([{ op: 'add', path: '/data/other', value: 'x' }]);
    return { allowed: true, patchType: 'JSONPatch', patch };
  });
  const at127 = ({ port, caBundle }: Hook): JsonObject => ({
    clientConfig: { url: `https://127.0.0.1:${port}/`, caBundle },
  });
  const rules = [{ apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'], operations: ['CREATE'] }];
  const shared = { sideEffects: 'None', admissionReviewVersions: ['v1'], rules };
  await api.call('/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations', {
    body: {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: { name: 'two' },
      webhooks: [
        { name: 'a.example.com', ...shared, ...at127(hook), reinvocationPolicy: 'IfNeeded' },
        { name: 'b.example.com', ...shared, ...at127(other), reinvocationPolicy: 'IfNeeded' },
      ],
    },
  });
  const created = await api.call(maps, { body: configMap('a', { x: '1' }) });
  assert.deepEqual(at(created.body, 'data'), { x: '1', n: '3', other: 'x' });
  assert.deepEqual([hook.reviews.length, other.reviews.length], [2, 1]);
});

test('a validating webhook refuses, and its failure is what its policy says', async (t) => {
  const api = await startFixture(t);
  const hook = await startHook(t, (request) =>
    listAt(Object.keys(at(request, 'object', 'data') ?? {})).includes('bad')
      ? { allowed: false, status: { message: 'no bad data', code: 422, reason: 'Invalid' } }
      : { allowed: true },
  );
  const clientConfig = { url: `https://127.0.0.1:${hook.port}/`, caBundle: hook.caBundle };
  await register(api, 'Validating', { clientConfig });
  assert.equal((await api.call(maps, { body: configMap('good') })).code, 201);
  const refused = await api.call(maps, { body: configMap('x', { bad: '1' }) });
  assert.equal(refused.code, 422);
  assert.equal(
    refused.body['message'],
    'admission webhook "hook.example.com" denied the request: no bad data',
  );
  const path = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/hook-validating';
  const elsewhere = { url: 'https://127.0.0.1:1/', caBundle: hook.caBundle };
  await api.patch(path, 'json', [{ op: 'replace', path: '/webhooks/0/clientConfig', value: elsewhere }]);
  const failed = await api.call(maps, { body: configMap('y') });
  assert.equal(failed.code, 500);
  assert.match(
    failed.text,
    /failed calling webhook \\"hook.example.com\\": failed to call webhook: Post .*ECONNREFUSED/,
  );
  await api.patch(path, 'json', [{ op: 'replace', path: '/webhooks/0/failurePolicy', value: 'Ignore' }]);
  assert.equal((await api.call(maps, { body: configMap('y') })).code, 201);
});

test('a certificate that the bundle does not cover, and silence, are failures', async (t) => {
  const api = await startFixture(t);
  const hook = await startHook(t, () => 'hang');
  const other = await startHook(t, () => ({ allowed: true }));
  const url = `https://127.0.0.1:${hook.port}/`;
  await register(api, 'Validating', { clientConfig: { url, caBundle: other.caBundle } });
  assert.match((await api.call(maps, { body: configMap('a') })).text, /certificate/);
  const path = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/hook-validating';
  await api.patch(path, 'json', [
    { op: 'replace', path: '/webhooks/0/clientConfig/caBundle', value: hook.caBundle },
    { op: 'replace', path: '/webhooks/0/timeoutSeconds', value: 1 },
  ]);
  assert.match((await api.call(maps, { body: configMap('a') })).text, /deadline exceeded after 1s/);
});

test('a webhook that is a Service is reached through the node', async (t) => {
  const hook = await startHook(t, () => ({
    allowed: true,
    patch: patchOf([{ op: 'add', path: '/data', value: { through: 'node' } }]),
  }));
  const relayPath = join(tmpdir(), `mesh-relay-${process.pid}.sock`);
  const asked: string[] = [];
  const relay = createNetServer((socket) => {
    socket.once('data', (chunk) => {
      asked.push(String(chunk));
      const target = connect(hook.port, '127.0.0.1', () => {
        socket.write('OK\n');
        socket.pipe(target).pipe(socket);
      });
    });
  });
  relay.listen(relayPath);
  await once(relay, 'listening');
  t.after(() => relay.close());
  const api = await startFixture(t, { webhookRelayPath: relayPath });
  await register(api, 'Mutating', {
    clientConfig: {
      service: { namespace: 'default', name: 'hook', path: '/mutate' },
      caBundle: hook.caBundle,
    },
  });
  const missing = await api.call(maps, { body: configMap('a') });
  assert.match(
    missing.text,
    /https:\/\/hook.default.svc(:443)?\/mutate.*service \\\\\\"hook\\\\\\" not found|not found/,
  );
  await api.call('/api/v1/namespaces/default/services', {
    body: {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'hook' },
      spec: { ports: [{ name: 'https', port: 443 }] },
    },
  });
  assert.match((await api.call(maps, { body: configMap('a') })).text, /no endpoints available/);
  await api.call('/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', {
    body: {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'hook-1', labels: { 'kubernetes.io/service-name': 'hook' } },
      addressType: 'IPv4',
      ports: [{ name: 'https', port: 8443 }],
      endpoints: [
        { addresses: ['10.1.0.4'], conditions: { ready: false } },
        { addresses: ['10.1.0.5'], conditions: { ready: true } },
      ],
    },
  });
  const created = await api.call(maps, { body: configMap('a') });
  assert.equal(created.code, 201, created.text);
  assert.equal(at(created.body, 'data', 'through'), 'node');
  assert.deepEqual(asked, ['CONNECT 10.1.0.5:8443\n']);
});
