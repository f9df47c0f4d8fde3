import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { connect as netConnect } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { systemClock } from '@mesh/clock/system';
import { createAccount, pod, startFixture, type ApiFixture } from './api-fixture.ts';
import { at, textAt, type Json } from './json.ts';
import { loadClusterKeys } from './pki.ts';

const accounts = '/api/v1/namespaces/default/serviceaccounts';
const rbac = '/apis/rbac.authorization.k8s.io/v1';

async function tokenFor(api: ApiFixture, spec: Json = {}, name = 'app'): Promise<string> {
  const answer = await api.call(`${accounts}/${name}/token`, {
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec },
  });
  assert.equal(answer.code, 201, answer.text);
  return textAt(answer.body, 'status', 'token') ?? '';
}

async function review(api: ApiFixture, token: string, audiences?: string[]): Promise<Json> {
  const answer = await api.call('/apis/authentication.k8s.io/v1/tokenreviews', {
    body: {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token, ...(audiences === undefined ? {} : { audiences }) },
    },
  });
  return at(answer.body, 'status') ?? null;
}

test('nobody may read but the open paths; bad credentials are 401', async (t) => {
  const api = await startFixture(t);
  for (const path of ['/healthz', '/livez', '/readyz', '/version']) {
    assert.equal((await api.call(path, { credential: null })).code, 200, path);
  }
  const anonymous = await api.call('/api/v1/pods', { credential: null });
  assert.equal(anonymous.code, 403);
  assert.match(
    textAt(anonymous.body, 'message') ?? '',
    /User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope/,
  );
  assert.equal((await api.call('/apis', { credential: null })).code, 403);
  for (const token of ['nonsense', 'a.b.c']) {
    const refused = await api.call('/version', { credential: null, token });
    assert.deepEqual([refused.code, refused.body['reason']], [401, 'Unauthorized'], token);
  }
  const foreign = await loadClusterKeys({
    directory: join(api.directory, 'foreign'),
    cluster: 'test',
    clock: systemClock,
    servingNames: [],
  });
  const credential = await foreign.issueClient('admin', ['system:masters']);
  assert.equal((await api.call('/version', { credential })).code, 401, 'a certificate of another CA');
});

test('a certificate names user and groups; kubeconfigs are private', async (t) => {
  const api = await startFixture(t);
  const credential = await api.server.keys.issueClient('bob', ['team-a', 'team-b']);
  const who = await api.call('/apis/authentication.k8s.io/v1/selfsubjectreviews', {
    credential,
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
  });
  assert.deepEqual(at(who.body, 'status', 'userInfo'), {
    username: 'bob',
    groups: ['team-a', 'team-b', 'system:authenticated'],
  });
  for (const name of ['admin', 'node', 'controllers']) {
    const path = join(api.directory, `${name}.kubeconfig`);
    assert.equal(statSync(path).mode & 0o777, 0o600, name);
    const config: unknown = parse(readFileSync(path, 'utf8'));
    assert.equal(textAt(config, 'clusters', 0, 'cluster', 'server'), api.server.url);
  }
});

