import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { MeshError } from '@mesh/errors/mesh-error';
import { fromKubeconfig, inCluster } from './config.ts';

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
contexts:
- name: east
  context: {cluster: east, user: admin, namespace: shop}
- name: west
  context: {cluster: west, user: robot}
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
  const fault = (context: string, message: RegExp, remedy: RegExp): void =>
    assert.throws(
      () => fromKubeconfig(path, context),
      (thrown: Error) => {
        assert.ok(thrown instanceof MeshError);
        assert.match(thrown.message, message);
        assert.ok(thrown.message.includes(path));
        assert.ok(thrown.message.includes(`context ${context}`));
        assert.match(thrown.remedy ?? '', remedy);
        return true;
      },
    );
  fault('nowhere', /no context "nowhere"/, /contexts: east, west, broken/);
  fault('broken', /no cluster "south"/, /clusters: east, west/);
  assert.throws(() => fromKubeconfig(join(path, 'missing')), /cannot read kubeconfig .*missing/);
  assert.throws(() => fromKubeconfig(write(t, 'contexts: []')), /has no current-context/);
});

const one = (parts: { cluster?: string; user?: string }): string => `
current-context: only
clusters: [{name: only, cluster: {server: "https://127.0.0.1:1", ${parts.cluster ?? ''}}}]
users: [{name: only, user: {${parts.user ?? ''}}}]
contexts: [{name: only, context: {cluster: only, user: only}}]
`;

for (const [parts, message, remedy] of [
  [{ cluster: 'proxy-url: "http://proxy:3128"' }, /proxy-url "http:\/\/proxy:3128"/, /remove proxy-url/],
  [
    { cluster: 'insecure-skip-tls-verify: true' },
    /insecure-skip-tls-verify true/,
    /certificate-authority-data/,
  ],
  [{ user: 'username: root, password: secret' }, /username "root"/, /exec credential plugin/],
  [{ user: 'auth-provider: {name: gcp}' }, /auth-provider is not supported/, /exec credential plugin/],
  [{ user: 'as: jane' }, /as "jane"/, /credentials of the user/],
  [{ user: 'exec: {command: aws}' }, /exec.apiVersion undefined/, /client.authentication.k8s.io\/v1/],
  [
    { user: 'exec: {apiVersion: client.authentication.k8s.io/v1, command: aws}' },
    /exec.interactiveMode undefined/,
    /Never, IfAvailable, Always/,
  ],
] as const) {
  test(`refused with a remedy: ${JSON.stringify(parts)}`, (t) => {
    assert.throws(
      () => fromKubeconfig(write(t, one(parts))),
      (thrown: Error) => {
        assert.ok(thrown instanceof MeshError);
        assert.match(thrown.message, message);
        assert.match(thrown.remedy ?? '', remedy);
        assert.ok(!thrown.message.includes('secret'));
        return true;
      },
    );
  });
}

test('a credential plugin is read with its defaults, and a token makes it superfluous', (t) => {
  const exec =
    'exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: ./bin/login, provideClusterInfo: true}';
  const ca = `certificate-authority-data: ${Buffer.from('CA').toString('base64')}`;
  const path = write(t, one({ cluster: ca, user: exec }));
  assert.deepEqual(fromKubeconfig(path).exec, {
    apiVersion: 'client.authentication.k8s.io/v1beta1',
    command: join(path, '../bin/login'),
    args: [],
    env: {},
    interactiveMode: 'IfAvailable',
    installHint: '',
    cluster: {
      server: 'https://127.0.0.1:1',
      'tls-server-name': undefined,
      'certificate-authority-data': Buffer.from('CA').toString('base64'),
      config: undefined,
    },
  });
  const both = fromKubeconfig(write(t, one({ user: `token: t, ${exec}` })));
  assert.deepEqual([both.token, both.exec], ['t', undefined]);
});

test('empty values count as absent, as for kubectl: a credential plugin beside an empty token is asked', (t) => {
  const exec = 'exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: login}';
  const cluster = 'certificate-authority-data: "", tls-server-name: ""';
  const user = `token: "", tokenFile: "", client-certificate-data: "", ${exec}`;
  const path = write(t, one({ cluster, user }).replace('user: only}', 'user: only, namespace: ""}'));
  const { exec: plugin, ...rest } = fromKubeconfig(path);
  assert.equal(plugin?.command, 'login');
  assert.deepEqual(rest, { namespace: 'default', server: 'https://127.0.0.1:1' });
});

test('several files are merged: the first of a name counts, missing files are passed over', (t) => {
  const first = write(t, two);
  const second = write(
    t,
    `
current-context: south
clusters:
- name: east
  cluster: {server: "https://127.0.0.1:9999"}
- name: south
  cluster: {server: "https://127.0.0.1:7003", certificate-authority: pki/ca.crt}
contexts:
- name: south
  context: {cluster: south, user: robot}
- name: nobody
  context: {cluster: south}
`,
  );
  const paths = [join(first, '../missing'), first, second];
  assert.equal(fromKubeconfig(paths).server, 'https://127.0.0.1:7001', 'the first current-context');
  const south = fromKubeconfig(paths, 'south');
  assert.equal(south.ca, 'CA FROM FILE', 'relative to the second file');
  assert.equal(south.tokenFile, join(first, '..', 'token'), 'relative to the first');
  assert.equal(fromKubeconfig([second, first]).server, 'https://127.0.0.1:7003');
  assert.equal(fromKubeconfig([second, first], 'east').server, 'https://127.0.0.1:9999');
  assert.deepEqual(fromKubeconfig(paths, 'nobody'), {
    namespace: 'default',
    server: 'https://127.0.0.1:7003',
    ca: 'CA FROM FILE',
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
