import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { systemClock, systemRandom } from '@mesh/clock/system';
import { Export_Mode as Mode } from '@mesh/control-api/gen/mesh/federation/v1/federation_pb';
import { Informer } from '@mesh/kube/informer';
import { endpointSlices, namespaces, services } from '@mesh/kube/resources';
import { multiclusterNamespace } from '@mesh/multicluster/link';
import { links } from '@mesh/multicluster/link-resource';
import { silentLogger } from '@mesh/telemetry/log';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { mirrorIdentity } from '@mesh/trust/names';
import { sliceServiceIndex } from './export-table.ts';
import { importIndex } from './importer.ts';
import { LinkController, type LinkControllerOptions, probeSettings } from './link-controller.ts';
import {
  condition,
  dialPeer,
  findService,
  makeLink,
  slicesOf,
  startCluster,
  startHostilePeer,
  type TestCluster,
  TestTrust,
} from './testing/test-mirror.ts';

/** East without a mirror controller, a peer west, and what a controller of east needs; its time moves only when told to. */
async function setup(t: TestContext) {
  const trust = new TestTrust();
  const east = await startCluster(t, 'east', { trust, mirror: false });
  const peer = await startHostilePeer(t, trust);
  peer.exports = [
    { namespace: 'shop', name: 'cart', mode: Mode.GATEWAY, ports: [{ port: 80 }], readyEndpoints: 2 },
  ];
  const credentials = trust.credentials(mirrorIdentity('east'));
  const start = async (
    resolve: (host: string) => Promise<string[]>,
    options: Partial<LinkControllerOptions> = {},
  ) => {
    const clock = new FakeClock();
    const controller = new LinkController({
      ...(await informersOf(t, east)),
      client: east.client,
      clock,
      random: systemRandom,
      log: silentLogger,
      registry: new MetricRegistry(),
      cluster: 'east',
      suffix: 'mesh.local',
      maxExports: 10,
      maxAgeMs: 60_000,
      resolve,
      connect: () => dialPeer(peer, credentials),
      ...options,
    });
    controller.start();
    t.after(() => controller.stop());
    return { clock, controller };
  };
  const gateways = async (): Promise<string> => {
    const [slice] = await slicesOf(east, 'cart-west');
    return (slice?.endpoints ?? []).flatMap(({ addresses }) => addresses).join();
  };
  return { east, peer, start, gateways };
}

async function informersOf(t: TestContext, { client }: TestCluster) {
  const common = { client, clock: systemClock, random: systemRandom, onError: () => {} };
  const informers = {
    links: new Informer({ ...common, type: links, namespace: multiclusterNamespace }),
    services: new Informer({
      ...common,
      type: services,
      indexers: { source: importIndex.source, cluster: importIndex.cluster },
    }),
    slices: new Informer({
      ...common,
      type: endpointSlices,
      indexers: {
        source: importIndex.source,
        cluster: importIndex.cluster,
        service: sliceServiceIndex.service,
      },
    }),
    namespaces: new Informer({ ...common, type: namespaces }),
  };
  for (const informer of Object.values(informers)) {
    informer.start();
    t.after(() => informer.stop());
    await informer.synced;
  }
  return informers;
}

test('of several host names each keeps its addresses while it cannot be resolved', async (t) => {
  const { east, start, gateways } = await setup(t);
  const names: Record<string, string[]> = { 'a.example': ['10.9.0.1'], 'b.example': ['10.9.0.2'] };
  let asked = 0;
  const { clock } = await start(async (host) => {
    asked++;
    const found = names[host];
    if (found === undefined) throw new Error('SERVFAIL');
    return found;
  });
  await makeLink(east, 'west', { gatewayAddresses: ['a.example', 'b.example'] });
  await eventually('both', async () => (await gateways()) === '10.9.0.1,10.9.0.2');
  delete names['b.example'];
  names['a.example'] = ['10.9.0.3'];
  const before = asked;
  clock.advance(10_000);
  await eventually('they were asked', () => asked === before + 2);
  await eventually('one follows, one stays', async () => (await gateways()) === '10.9.0.2,10.9.0.3');
});

test('name servers that do not answer hold up no other Link', async (t) => {
  const { east, start } = await setup(t);
  await start((host) => (host === 'fine.example' ? Promise.resolve(['10.9.0.1']) : new Promise(() => {})));
  for (const name of ['north', 'south', 'past'])
    await makeLink(east, name, { gatewayAddresses: [`${name}.example`] });
  await eventually('they are waited for', async () => {
    return (await condition(east, 'north', 'Connected')).startsWith('False Connecting');
  });
  await makeLink(east, 'west', { gatewayAddresses: ['fine.example'] });
  await eventually('its mirror', async () => (await findService(east, 'cart-west')) !== undefined);
});