test('roles allow exactly what they say', async (t) => {
  const api = await startFixture(t);
  await createAccount(api, 'default', 'app');
  const token = await tokenFor(api);
  const as = { credential: null, token };
  const pods = '/api/v1/namespaces/default/pods';
  assert.equal((await api.call(pods, as)).code, 403);
  await api.call(`${rbac}/namespaces/default/roles`, {
    body: {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: { name: 'reader' },
      rules: [
        { apiGroups: [''], resources: ['pods'], verbs: ['list'] },
        {
          apiGroups: [''],
          resources: ['configmaps'],
          resourceNames: ['mine'],
          verbs: ['get', 'list', 'watch'],
        },
        { apiGroups: ['apps'], resources: ['*/scale'], verbs: ['get'] },
      ],
    },
  });
  const binding = await api.call(`${rbac}/namespaces/default/rolebindings`, {
    body: {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: 'reader' },
      roleRef: { kind: 'Role', name: 'reader' },
      subjects: [{ kind: 'ServiceAccount', name: 'app', namespace: 'default' }],
    },
  });
  assert.equal(binding.code, 201, binding.text);
  const cases: [path: string, code: number][] = [
    [pods, 200],
    [`${pods}?watch=true&timeoutSeconds=1`, 403],
    [`${pods}/x`, 403],
    ['/api/v1/pods', 403],
    ['/api/v1/namespaces/kube-system/pods', 403],
    ['/api/v1/namespaces/default/configmaps/mine', 404],
    ['/api/v1/namespaces/default/configmaps/other', 403],
    ['/api/v1/namespaces/default/configmaps', 403],
    ['/api/v1/namespaces/default/configmaps?fieldSelector=metadata.name%3Dmine', 200],
    ['/api/v1/namespaces/default/configmaps?fieldSelector=metadata.name%3Dother', 403],
    ['/api/v1/namespaces/default/configmaps?fieldSelector=metadata.name!%3Dmine', 403],
    ['/apis/apps/v1/namespaces/default/deployments/d/scale', 404],
    ['/apis/apps/v1/namespaces/default/deployments/d', 403],
    ['/apis', 200],
  ];
  for (const [path, code] of cases) assert.equal((await api.call(path, as)).code, code, path);

  const reviews: [attributes: Json, allowed: boolean][] = [
    [{ verb: 'list', resource: 'pods', namespace: 'default' }, true],
    [{ verb: 'list', resource: 'pods' }, false],
    [
      { verb: 'get', group: 'apps', resource: 'deployments', subresource: 'scale', namespace: 'default' },
      true,
    ],
  ];
  for (const [resourceAttributes, allowed] of reviews) {
    const answer = await api.call('/apis/authorization.k8s.io/v1/subjectaccessreviews', {
      body: {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        spec: { user: 'system:serviceaccount:default:app', resourceAttributes },
      },
    });
    assert.equal(at(answer.body, 'status', 'allowed'), allowed, JSON.stringify(resourceAttributes));
  }
});

test('nobody grants rights they do not have', async (t) => {
  const api = await startFixture(t);
  const credential = await api.server.keys.issueClient('bob', []);
  const grant = (name: string, rules: Json, who: string): Promise<unknown> =>
    Promise.all([
      api.call(`${rbac}/clusterroles`, {
        body: {
          apiVersion: 'rbac.authorization.k8s.io/v1',
          kind: 'ClusterRole',
          metadata: { name },
          rules,
        },
      }),
      api.call(`${rbac}/clusterrolebindings`, {
        body: {
          apiVersion: 'rbac.authorization.k8s.io/v1',
          kind: 'ClusterRoleBinding',
          metadata: { name },
          roleRef: { kind: 'ClusterRole', name },
          subjects: [{ kind: 'User', name: who }],
        },
      }),
    ]);
  const manage = { apiGroups: ['rbac.authorization.k8s.io'], resources: ['*'], verbs: ['create', 'get'] };
  await grant('manager', [manage, { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] }], 'bob');
  const role = (name: string, verbs: string[]): Promise<{ code: number; text: string }> =>
    api.call(`${rbac}/namespaces/default/roles`, {
      credential,
      body: {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'Role',
        metadata: { name },
        rules: [{ apiGroups: [''], resources: ['pods'], verbs }],
      },
    });
  assert.equal((await role('less', ['get'])).code, 201);
  const more = await role('more', ['get', 'delete']);
  assert.equal(more.code, 403);
  assert.match(more.text, /attempting to grant RBAC permissions not currently held/);
  assert.equal((await role('all', ['*'])).code, 403);
  const gathering = await api.call(`${rbac}/clusterroles`, {
    credential,
    body: {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: 'gathering' },
      aggregationRule: { clusterRoleSelectors: [{}] },
      rules: [],
    },
  });
  assert.equal(gathering.code, 403);
  assert.match(gathering.text, /must have cluster-admin privileges to use an aggregationRule/);
  const bind = (name: string): Promise<{ code: number }> =>
    api.call(`${rbac}/namespaces/default/rolebindings`, {
      credential,
      body: {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'RoleBinding',
        metadata: { name },
        roleRef: { kind: 'ClusterRole', name },
        subjects: [{ kind: 'User', name: 'bob' }],
      },
    });
  assert.equal((await bind('cluster-admin')).code, 403);
  await grant('binder', [{ ...manage, verbs: ['bind'], resources: ['clusterroles'] }], 'bob');
  assert.equal((await bind('cluster-admin')).code, 201);
});

