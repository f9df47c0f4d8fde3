/** The Kubernetes client package against a real API server. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { systemClock, systemRandom } from '@mesh/clock/system';
import { isAlreadyExists, isConflict, KubeApiError } from '@mesh/kube/api-error';
import { ensureObject, serverSideApply } from '@mesh/kube/apply';
import { KubeClient } from '@mesh/kube/client';
import { discover } from '@mesh/kube/discovery';
import { EventRecorder } from '@mesh/kube/event-recorder';
import { Informer } from '@mesh/kube/informer';
import { LeaderElector } from '@mesh/kube/lease';
import {
  configMaps,
  deployments,
  events,
  leases,
  pods,
  secrets,
  serviceAccounts,
  services,
} from '@mesh/kube/resources';
import type { ConfigMap } from '@mesh/kube/types';
import { eventually } from '@mesh/testkit/eventually';
import { isReadyPod, makeDeployment, makeNamespace, startTestCluster } from './testing/test-cluster.ts';

const namespace = 'shop';

test('objects are created, read, changed under optimistic concurrency, listed in pages and deleted', async (t) => {
  const { client } = await startTestCluster(t);
  await makeNamespace(client, namespace);
  const made = await client.create(secrets, {
    metadata: { name: 'a', namespace },
    stringData: { key: 'one' },
  });
  await assert.rejects(client.create(secrets, { metadata: { name: 'a', namespace } }), isAlreadyExists);
  const changed = await client.update(secrets, { ...made, data: { key: 'dHdv' } });
  await assert.rejects(
    client.update(secrets, made),
    (thrown) => isConflict(thrown) && !isAlreadyExists(thrown),
  );
  assert.equal((await client.get(secrets, made.metadata)).data?.['key'], 'dHdv');
  for (const name of ['b', 'c', 'd', 'e'])
    await client.create(secrets, { metadata: { name, namespace, labels: { odd: 'no' } } });
  const first = await client.list(secrets, { namespace, limit: 2 });
  assert.deepEqual(
    first.items.map(({ kind, apiVersion, metadata }) => [apiVersion, kind, metadata.name]),
    [
      ['v1', 'Secret', 'a'],
      ['v1', 'Secret', 'b'],
    ],
  );
  assert.ok(first.metadata.continue !== undefined);
  const all = await client.listAll(secrets, { namespace, limit: 2 });
  assert.deepEqual(
    all.items.map(({ metadata }) => metadata.name),
    ['a', 'b', 'c', 'd', 'e'],
  );
  assert.equal((await client.listAll(secrets, { namespace, labelSelector: 'odd=no' })).items.length, 4);
  assert.equal(
    (await client.listAll(secrets, { namespace, fieldSelector: 'metadata.name=c' })).items.length,
    1,
  );
  await client.delete(secrets, { namespace, name: 'a' }, { preconditions: { uid: changed.metadata.uid } });
  assert.equal(await client.find(secrets, { namespace, name: 'a' }), undefined);
  await assert.rejects(client.get(secrets, { namespace, name: 'a' }), (thrown) => {
    assert.ok(thrown instanceof KubeApiError);
    assert.deepEqual([thrown.status, thrown.reason, thrown.details?.name], [404, 'NotFound', 'a']);
    assert.match(
      thrown.message,
      /^GET \/api\/v1\/namespaces\/shop\/secrets\/a: 404 NotFound: secrets "a" not found$/,
    );
    return true;
  });
});

test('a token of a service account is issued, used and reviewed', async (t) => {
  const { client, socketPath } = await startTestCluster(t);
  await makeNamespace(client, namespace);
  const account = await client.create(serviceAccounts, { metadata: { name: 'cart', namespace } });
  const audiences = ['identity.mesh.io'];
  const { token } = await client.tokenRequest(account.metadata, { audiences, expirationSeconds: 600 });
  const review = await client.reviewToken(token, audiences);
  assert.equal(review.authenticated, true);
  assert.equal(review.user?.username, 'system:serviceaccount:shop:cart');
  assert.deepEqual(review.audiences, audiences);
  assert.notEqual((await client.reviewToken(token, ['someone.else'])).authenticated, true);
  assert.notEqual((await client.reviewToken('nonsense', audiences)).authenticated, true);
  const ca = (await client.get(configMaps, { namespace, name: 'kube-root-ca.crt' })).data?.['ca.crt'] ?? '';
  const api = await client.tokenRequest(account.metadata, { audiences: [] });
  const own = new KubeClient({
    server: client.server,
    ca,
    token: api.token,
    namespace,
    clock: systemClock,
    socketPath,
  });
  t.after(() => own.close());
  await assert.rejects(
    own.list(secrets, { namespace }),
    (thrown) =>
      thrown instanceof KubeApiError && thrown.status === 403 && !thrown.message.includes(api.token),
  );
  const stranger = new KubeClient({ server: client.server, namespace, clock: systemClock });
  t.after(() => stranger.close());
  await assert.rejects(stranger.list(secrets), /certificate/);
});

test('ensureObject writes once, then only differences, and leaves what others own', async (t) => {
  const { client } = await startTestCluster(t);
  await makeNamespace(client, namespace);
  const desired = {
    metadata: { name: 'web', namespace, labels: { app: 'web' } },
    spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 80 }] },
  };
  const { outcome, object } = await ensureObject(client, services, desired);
  assert.equal(outcome, 'created');
  assert.equal((await ensureObject(client, services, desired)).outcome, 'unchanged');
  const body = { metadata: { annotations: { theirs: 'x' } } };
  await client.patch(services, desired.metadata, { patch: { type: 'merge', body } });
  assert.equal((await ensureObject(client, services, desired)).outcome, 'unchanged');
  const moved = { ...desired, spec: { ...desired.spec, ports: [{ name: 'http', port: 81 }] } };
  await assert.rejects(
    ensureObject(client, services, moved, { current: object }),
    isConflict,
    'a stale copy is a conflict',
  );
  const result = await ensureObject(client, services, moved);
  assert.equal(result.outcome, 'updated');
  assert.equal(result.object.spec?.ports?.[0]?.port, 81);
  assert.equal(result.object.spec?.clusterIP, object.spec?.clusterIP);
  assert.equal(result.object.metadata.annotations?.['theirs'], 'x');
  const map = { metadata: { name: 'map', namespace }, data: { a: '1', b: '2' } };
  await ensureObject(client, configMaps, map, { exact: ['data'] });
  const smaller = await ensureObject(client, configMaps, { ...map, data: { a: '1' } }, { exact: ['data'] });
  assert.deepEqual(smaller.object.data, { a: '1' });
});

test('server-side apply removes what one manager no longer names and keeps what another does', async (t) => {
  const { client } = await startTestCluster(t);
  await makeNamespace(client, namespace);
  const ref = { name: 'map', namespace };
  const apply = async (fieldManager: string, data: Record<string, string>): Promise<ConfigMap> =>
    serverSideApply(client, configMaps, { metadata: ref, data }, { fieldManager });
  await apply('one', { a: '1', b: '2' });
  await apply('two', { c: '3' });
  assert.deepEqual((await apply('one', { a: '1' })).data, { a: '1', c: '3' });
});

test('discovery names every type once, without subresources', async (t) => {
  const { client } = await startTestCluster(t);
  const { served, failed } = await discover(client);
  assert.deepEqual(failed, []);
  const names = served.map(({ type }) => `${type.group}/${type.plural}`);
  assert.equal(new Set(names).size, names.length);
  for (const name of ['/pods', 'apps/deployments', 'discovery.k8s.io/endpointslices'])
    assert.ok(names.includes(name), name);
  assert.ok(names.every((name) => name.split('/').length === 2));
});

test('repeated events are counted, different ones kept apart', async (t) => {
  const { client } = await startTestCluster(t);
  await makeNamespace(client, namespace);
  const map = await client.create(configMaps, { metadata: { name: 'map', namespace } });
  const recorder = new EventRecorder({ client, clock: systemClock, random: systemRandom, component: 'test' });
  for (let times = 0; times < 3; times++)
    recorder.record(configMaps, map, { type: 'Warning', reason: 'Broken', message: 'again' });
  recorder.record(configMaps, map, { type: 'Normal', reason: 'Fine', message: 'now' });
  await recorder.flush();
  const { items } = await client.list(events, { namespace, fieldSelector: 'involvedObject.name=map' });
  assert.deepEqual(items.map(({ reason, count }) => `${reason} ${count}`).sort(), ['Broken 3', 'Fine 1']);
});

function candidate(t: TestContext, client: KubeClient, identity: string, log: string[]): LeaderElector {
  const elector = new LeaderElector({
    client,
    namespace,
    name: 'leader',
    identity,
    clock: systemClock,
    random: systemRandom,
    leaseMs: 1000,
    renewMs: 600,
    retryMs: 50,
    onStarted: () => log.push(`${identity} leads`),
    onStopped: () => log.push(`${identity} stops`),
  });
  t.after(() => elector.stop());
  return elector;
}

test('one candidate leads; another follows when it resigns, or when it falls silent', async (t) => {
  const { client } = await startTestCluster(t);
  await makeNamespace(client, namespace);
  const log: string[] = [];
  const first = candidate(t, client, 'first', log);
  const second = candidate(t, client, 'second', log);
  first.start();
  await eventually('first leads', () => first.leading);
  second.start();
  await eventually('renewed', async () => {
    const lease = await client.get(leases, { namespace, name: 'leader' });
    return Number(lease.metadata.generation ?? 0) > 3 || lease.spec?.renewTime !== lease.spec?.acquireTime;
  });
  assert.equal(second.leading, false);
  await first.stop();
  await eventually('second leads', () => second.leading);
  assert.deepEqual(log, ['first leads', 'first stops', 'second leads']);
  const lease = await client.get(leases, { namespace, name: 'leader' });
  const thief = { ...lease, spec: { ...lease.spec, holderIdentity: 'thief' } };
  await eventually('taken away', async () => {
    const current = await client.get(leases, { namespace, name: 'leader' });
    await client.update(leases, { ...current, spec: thief.spec });
    return true;
  });
  await eventually('second stops', () => !second.leading);
  await eventually('and leads again once the thief has been silent', () => second.leading);
});

test('a leader that cannot reach the server steps down before its lease runs out', async (t) => {
  const { client, restart } = await startTestCluster(t);
  await makeNamespace(client, namespace);
  const log: string[] = [];
  const elector = candidate(t, client, 'only', log);
  elector.start();
  await eventually('leads', () => elector.leading);
  await restart(async () => {
    await eventually('stepped down', () => !elector.leading);
  });
  await eventually('leads again', () => elector.leading);
  // A server that is slow after its start may cost it the lead once more.
  assert.deepEqual(log.slice(0, 3), ['only leads', 'only stops', 'only leads']);
});

test('informers and controllers go on through a restart of the API server', async (t) => {
  const { client, restart } = await startTestCluster(t);
  await makeNamespace(client, namespace);
  await makeDeployment(client, { namespace, name: 'cart', replicas: 2 });
  const informer = new Informer({ client, type: pods, namespace, clock: systemClock, random: systemRandom });
  t.after(() => informer.stop());
  informer.start();
  const readyPods = (): number => informer.list().filter(isReadyPod).length;
  await eventually('two', () => readyPods() === 2);
  await restart(async () => {
    await eventually('disconnected', () => !informer.connected);
    assert.equal(readyPods(), 2, 'the last known state is kept');
  });
  const body = { spec: { replicas: 3 } };
  await client.patch(deployments, { namespace, name: 'cart' }, { patch: { type: 'merge', body } });
  await eventually('three', () => readyPods() === 3, { timeoutMs: 10_000 });
});
