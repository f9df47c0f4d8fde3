/** A cluster that turned hostile: its gateway and its certificates are real, what its mirror controller says is not. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { configMaps, deployments, endpointSlices, services } from '@mesh/kube/resources';
import { type ImportedService, multiclusterNamespace } from '@mesh/multicluster/link';
import { labels } from '@mesh/multicluster/names';
import { eventually } from '@mesh/testkit/eventually';
import { identityName } from '@mesh/trust/names';
import { build } from 'esbuild';
import { Fleet, links, patience, shop } from './fleet.ts';

const http = [{ name: 'http', port: 80, protocol: 'TCP' }];
const base = { namespace: shop, mode: 'MODE_GATEWAY', ports: http, readyEndpoints: 1 };

function flat(name: string, address: string, identity: string): object {
  const endpoint = { address, identity, ports: [{ name: 'http', port: 8080 }] };
  return { ...base, name, mode: 'MODE_REMOTE_DISCOVERY', flatEndpoints: [endpoint] };
}

describe('a hostile peer', () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.linked('two');
    for (const cluster of fleet.names) await fleet.label(cluster, 'cart', { [labels.federated]: 'member' });
    await fleet.label('west', 'cart', { [labels.exported]: 'true' });
    await eventually('cart-west is in east', () => fleet.mirror('east', 'cart-west'), patience);
    await possess();
  });
  after(() => fleet?.end());

  /** Puts the hostile program into west's mirror controller, with nothing to say yet. */
  async function possess(): Promise<void> {
    const { outputFiles } = await build({
      entryPoints: [join(import.meta.dirname, 'hostile-mirror-main.ts')],
      bundle: true,
      minify: true,
      platform: 'node',
      format: 'esm',
      external: ['koffi'],
      write: false,
    });
    const data = { 'mirror.mjs': outputFiles[0]?.text ?? '' };
    await fleet
      .kube('west')
      .create(configMaps, { metadata: { name: 'hostile', namespace: multiclusterNamespace }, data });
  }

  /** West's mirror controller says this, and nothing else, from now on. */
  async function tell(exports: readonly object[]): Promise<void> {
    const kube = fleet.kube('west');
    const ref = { namespace: multiclusterNamespace, name: 'mesh-mirror' };
    const before = await fleet.ready('west', 'mesh-mirror', multiclusterNamespace);
    const deployment = await kube.get(deployments, ref);
    const { spec } = deployment.spec?.template ?? {};
    const [container] = spec?.containers ?? [];
    assert.ok(spec !== undefined && container !== undefined);
    container.command = ['node', '/hostile/mirror.mjs'];
    container.env = [
      ...(container.env ?? []).filter(({ name }) => name !== 'HOSTILE_EXPORTS'),
      { name: 'HOSTILE_EXPORTS', value: JSON.stringify(exports) },
    ];
    const mounts = (container.volumeMounts ?? []).filter(({ name }) => name !== 'hostile');
    container.volumeMounts = [...mounts, { name: 'hostile', mountPath: '/hostile' }];
    const volumes = (spec.volumes ?? []).filter(({ name }) => name !== 'hostile');
    spec.volumes = [...volumes, { name: 'hostile', configMap: { name: 'hostile' } }];
    await kube.update(deployments, deployment);
    await eventually(
      'the hostile mirror controller serves',
      async () => {
        const now = await fleet.ready('west', 'mesh-mirror', multiclusterNamespace);
        return now.metadata.uid !== before.metadata.uid;
      },
      { ...patience, timeoutMs: 60_000 },
    );
  }

  async function imports(): Promise<readonly ImportedService[]> {
    const west = { namespace: multiclusterNamespace, name: 'west' };
    return (await fleet.kube('east').get(links, west)).status?.imports ?? [];
  }

  /** Names of everything in east that came from a peer. */
  async function imported(): Promise<string[]> {
    const selection = { labelSelector: `${labels.clusterName}=west` };
    const [names, slices] = await Promise.all([
      fleet.kube('east').listAll(services, selection),
      fleet.kube('east').listAll(endpointSlices, selection),
    ]);
    return [
      ...names.items.map(({ metadata }) => `Service ${metadata.namespace}/${metadata.name}`),
      ...slices.items.map(({ metadata }) => `EndpointSlice ${metadata.namespace}/${metadata.name}`),
    ].sort();
  }

  test('cannot lend itself identities, reach other addresses or namespaces, or set labels of ours', async () => {
    const podAddress = fleet.cluster('west').podCidr.replace(/\.\d+\/\d+$/, '.77');
    const cartOf = (cluster: string): string =>
      identityName({ serviceAccount: 'cart', namespace: shop, cluster });
    await tell([
      { ...base, name: 'cart', federated: true },
      {
        ...base,
        name: 'good',
        labels: {
          app: 'good',
          'mirror.mesh.io/exported': 'true',
          'kubernetes.io/service-name': 'cart',
          tier: '!',
        },
        annotations: { 'mesh.io/inject': 'disabled', 'mesh.io/default-inbound-policy': 'deny' },
      },
      flat('stolen', podAddress, cartOf('east')),
      flat('plaintext', podAddress, ''),
      flat('outside', '192.168.1.1', cartOf('west')),
      flat('metadata', '169.254.169.254', cartOf('west')),
      { ...base, name: 'api', namespace: 'kube-system' },
      { ...base, name: 'mesh-identity', namespace: 'mesh' },
      { ...base, name: '../../secrets' },
      { ...base, name: 'last' },
    ]);
    const told = await eventually(
      'east heard all of it',
      async () => {
        const now = await imports();
        return now.some(({ name, state }) => name === 'last' && state === 'Mirrored') ? now : undefined;
      },
      { ...patience, timeoutMs: 60_000 },
    );
    const verdicts = Object.fromEntries(told.map(({ name, state, reason }) => [name, `${state} ${reason}`]));
    for (const [name, verdict] of [
      ['stolen', 'Refused ForeignIdentity'],
      ['plaintext', 'Refused ForeignIdentity'],
      ['outside', 'Refused AddressOutsidePodCIDRs'],
      ['metadata', 'Refused AddressOutsidePodCIDRs'],
      ['api', 'Refused ProtectedNamespace'],
      ['mesh-identity', 'Refused ProtectedNamespace'],
    ] as const) {
      assert.equal(verdicts[name], verdict);
    }
    assert.ok(told.some(({ state, reason }) => state === 'Refused' && reason === 'InvalidName'));
    assert.deepEqual(await imported(), [
      `EndpointSlice ${shop}/cart-federated-west`,
      ...['cart-west', 'good-west', 'last-west'].map((name) => `EndpointSlice ${shop}/${name}`),
      ...['cart-west', 'good-west', 'last-west'].map((name) => `Service ${shop}/${name}`),
    ]);
    const good = await fleet.kube('east').get(services, { namespace: shop, name: 'good-west' });
    assert.deepEqual(good.metadata.labels, {
      app: 'good',
      [labels.mirroredService]: 'true',
      [labels.clusterName]: 'west',
    });
    assert.equal(good.metadata.annotations?.['mesh.io/inject'], undefined);
    assert.equal(good.metadata.annotations?.['mesh.io/default-inbound-policy'], undefined);
    // The gateway of west answers for what west really exports, and for nothing that was made up.
    assert.equal((await fleet.ask('east', 'http://cart-west/items')).headers['x-cluster'], 'west');
    assert.notEqual((await fleet.ask('east', 'http://good-west/')).status, 200);
  });

  test('that suddenly exports nothing takes nothing away, and east says so', async () => {
    const before = await imported();
    assert.ok(before.length > 0);
    await tell([]);
    const synced = await eventually(
      'the Link tells',
      async () => {
        const west = { namespace: multiclusterNamespace, name: 'west' };
        const { status } = await fleet.kube('east').get(links, west);
        return status?.conditions?.find(
          ({ type, reason }) => type === 'Synced' && reason === 'SnapshotShrunk',
        );
      },
      { ...patience, timeoutMs: 60_000 },
    );
    assert.equal(synced.status, 'False');
    assert.match(synced.message, /more than half/);
    assert.deepEqual(await imported(), before);
    assert.equal((await fleet.ask('east', 'http://cart-west/items')).headers['x-cluster'], 'west');
    assert.equal((await fleet.ask('east', 'http://cart/items')).headers['x-cluster'], 'east');
  });
});