test('impersonation needs permission and takes on the rights of the other', async (t) => {
  const api = await startFixture(t);
  const path = '/api/v1/namespaces/default/pods';
  const headers = { 'impersonate-user': 'jane', 'impersonate-group': ['dev'] };
  assert.match((await api.call(path, { headers })).text, /User \\"jane\\" cannot list/);
  const credential = await api.server.keys.issueClient('bob', []);
  const refused = await api.call(path, { headers, credential });
  assert.match(refused.text, /User \\"bob\\" cannot impersonate resource \\"users\\"/);
});

test('tokens: audience, expiry, bound pod, deleted account', async (t) => {
  const clock = new FakeClock(systemClock.wall());
  const api = await startFixture(t, { clock: { ...systemClock, wall: () => clock.wall() } });
  await createAccount(api, 'default', 'app');

  const narrow = await tokenFor(api, { audiences: ['identity.mesh.io'], expirationSeconds: 600 });
  assert.equal((await api.call('/version', { credential: null, token: narrow })).code, 401);
  const good = await review(api, narrow, ['identity.mesh.io', 'other']);
  assert.equal(at(good, 'authenticated'), true);
  assert.deepEqual(at(good, 'audiences'), ['identity.mesh.io']);
  assert.equal(textAt(good, 'user', 'username'), 'system:serviceaccount:default:app');
  assert.equal(at(await review(api, narrow, ['other']), 'authenticated'), undefined);
  assert.equal(at(await review(api, narrow), 'authenticated'), undefined);
  clock.advance(601_000);
  assert.equal(at(await review(api, narrow, ['identity.mesh.io']), 'authenticated'), undefined, 'expired');

  const short = await api.call(`${accounts}/app/token`, {
    body: {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: 60 },
    },
  });
  assert.equal(short.code, 422);

  const body = pod('p');
  body['spec'] = { serviceAccountName: 'app', containers: [{ name: 'c', image: 'i' }] };
  const made = await api.call('/api/v1/namespaces/default/pods', { body });
  const uid = textAt(made.body, 'metadata', 'uid') ?? '';
  const bound = await tokenFor(api, { boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'p', uid } });
  assert.deepEqual(at(await review(api, bound), 'user', 'extra', 'authentication.kubernetes.io/pod-name'), [
    'p',
  ]);
  await api.call('/api/v1/namespaces/default/pods/p', { method: 'DELETE' });
  assert.equal(at(await review(api, bound), 'authenticated'), undefined, 'its pod is gone');

  const plain = await tokenFor(api);
  assert.equal(at(await review(api, plain), 'authenticated'), true);
  const [head = '', claims = '', signature = ''] = plain.split('.');
  const forged = Buffer.from(claims, 'base64url').toString().replace(':app"', ':admin"');
  const changed = `${head}.${Buffer.from(forged).toString('base64url')}.${signature}`;
  assert.equal(at(await review(api, changed), 'authenticated'), undefined, 'a changed claim');
  await api.call(`${accounts}/app`, { method: 'DELETE' });
  await createAccount(api, 'default', 'app');
  assert.equal(at(await review(api, plain), 'authenticated'), undefined, 'another account of that name');
});

test('the unix socket serves the same', async (t) => {
  const socketPath = join('/tmp', `mesh-apiserver-${process.pid}.sock`);
  const api = await startFixture(t, { socketPath });
  const raw = netConnect(socketPath);
  t.after(() => raw.destroy());
  const socket = tlsConnect({
    socket: raw,
    ca: api.server.keys.caPem,
    servername: 'kubernetes.default.svc.cluster.local',
  });
  let text = '';
  socket.on('data', (chunk) => {
    text += String(chunk);
  });
  socket.write('GET /healthz HTTP/1.1\r\nhost: kubernetes\r\nconnection: close\r\n\r\n');
  await new Promise((resolve) => socket.on('close', resolve));
  assert.match(text, /^HTTP\/1.1 200 OK[\s\S]*\r\n\r\nok$/);
});
