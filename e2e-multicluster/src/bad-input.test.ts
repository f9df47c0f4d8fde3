/** What users get wrong, and an API server that dies: a clear answer each, and nothing lost. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { KubeApiError } from '@mesh/kube/api-error';
import { serverSideApply } from '@mesh/kube/apply';
import { events, services } from '@mesh/kube/resources';
import { multiclusterNamespace } from '@mesh/multicluster/link';
import { labels } from '@mesh/multicluster/names';
import { eventually } from '@mesh/testkit/eventually';
import { Fleet, links, patience, shop } from './fleet.ts';

describe('bad input', () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.linked('two');
  });
  after(() => fleet?.end());

  test('a malformed Link is refused by the API server, which names the field', async () => {
    const metadata = { name: 'south', namespace: multiclusterNamespace };
    const spec = { cluster: 'South!', gatewayAddresses: [], gatewayPort: 70_000 };
    await assert.rejects(
      fleet.kube('east').create(links, {
        apiVersion: 'multicluster.mesh.io/v1alpha1',
        kind: 'Link',
        metadata,
        spec,
      }),
      (thrown: unknown) => {
        assert.ok(thrown instanceof KubeApiError);
        assert.equal(thrown.status, 422);
        for (const field of ['spec.cluster', 'spec.gatewayAddresses', 'spec.gatewayPort']) {
          assert.ok(thrown.message.includes(field), `${thrown.message} names ${field}`);
        }
        return true;
      },
    );
  });

  test('an unknown value of the export label is told as an event of the service', async () => {
    await fleet.label('west', 'catalog', { [labels.exported]: 'yes' });
    const event = await eventually(
      'there is an event',
      async () => {
        const { items } = await fleet.kube('west').listAll(events, { namespace: shop });
        return items.find(({ reason }) => reason === 'InvalidExportLabel');
      },
      patience,
    );
    assert.equal(event.involvedObject.name, 'catalog');
    assert.match(event.message ?? '', /mirror\.mesh\.io\/exported=yes .*"true" or "remote-discovery"/);
    assert.equal(await fleet.mirror('east', 'catalog-west'), undefined);
  });

  test('a service whose mirror would have too long a name is told in the status of the Link', async () => {
    const name = `a${'b'.repeat(60)}`;
    await serverSideApply(
      fleet.kube('west'),
      services,
      {
        metadata: { name, namespace: shop, labels: { [labels.exported]: 'true' } },
        spec: { selector: { app: 'cart' }, ports: [{ name: 'http', port: 80 }] },
      },
      { fieldManager: 'e2e' },
    );
    const refusal = await eventually(
      'the status tells',
      async () => {
        const west = { namespace: multiclusterNamespace, name: 'west' };
        const { status } = await fleet.kube('east').get(links, west);
        return status?.imports?.find((each) => each.name === name);
      },
      patience,
    );
    assert.equal(refusal.state, 'Refused');
    assert.equal(refusal.reason, 'NameTooLong');
    assert.match(refusal.message, /66 characters/);
  });

  test('traffic goes on while the API server is dead, and what it stored comes back as it was', async () => {
    await fleet.label('west', 'cart', { [labels.exported]: 'true' });
    await eventually(
      'cart-west answers',
      async () => (await fleet.ask('east', 'http://cart-west/items')).status === 200,
      patience,
    );
    const mirror = { namespace: shop, name: 'cart-west' };
    const before = await fleet.kube('east').get(services, mirror);
    await fleet.load('east', { url: 'http://cart-west/items', rate: 40 });
    const { apiserver } = fleet.cluster('east');
    assert.ok(apiserver !== undefined);
    process.kill(apiserver, 'SIGKILL');
    await eventually(
      'it is back',
      async () => {
        const now = fleet.cluster('east').apiserver;
        return now !== undefined && now !== apiserver && (await fleet.kube('east').find(services, mirror));
      },
      patience,
    );
    const { metadata } = await fleet.kube('east').get(services, mirror);
    assert.equal(metadata.resourceVersion, before.metadata.resourceVersion);
    assert.equal(metadata.uid, before.metadata.uid);
    await fleet.label('west', 'ratings', { [labels.exported]: 'true' });
    await eventually('a new export arrives', () => fleet.mirror('east', 'ratings-west'), {
      ...patience,
      timeoutMs: 60_000,
    });
    const samples = await fleet.endLoad('east');
    assert.ok(samples.length >= 10, `${samples.length} requests`);
    assert.deepEqual(
      samples.filter(({ status }) => status !== 200),
      [],
    );
  });
});

describe('clusters under different anchors', () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start('two');
  });
  after(() => fleet?.end());

  test('cannot be linked, and the command says why and what to do', async () => {
    await Promise.all(fleet.names.map((name) => fleet.trust(name)));
    await Promise.all(fleet.names.map((name) => fleet.install(name, name)));
    const { code, stdout, stderr } = await fleet.mesh('multicluster', 'link', 'east', 'west');
    assert.equal(code, 1, stdout);
    const fingerprints = stderr.match(/(east|west): [0-9A-Fa-f:]{64,95}/g) ?? [];
    assert.equal(new Set(fingerprints).size, 2, stderr);
    assert.match(stderr, /mesh install --cluster west --trust DIR --apply --context west/);
    for (const name of fleet.names) assert.deepEqual((await fleet.kube(name).listAll(links)).items, []);
  });
});
