import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fromKubeconfig, inCluster, kubeconfigContexts } from './config.ts';

function directory(test: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'kube-config-'));
  test.after(() => rmSync(path, { recursive: true }));
  return path;
}

function write(test: TestContext, text: string): string {
  const dir = directory(test);
  const path = join(dir, 'config');
  writeFileSync(path, text);
  mkdirSync(join(dir, 'pki'));
  writeFileSync(join(dir, 'pki/ca.crt'), 'CA FROM FILE');
  return path;
}

const two = `
apiVersion: v1
kind: Config
current-context: east
clusters:
- name: east
  cluster: {server: "https://127.0.0.1:7001/", certificate-authority-data: ${Buffer.from('EAST CA').toString('base64')}}
- name: west
  cluster: {server: "https://127.0.0.1:7002", certificate-authority: pki/ca.crt, tls-server-name: kubernetes}
users:
- name: admin
  user: {client-certificate-data: ${Buffer.from('CERT').toString('base64')}, client-key-data: ${Buffer.from('KEY').toString('base64')}}
- name: robot
  user: {tokenFile: token}
- name: plugin
  user: {exec: {command: aws}}
contexts:
- name: east
  context: {cluster: east, user: admin, namespace: shop}
- name: west
  context: {cluster: west, user: robot}
- name: cloud
  context: {cluster: west, user: plugin}
- name: broken
  context: {cluster: south, user: robot}
`;

test('the current context is read with inline data', (t) => {
  assert.deepEqual(fromKubeconfig(write(t, two)), {
    server: 'https://127.0.0.1:7001',
    namespace: 'shop',
    ca: 'EAST CA',
    clientCert: 'CERT',
    clientKey: 'KEY',
  });
});

test('a named context is read with files relative to the kubeconfig', (t) => {
  const path = write(t, two);
  assert.deepEqual(fromKubeconfig(path, 'west'), {
    server: 'https://127.0.0.1:7002',
    serverName: 'kubernetes',
    namespace: 'default',
    ca: 'CA FROM FILE',
    tokenFile: join(path, '..', 'token'),
  });
});

test('faults name the file, the context and what is wrong', (t) => {
  const path = write(t, two);
  const fault = (context: string, message: RegExp): void =>
    assert.throws(
      () => fromKubeconfig(path, context),
      (thrown: Error) => {
        assert.match(thrown.message, message);
        assert.ok(thrown.message.includes(path));
        assert.ok(thrown.message.includes(`context ${context}`));
        return true;
      },
    );
  fault('nowhere', /no context "nowhere"; contexts in the file: east, west, cloud, broken/);
  fault('broken', /no cluster "south"; clusters in the file: east, west/);
  fault('cloud', /exec is not supported/);
  assert.throws(() => fromKubeconfig(join(path, 'missing')), /cannot read kubeconfig .*missing/);
  assert.throws(() => fromKubeconfig(write(t, 'contexts: []')), /has no current-context/);
});

test('contexts are listed', (t) => {
  assert.deepEqual(kubeconfigContexts(write(t, two)), {
    names: ['east', 'west', 'cloud', 'broken'],
    current: 'east',
  });
});

test('a pod finds its API server', (t) => {
  const mount = directory(t);
  const environment = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
  assert.throws(() => inCluster({ environment, mount }), /cannot read .*ca.crt/);
  writeFileSync(join(mount, 'ca.crt'), 'CA');
  writeFileSync(join(mount, 'namespace'), 'mesh\n');
  assert.deepEqual(inCluster({ environment, mount }), {
    server: 'https://[fd00::1]:443',
    ca: 'CA',
    tokenFile: join(mount, 'token'),
    namespace: 'mesh',
  });
  assert.throws(() => inCluster({ environment: {}, mount }), /KUBERNETES_SERVICE_HOST/);
});
