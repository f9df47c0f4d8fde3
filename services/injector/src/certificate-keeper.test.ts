import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { connect } from 'node:tls';
import { resolveValues } from '@mesh/charts/values';
import { KubeClient } from '@mesh/kube/client';
import { silentLogger } from '@mesh/telemetry/log';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { CertificateKeeper } from './certificate-keeper.ts';
import { InjectorServer } from './server.ts';

const dayMs = 86_400_000;

interface Cluster {
  client: KubeClient;
  /** Of the Secret; undefined while there is none. */
  secret: { metadata: { resourceVersion: string }; data: Record<string, string> } | undefined;
  /** PEM that API servers trust for the webhook. */
  trusted: string;
  /** Requests are refused that this says. */
  refuses: (method: string, path: string) => boolean;
}

/** An API server with the Secret and the webhook configuration of the injector. */
async function startCluster(t: TestContext, clock: FakeClock): Promise<Cluster> {
  const cluster: Pick<Cluster, 'secret' | 'trusted' | 'refuses'> = {
    secret: undefined,
    trusted: '',
    refuses: () => false,
  };
  let version = 0;
  const answer = (method: string, path: string, body: string): [status: number, body: unknown] => {
    if (cluster.refuses(method, path)) return [503, {}];
    if (path.includes('mutatingwebhookconfigurations')) {
      if (method === 'PATCH') {
        const [first] = JSON.parse(body) as { value: string }[];
        cluster.trusted = Buffer.from(first?.value ?? '', 'base64').toString();
      }
      const caBundle = Buffer.from(cluster.trusted).toString('base64');
      return [200, { metadata: {}, webhooks: [{ clientConfig: { caBundle } }] }];
    }
    if (method === 'GET') return cluster.secret === undefined ? [404, {}] : [200, cluster.secret];
    const written = JSON.parse(body) as NonNullable<Cluster['secret']>;
    if (method === 'PUT' && written.metadata.resourceVersion !== cluster.secret?.metadata.resourceVersion)
      return [409, {}];
    if (method === 'POST' && cluster.secret !== undefined)
      return [409, { kind: 'Status', reason: 'AlreadyExists' }];
    version++;
    cluster.secret = { ...written, metadata: { ...written.metadata, resourceVersion: String(version) } };
    return [200, cluster.secret];
  };
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const [status, value] = answer(request.method ?? '', request.url ?? '', body);
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = new KubeClient({ server: `http://127.0.0.1:${port}`, namespace: 'mesh', clock });
  t.after(() => {
    client.close();
    server.close();
  });
  return Object.assign(cluster, { client });
}

interface Replica {
  keeper: CertificateKeeper;
  /** Whether an API server would reach it: the certificate that it serves is trusted. */
  reachable(): Promise<boolean>;
}

function startReplica(t: TestContext, cluster: Cluster, clock: FakeClock): Replica {
  const server = new InjectorServer({
    port: 0,
    log: silentLogger,
    clock,
    reviews: new MetricRegistry().counter('reviews', ''),
    cluster: {
      values: async () => resolveValues({ cluster: 'east', anchors: 'PEM' }),
      namespaceAnnotations: () => Promise.resolve({}),
    },
  });
  t.after(() => server.close());
  const { client } = cluster;
  const keeper = new CertificateKeeper({
    client,
    clock,
    log: silentLogger,
    namespace: 'mesh',
    lifetimeMs: 30 * dayMs,
    onMaterial: (material) => server.use(material),
  });
  const reachable = async (): Promise<boolean> => {
    const options = { port: server.port, host: '127.0.0.1', servername: 'mesh-injector.mesh.svc' };
    const socket = connect({ ...options, ca: cluster.trusted, rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    socket.destroy();
    return socket.authorized;
  };
  return { keeper, reachable };
}

test('a renewal is trusted before it is served, and what other replicas still serve stays trusted', async (t) => {
  // Certificates are judged by the clock of this machine, too.
  const clock = new FakeClock(Date.now() - 21 * dayMs);
  const cluster = await startCluster(t, clock);
  const [one, other] = [startReplica(t, cluster, clock), startReplica(t, cluster, clock)];
  await one.keeper.check();
  await other.keeper.check();
  assert.deepEqual([await one.reachable(), await other.reachable()], [true, true]);
  clock.jumpWall(21 * dayMs);
  const before = cluster.trusted;
  // The first to look renews, and cannot tell the API servers.
  cluster.refuses = (method) => method === 'PATCH';
  await assert.rejects(one.keeper.check(), /503/);
  assert.equal(cluster.trusted, before);
  assert.equal(await one.reachable(), true);
  cluster.refuses = () => false;
  await one.keeper.check();
  assert.notEqual(cluster.trusted, before);
  assert.deepEqual([await one.reachable(), await other.reachable()], [true, true]);
  await other.keeper.check();
  assert.deepEqual([await one.reachable(), await other.reachable()], [true, true]);
});

test('a Secret that nothing can be served with is made anew', async (t) => {
  const clock = new FakeClock(Date.now());
  const cluster = await startCluster(t, clock);
  const { keeper, reachable } = startReplica(t, cluster, clock);
  await keeper.check();
  const { data: good = {} } = cluster.secret ?? {};
  for (const broken of [{ 'tls.crt': 'AAAA' }, { 'tls.key': '' }, { 'ca.crt': 'AAAA' }]) {
    cluster.secret = { metadata: { resourceVersion: 'x' }, data: { ...good, ...broken } };
    await keeper.check();
    assert.equal(await reachable(), true);
    assert.equal(Buffer.from(cluster.secret.data['ca.crt'] ?? '', 'base64').toString(), cluster.trusted);
  }
});
