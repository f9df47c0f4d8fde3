/** The server's side of pod logs; what a node answers is tested with the node. */
import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { createAccount, pod, startFixture, type ApiFixture } from './api-fixture.ts';
import { textAt } from './json.ts';

const path = '/api/v1/namespaces/default/pods/p';

/** A node whose kubelet answers with what it was asked and by whom. */
async function withKubelet(
  t: TestContext,
): Promise<{ api: ApiFixture; port: number; answer: { code: number } }> {
  const api = await startFixture(t);
  const serving = await api.server.keys.issueServing({
    user: 'system:node:node',
    groups: ['system:nodes'],
    names: [{ type: 'ip', value: '127.0.0.1' }],
  });
  const answer = { code: 200 };
  const kubelet = createServer(
    {
      ...{ cert: serving.certificatePem, key: serving.keyPem, ca: api.server.keys.caPem },
      requestCert: true,
    },
    (request, response) => {
      const caller = (request.socket as TLSSocket).getPeerCertificate().subject.CN;
      response.writeHead(answer.code);
      response.end(`${caller} ${request.url}`);
    },
  );
  kubelet.listen(0, '127.0.0.1');
  await once(kubelet, 'listening');
  t.after(() => kubelet.close());
  const { port } = kubelet.address() as AddressInfo;
  await api.call('/api/v1/nodes', { body: { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node' } } });
  await createAccount(api, 'default');
  return { api, port, answer };
}

async function announce(api: ApiFixture, port: number): Promise<void> {
  await api.patch('/api/v1/nodes/node/status', 'merge', {
    status: {
      addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
      daemonEndpoints: { kubeletEndpoint: { Port: port } },
    },
  });
}

async function bind(api: ApiFixture): Promise<void> {
  await api.call(`${path}/binding`, {
    body: {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name: 'p' },
      target: { kind: 'Node', name: 'node' },
    },
  });
}

test('the log of a pod is asked of its node’s kubelet, as the API server', async (t) => {
  const { api, port, answer } = await withKubelet(t);
  await api.call('/api/v1/namespaces/default/pods', { body: pod('p') });
  assert.deepEqual(pick(await api.call(`${path}/log`)), { code: 200, text: '' }, 'on no node yet');
  await bind(api);
  const homeless = await api.call(`${path}/log`);
  assert.equal(homeless.code, 500);
  assert.match(textAt(homeless.body, 'message') ?? '', /no preferred addresses found/);
  await announce(api, port);
  assert.deepEqual(pick(await api.call(`${path}/log?tailLines=3&pretty=true&container=app`)), {
    code: 200,
    text: 'kube-apiserver-kubelet-client /containerLogs/default/p/app?tailLines=3',
  });
  assert.equal((await api.call(`${path}/log?container=other`)).code, 400);
  answer.code = 400;
  const refused = await api.call(`${path}/log`);
  assert.equal(refused.code, 400);
  assert.equal(textAt(refused.body, 'message'), 'kube-apiserver-kubelet-client /containerLogs/default/p/app');
  await announce(api, 1);
  const away = await api.call(`${path}/log`);
  assert.equal(away.code, 500);
  assert.match(
    textAt(away.body, 'message') ?? '',
    /^Get "https:\/\/127\.0\.0\.1:1\/containerLogs.*ECONNREFUSED/,
  );
});

function pick({ code, text }: { code: number; text: string }): { code: number; text: string } {
  return { code, text };
}