test('a name server that fails while the controller starts takes no mirror away', async (t) => {
  const { east, start, gateways } = await setup(t);
  const first = await start(() => Promise.resolve(['10.9.0.1']));
  await makeLink(east, 'west', { gatewayAddresses: ['a.example'] });
  await eventually('the mirror', async () => (await gateways()) === '10.9.0.1');
  await first.controller.stop();
  const before = (await findService(east, 'cart-west'))?.metadata.uid;
  let answers = false;
  const { clock } = await start(async () => {
    if (!answers) throw new Error('SERVFAIL');
    return ['10.9.0.2'];
  });
  await eventually('it is said', async () => {
    const { status } = await east.client.get(links, { namespace: multiclusterNamespace, name: 'west' });
    return status?.imports?.[0]?.message.startsWith('kept as it was: no address') === true;
  });
  assert.equal((await findService(east, 'cart-west'))?.metadata.uid, before);
  assert.equal(await gateways(), '10.9.0.1');
  answers = true;
  clock.advance(10_000);
  await eventually('it follows', async () => (await gateways()) === '10.9.0.2');
  assert.equal((await findService(east, 'cart-west'))?.metadata.uid, before);
});

test('a peer that changes its exports all the time has a bounded number of objects written', async (t) => {
  const { east, peer, start } = await setup(t);
  const lines: string[] = [];
  const { clock } = await start(() => Promise.resolve([]), {
    writes: { burst: 10, perSecond: 1 },
    log: { ...silentLogger, warn: (message) => lines.push(message) },
  });
  const [cart] = peer.exports;
  assert.ok(cart !== undefined);
  await makeLink(east, 'west', { gatewayAddresses: ['10.9.0.1'] });
  await eventually('the mirror', async () => (await findService(east, 'cart-west')) !== undefined);
  const label = async () => (await findService(east, 'cart-west'))?.metadata.labels?.['version'];
  // Two objects were made; each change is one write.
  let changes = 0;
  const change = async (): Promise<boolean> => {
    const version = `v${++changes}`;
    peer.tell({ ...cart, labels: { version } });
    for (let look = 0; look < 40; look++) {
      if ((await label()) === version) return true;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return false;
  };
  for (let attempt = 0; attempt < 20; attempt++) if (!(await change())) break;
  assert.ok(changes >= 8 && changes <= 10, `${changes} changes`);
  assert.equal(lines.filter((line) => line.includes('too often (import_writes)')).length, 1);
  // The last one comes in its time.
  clock.advance(2000);
  await eventually('the last change', async () => (await label()) === `v${changes}`);
  // How the peer is doing is said all the same.
  await change();
  peer.relay.open = false;
  peer.announce();
  clock.advance(3500);
  await eventually('it is unknown or dead', async () => {
    const [slice] = await slicesOf(east, 'cart-west');
    return slice?.metadata.annotations?.['mirror.mesh.io/peer-state'] !== 'alive';
  });
});

test('a status says which generation of the Link it is about', async (t) => {
  const { east, start } = await setup(t);
  const { clock } = await start(() => Promise.resolve(['10.9.0.1']));
  await makeLink(east, 'west', { gatewayAddresses: ['a.example'] });
  const ref = { namespace: multiclusterNamespace, name: 'west' };
  const isProven = async (generation: number): Promise<boolean> => {
    clock.advance(1000);
    const { metadata, status } = await east.client.get(links, ref);
    const connected = status?.conditions?.find(({ type }) => type === 'Connected');
    return (
      metadata.generation === generation &&
      status?.observedGeneration === generation &&
      connected?.status === 'True'
    );
  };
  await eventually('the first is proven', () => isProven(1));
  const body = { spec: { gatewayAddresses: ['b.example'] } };
  await east.client.patch(links, ref, { patch: { type: 'merge', body } });
  await eventually('the second is proven', () => isProven(2));
});

test('probes come at most ten times a second and at least each day, whatever a Link says', () => {
  const of = (period: string) => probeSettings({ probe: { period } }).periodMs;
  assert.deepEqual(['1ms', '2s', '1000h'].map(of), [100, 2000, 86_400_000]);
  assert.equal(probeSettings({}).periodMs, 1000);
});
