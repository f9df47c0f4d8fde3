/** Two clusters: an export by label, the ways of a request, and what is left afterwards. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { deployments, endpointSlices, namespaces, services } from '@mesh/kube/resources';
import { labels, annotations } from '@mesh/multicluster/names';
import { eventually } from '@mesh/testkit/eventually';
import { gatewayIdentity, identityName } from '@mesh/trust/names';
import { Fleet, links, metric, patience, shop } from './fleet.ts';
import { echoProgram, tcpProgram } from './test-programs.ts';

describe('two linked clusters', () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.linked('two');
  });
  after(() => fleet?.end());

  test('an export by label becomes a mirror, and its removal takes the mirror away', async () => {
    assert.equal(await fleet.mirror('east', 'cart-west'), undefined);
    await fleet.label('west', 'cart', { [labels.exported]: 'true' });
    const mirror = await eventually(
      'cart-west is in east',
      () => fleet.mirror('east', 'cart-west'),
      patience,
    );
    assert.equal(mirror.metadata?.labels?.[labels.mirroredService], 'true');
    assert.equal(mirror.metadata?.labels?.[labels.clusterName], 'west');
    assert.equal(mirror.metadata?.annotations?.[annotations.remoteName], 'cart.shop.svc.cluster.local');
    const answer = await eventually(
      'west answers',
      async () => {
        const got = await fleet.ask('east', 'http://cart-west/items');
        return got.status === 200 ? got : undefined;
      },
      patience,
    );
    assert.equal(answer.headers['x-cluster'], 'west');
    // The plain name stays what it was.
    assert.equal((await fleet.ask('east', 'http://cart/items')).headers['x-cluster'], 'east');
    await fleet.label('west', 'cart', { [labels.exported]: null });
    await eventually(
      'cart-west is gone',
      async () => (await fleet.mirror('east', 'cart-west')) === undefined,
      patience,
    );
    const { items } = await fleet.kube('east').listAll(endpointSlices, { namespace: shop });
    assert.deepEqual(
      items
        .filter(({ metadata }) => metadata.name.startsWith('cart-west'))
        .map(({ metadata }) => metadata.name),
      [],
    );
  });

  test('both ends of a call across clusters prove who they are', async () => {
    await fleet.app('west', 'echo', {
      program: echoProgram,
      port: 8080,
      labels: { [labels.exported]: 'true' },
      probe: { httpGet: { path: '/healthz', port: 'app' } },
    });
    await fleet.ready('west', 'echo');
    const answer = await eventually(
      'echo-west answers',
      async () => {
        const got = await fleet.ask('east', 'http://echo-west/', {
          'l5d-client-id': 'forged.shop.serviceaccount.identity.mesh.west.mesh.local',
        });
        return got.status === 200 ? got : undefined;
      },
      patience,
    );
    const seen = JSON.parse(answer.body) as { cluster: string; headers: Record<string, string> };
    const probe = identityName({ serviceAccount: 'probe', namespace: shop, cluster: 'east' });
    assert.equal(seen.cluster, 'west');
    assert.equal(
      seen.headers['l5d-client-id'],
      probe,
      'the app sees the caller, not what the caller claimed',
    );
    const client = await fleet.proxyMetrics('east', 'probe');
    assert.ok(
      metric(client, 'response_total', {
        direction: 'outbound',
        tls: 'true',
        server_id: gatewayIdentity('west'),
      }) > 0,
      'the sidecar in east proved the gateway of west',
    );
    const server = await fleet.proxyMetrics('west', 'echo');
    assert.ok(
      metric(server, 'request_total', {
        direction: 'inbound',
        tls: 'true',
        client_id: gatewayIdentity('west'),
      }) > 0,
      'the sidecar in west proved its own gateway',
    );
    const gateway = await fleet.gatewayMetrics('west');
    assert.ok(metric(gateway, 'request_total', { source_cluster: 'east', target_service: 'echo' }) > 0);
  });

  test('who may call changes with an annotation, while the pods run', async (t) => {
    const { uid } = (await fleet.ready('west', 'echo')).metadata;
    const policy = async (value: string | null): Promise<void> => {
      const body = { metadata: { annotations: { 'mesh.io/default-inbound-policy': value } } };
      await fleet.kube('west').patch(namespaces, { name: shop }, { patch: { type: 'merge', body } });
    };
    t.after(() => policy(null));
    // The node calls without identity, as a kubelet's probe does.
    const plaintext = async (path: string): Promise<number> =>
      (await fleet.get('west', { app: 'echo', port: 8080, path })).status;
    const fromEast = async (): Promise<number> => (await fleet.ask('east', 'http://echo-west/')).status;
    const becomes = (what: string, seen: () => Promise<number>, wanted: number): Promise<unknown> =>
      eventually(what, async () => (await seen()) === wanted, patience);
    assert.equal(await plaintext('/'), 200);
    await policy('cluster-authenticated');
    await becomes('plaintext is refused', () => plaintext('/'), 403);
    assert.equal(await fromEast(), 403, 'the caller behind the gateway counts');
    await policy('all-authenticated');
    await becomes('east is admitted again', fromEast, 200);
    assert.equal(await plaintext('/'), 403);
    assert.equal(await plaintext('/healthz'), 200, 'probes are open');
    await policy(null);
    await becomes('plaintext is admitted again', () => plaintext('/'), 200);
    assert.equal((await fleet.ready('west', 'echo')).metadata.uid, uid, 'no pod was restarted');
  });

  test('gRPC crosses clusters', async () => {
    await fleet.label('west', 'ratings', { [labels.exported]: 'true' });
    await eventually('ratings-west is in east', () => fleet.mirror('east', 'ratings-west'), patience);
    await fleet.kube('east').patch(
      deployments,
      { namespace: shop, name: 'frontend' },
      {
        patch: {
          type: 'json',
          body: [
            {
              op: 'add',
              path: '/spec/template/spec/containers/0/env/-',
              value: { name: 'RATINGS_ADDR', value: 'ratings-west:9000' },
            },
          ],
        },
      },
    );
    const page = await eventually(
      'the frontend has ratings of west',
      async () => {
        const { status, body } = await fleet.get('east', { app: 'frontend', port: 8080, path: '/' });
        const read = JSON.parse(body) as { answeredBy: Record<string, string>; stars: number };
        return status === 200 && read.answeredBy['ratings'] === 'west' ? read : undefined;
      },
      patience,
    );
    assert.deepEqual(page.answeredBy, { cart: 'east', catalog: 'east', ratings: 'west' });
    assert.equal(page.stars, 5);
  });

  test('TCP where the server speaks first crosses clusters', async () => {
    await fleet.app('west', 'lines', {
      program: tcpProgram,
      port: 9100,
      servicePort: 9100,
      labels: { [labels.exported]: 'true' },
      annotations: { 'mesh.io/opaque-ports': '9100' },
    });
    await fleet.ready('west', 'lines');
    await eventually('lines-west is in east', () => fleet.mirror('east', 'lines-west'), patience);
    const { got } = await eventually(
      'lines-west answers',
      async () => {
        const heard = await fleet.tcp('east', { host: 'lines-west', port: 9100, send: 'ping\n' });
        return heard.got.endsWith('ping\n') ? heard : undefined;
      },
      patience,
    );
    assert.equal(got, 'hello from west\nping\n');
    const client = await fleet.proxyMetrics('east', 'probe');
    assert.ok(
      metric(client, 'tcp_open_total', { direction: 'outbound', server_id: gatewayIdentity('west') }) > 0,
    );
  });

  test('unlink leaves nothing', async () => {
    await fleet.label('west', 'cart', { [labels.federated]: 'member' });
    await fleet.label('east', 'cart', { [labels.federated]: 'member' });
    await eventually('cart-federated is in east', () => fleet.mirror('east', 'cart-federated'), patience);
    await fleet.expect('multicluster', 'unlink', 'east', 'west');
    const left = { labelSelector: `${labels.mirroredService}=true` };
    for (const cluster of fleet.names) {
      const kube = fleet.kube(cluster);
      assert.deepEqual((await kube.listAll(links)).items, []);
      await eventually(
        `${cluster} has no mirrored object`,
        async () =>
          (await kube.listAll(services, left)).items.length === 0 &&
          (await kube.listAll(endpointSlices, left)).items.length === 0,
        patience,
      );
      for (const { metadata } of (await kube.listAll(services)).items) {
        assert.deepEqual(metadata.finalizers ?? [], [], `${cluster}: ${metadata.name}`);
      }
    }
    assert.equal((await fleet.ask('east', 'http://cart/items')).headers['x-cluster'], 'east');
  });
});
