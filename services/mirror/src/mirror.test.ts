import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Export_Mode as Mode } from '@mesh/control-api/gen/mesh/federation/v1/federation_pb';
import { endpointSlices, events, namespaces, services } from '@mesh/kube/resources';
import { KubeApiError } from '@mesh/kube/api-error';
import { multiclusterNamespace } from '@mesh/multicluster/link';
import { eventually } from '@mesh/testkit/eventually';
import { gatewayIdentity, identityName } from '@mesh/trust/names';
import { links } from '@mesh/multicluster/link-resource';
import {
  condition,
  findService,
  link,
  makeLink,
  makeService,
  owned,
  patchService,
  slicesOf,
  startCluster,
  startHostilePeer,
  startPair,
  TestTrust,
  type TestCluster,
} from './testing/test-mirror.ts';

const exported = { 'mirror.mesh.io/exported': 'true' };
const member = { 'mirror.mesh.io/federated': 'member' };

async function waitFor(what: string, probe: () => Promise<boolean>, timeoutMs = 8000): Promise<void> {
  await eventually(what, probe, { timeoutMs });
}

async function waitCondition(from: TestCluster, name: string, type: string, pattern: RegExp): Promise<void> {
  await waitFor(`${type} of Link ${name} in ${from.name} is ${pattern}`, async () => {
    const text = await condition(from, name, type);
    if (!pattern.test(text)) throw new Error(text);
    return true;
  });
}

async function waitOwned(cluster: TestCluster, expected: readonly string[]): Promise<void> {
  await waitFor(`${cluster.name} owns ${expected.join(', ')}`, async () => {
    assert.deepEqual(await owned(cluster), [...expected].sort());
    return true;
  });
}

async function importState(from: TestCluster, name: string, service: string): Promise<string> {
  const { status } = await from.client.get(links, { namespace: multiclusterNamespace, name });
  const found = status?.imports?.find((entry) => entry.name === service);
  return found === undefined ? 'none' : `${found.state} ${found.reason}: ${found.message}`;
}

async function waitImport(from: TestCluster, name: string, service: string, pattern: RegExp): Promise<void> {
  await waitFor(`import ${service} is ${pattern}`, async () => {
    const text = await importState(from, name, service);
    if (!pattern.test(text)) throw new Error(text);
    return true;
  });
}

test('a labelled service appears in the linked cluster, follows the original, and goes with the label', async (t) => {
  const { east, west } = await startPair(t);
  await makeService(west, 'cart', {
    labels: { ...exported, app: 'cart', 'evil.example/owner': 'x' },
    ready: ['10.2.0.1', '10.2.0.2'],
  });
  await waitOwned(east, ['EndpointSlice/cart-west', 'Service/cart-west']);
  const service = await findService(east, 'cart-west');
  assert.deepEqual(service?.metadata.labels, {
    app: 'cart',
    'mirror.mesh.io/mirrored-service': 'true',
    'mirror.mesh.io/cluster-name': 'west',
  });
  assert.equal(
    service?.metadata.annotations?.['mirror.mesh.io/remote-svc-fq-name'],
    'cart.shop.svc.cluster.local',
  );
  assert.equal(service?.spec?.selector, undefined);
  const [slice] = await slicesOf(east, 'cart-west');
  assert.deepEqual(
    slice?.endpoints?.map(({ addresses }) => addresses),
    [['127.0.0.1']],
  );
  assert.equal(slice?.ports?.[0]?.port, west.relay.port);
  const facts = slice?.metadata.annotations ?? {};
  assert.equal(facts['mirror.mesh.io/remote-gateway-identity'], gatewayIdentity('west'));
  assert.equal(facts['mirror.mesh.io/weight'], '2');
  assert.equal(facts['mirror.mesh.io/peer-state'], 'alive');
  await waitCondition(east, 'west', 'Connected', /^True StreamOpen/);
  await waitCondition(east, 'west', 'Synced', /^True Current/);
  await waitCondition(east, 'west', 'TrustCompatible', /^True/);
  await waitImport(east, 'west', 'cart', /^Mirrored Mirrored: 2 ready in west/);
  const { clusterIP } = service?.spec ?? {};

  await patchService(west, 'cart', {
    metadata: { labels: { app: null } },
    spec: {
      ports: [
        { name: 'web', port: 80 },
        { name: 'grpc', port: 90 },
      ],
    },
  });
  await waitFor('ports follow', async () => {
    const mirror = await findService(east, 'cart-west');
    return (
      mirror?.spec?.ports?.map(({ name, port }) => `${name}=${port}`).join() === 'web=80,grpc=90' &&
      mirror.metadata.labels?.['app'] === undefined &&
      mirror.spec.clusterIP === clusterIP
    );
  });
  await patchService(west, 'cart', { metadata: { labels: { 'mirror.mesh.io/exported': null } } });
  await waitOwned(east, []);
  await waitFor('no import is listed', async () => (await importState(east, 'west', 'cart')) === 'none');
});

test('nothing is written while nothing changes', async (t) => {
  const { east, west } = await startPair(t);
  await makeService(west, 'cart', { labels: { ...exported, ...member } });
  await makeService(east, 'cart', { labels: member });
  await waitImport(east, 'west', 'cart', /^Mirrored/);
  await waitFor('the federated service', async () => (await slicesOf(east, 'cart-federated')).length === 2);
  await waitCondition(east, 'west', 'Synced', /^True/);
  const versions = async (): Promise<string> => {
    const objects = [
      await findService(east, 'cart-west'),
      await findService(east, 'cart-federated'),
      ...(await slicesOf(east, 'cart-west')),
      ...(await slicesOf(east, 'cart-federated')),
      await east.client.get(links, { namespace: multiclusterNamespace, name: 'west' }),
    ];
    return objects.map((object) => object?.metadata.resourceVersion).join();
  };
  let before = '';
  await waitFor('it settles', async () => {
    const now = await versions();
    const settled = now === before;
    before = now;
    if (!settled) await new Promise((resolve) => setTimeout(resolve, 500));
    return settled;
  });
  // Beats and probes of two seconds.
  await new Promise((resolve) => setTimeout(resolve, 2000));
  assert.equal(await versions(), before);
});

test('federated: local pods are copied for callers without a proxy, and the set follows its members', async (t) => {
  const { east, west } = await startPair(t);
  await makeService(west, 'cart', { labels: member });
  await waitImport(east, 'west', 'cart', /^Waiting NoLocalMember: .*federated=member/);
  assert.deepEqual(await owned(east), []);
  await makeService(east, 'cart', { labels: member, ready: ['10.1.0.7'] });
  await waitFor('slices of both', async () => (await slicesOf(east, 'cart-federated')).length === 2);
  const [copy, remote] = await slicesOf(east, 'cart-federated');
  assert.equal(copy?.metadata.labels?.['mirror.mesh.io/local-copy'], 'true');
  assert.deepEqual(copy?.endpoints?.[0]?.addresses, ['10.1.0.7']);
  assert.equal(copy?.endpoints?.[0]?.conditions?.ready, true);
  assert.equal(remote?.metadata.name, 'cart-federated-west');
  assert.equal(remote?.metadata.labels?.['mirror.mesh.io/cluster-name'], 'west');
  assert.deepEqual(remote?.endpoints?.[0]?.conditions, { ready: false, serving: true });
  assert.equal(await findService(east, 'cart-west'), undefined, 'federated alone makes no pinned mirror');
  // The other direction at the same time.
  await waitFor('west has it too', async () => (await slicesOf(west, 'cart-federated')).length === 2);

  await east.client.patch(
    endpointSlices,
    { namespace: 'shop', name: 'cart-abc' },
    { patch: { type: 'merge', body: { endpoints: [] } } },
  );
  await waitFor('the copy follows', async () => {
    const [found] = await slicesOf(east, 'cart-federated');
    return (found?.endpoints ?? []).length === 0;
  });
  await patchService(east, 'cart', { metadata: { labels: { 'mirror.mesh.io/federated': null } } });
  await waitOwned(east, []);
  await waitOwned(west, []);
});

test('a port that is opaque by the namespace of its Service is so in the linked cluster, for as long as it is', async (t) => {
  const { east, west } = await startPair(t);
  await makeService(west, 'cart', { labels: exported, ports: { http: 80, sql: 7000 } });
  const annotate = async (list: string | null) => {
    const body = { metadata: { annotations: { 'mesh.io/opaque-ports': list } } };
    await west.client.patch(namespaces, { name: 'shop' }, { patch: { type: 'merge', body } });
  };
  const opaque = async () =>
    (await findService(east, 'cart-west'))?.metadata.annotations?.['mesh.io/opaque-ports'];
  await waitOwned(east, ['EndpointSlice/cart-west', 'Service/cart-west']);
  assert.equal(await opaque(), undefined);
  await annotate('sql');
  await waitFor('the mirror says so', async () => (await opaque()) === '7000');
  await annotate(null);
  await waitFor('it says so no more', async () => (await opaque()) === undefined);
});

test('a namespace may take federated services without a local member', async (t) => {
  const { east, west } = await startPair(t);
  await makeService(west, 'cart', { labels: member });
  await waitImport(east, 'west', 'cart', /^Waiting NoLocalMember/);
  const body = { metadata: { annotations: { 'mirror.mesh.io/accept-federated': 'true' } } };
  await east.client.patch(namespaces, { name: 'shop' }, { patch: { type: 'merge', body } });
  await waitOwned(east, ['EndpointSlice/cart-federated-west', 'Service/cart-federated']);
});

test('peers that disagree about a federated service do not fight over it', async (t) => {
  const trust = new TestTrust();
  const [east, west, north] = await Promise.all(
    ['east', 'west', 'north'].map((name) => startCluster(t, name, { trust })),
  );
  assert.ok(east !== undefined && west !== undefined && north !== undefined);
  for (const peer of [west, north]) {
    await link(peer, east);
    await link(east, peer);
  }
  const body = { metadata: { annotations: { 'mirror.mesh.io/accept-federated': 'true' } } };
  await east.client.patch(namespaces, { name: 'shop' }, { patch: { type: 'merge', body } });
  await makeService(west, 'cart', { labels: { ...member, version: 'v1' }, ports: { http: 80 } });
  await makeService(north, 'cart', { labels: { ...member, version: 'v2' }, ports: { http: 80, more: 81 } });
  await waitFor('both peers', async () => (await slicesOf(east, 'cart-federated')).length === 2);
  await waitFor('the first by name decides', async () => {
    const found = await findService(east, 'cart-federated');
    return found?.spec?.ports?.length === 2 && found.metadata.labels?.['version'] === 'v2';
  });
  const before = (await findService(east, 'cart-federated'))?.metadata.resourceVersion;
  await patchService(west, 'cart', { metadata: { labels: { version: 'v3' } } });
  await makeService(west, 'later', { labels: exported });
  await waitFor('a later event', async () => (await findService(east, 'later-west')) !== undefined);
  assert.equal((await findService(east, 'cart-federated'))?.metadata.resourceVersion, before);
  // One peer goes: the other stays.
  await east.client.delete(links, { namespace: multiclusterNamespace, name: 'north' });
  await waitFor('one slice is left', async () => (await slicesOf(east, 'cart-federated')).length === 1);
  await waitFor('its shape now', async () => {
    return (await findService(east, 'cart-federated'))?.metadata.labels?.['version'] === 'v3';
  });
});

test('a missing namespace waits with a status, and is filled once it is there', async (t) => {
  const { east, west } = await startPair(t);
  await west.client.create(namespaces, { metadata: { name: 'billing' } });
  await makeService(west, 'bills', { namespace: 'billing', labels: exported });
  await waitImport(east, 'west', 'bills', /^Waiting MissingNamespace: namespace billing does not exist here/);
  await east.client.create(namespaces, { metadata: { name: 'billing' } });
  await waitFor('the mirror', async () => (await findService(east, 'bills-west', 'billing')) !== undefined);
});

test('nothing is made in a namespace that is being deleted, and what was made there goes', async (t) => {
  const { east, west } = await startPair(t);
  await makeService(west, 'cart', { labels: exported });
  await waitImport(east, 'west', 'cart', /^Mirrored/);
  // No controller empties it here.
  await east.client.delete(namespaces, { name: 'shop' });
  await waitImport(east, 'west', 'cart', /^Waiting MissingNamespace: namespace shop is being deleted/);
  await waitOwned(east, []);
  assert.deepEqual(
    east.log.filter((line) => line.includes('import failed')),
    [],
  );
});

test('names that are too long or taken are refused with a status, and nothing else suffers', async (t) => {
  const { east, west } = await startPair(t);
  const long = `a${'b'.repeat(58)}`;
  const own = await makeService(east, 'cart-west', { labels: { app: 'mine' } });
  await makeService(west, long, { labels: exported });
  await makeService(west, 'cart', { labels: exported });
  await makeService(west, 'fine', { labels: exported });
  await waitImport(east, 'west', long, /^Refused NameTooLong: .*64 characters/);
  await waitImport(east, 'west', 'cart', /^Refused NameConflict: Service shop\/cart-west exists/);
  await waitImport(east, 'west', 'fine', /^Mirrored/);
  const kept = await findService(east, 'cart-west');
  assert.equal(kept?.metadata.uid, own.metadata.uid);
  assert.deepEqual(kept?.metadata.labels, { app: 'mine' });
  // The name comes free.
  await east.client.delete(services, { namespace: 'shop', name: 'cart-west' });
  await waitImport(east, 'west', 'cart', /^Mirrored/);
});

test('exports whose mirrors would have one name do not fight over it: the first keeps it until it goes', async (t) => {
  const trust = new TestTrust();
  const [east, c, bc] = await Promise.all(
    ['east', 'c', 'b-c'].map((name) => startCluster(t, name, { trust })),
  );
  assert.ok(east !== undefined && c !== undefined && bc !== undefined);
  for (const peer of [c, bc]) {
    await link(peer, east);
    await link(east, peer);
  }
  await makeService(c, 'a-b', { labels: exported });
  await waitImport(east, 'c', 'a-b', /^Mirrored/);
  const before = await findService(east, 'a-b-c');
  await makeService(bc, 'a', { labels: exported });
  await waitImport(
    east,
    'b-c',
    'a',
    /^Refused NameConflict: Service shop\/a-b-c is the mirror of shop\/a-b of cluster c/,
  );
  await makeService(bc, 'later', { labels: exported });
  await waitImport(east, 'b-c', 'later', /^Mirrored/);
  assert.equal(
    (await findService(east, 'a-b-c'))?.metadata.resourceVersion,
    before?.metadata.resourceVersion,
  );
  assert.equal((await slicesOf(east, 'a-b-c'))[0]?.metadata.annotations?.['mirror.mesh.io/weight'], '1');
  await patchService(c, 'a-b', { metadata: { labels: { 'mirror.mesh.io/exported': null } } });
  await waitImport(east, 'b-c', 'a', /^Mirrored/);
  assert.equal((await findService(east, 'a-b-c'))?.metadata.labels?.['mirror.mesh.io/cluster-name'], 'b-c');
});

test('exports whose slices would have one name do not fight over it either', async (t) => {
  const { east, west } = await startPair(t);
  const body = { metadata: { annotations: { 'mirror.mesh.io/accept-federated': 'true' } } };
  await east.client.patch(namespaces, { name: 'shop' }, { patch: { type: 'merge', body } });
  await makeService(west, 'cart', { labels: member });
  await waitImport(east, 'west', 'cart', /^Mirrored/);
  await makeService(west, 'cart-federated', { labels: exported });
  await waitImport(
    east,
    'west',
    'cart-federated',
    /^Refused NameConflict: EndpointSlice shop\/cart-federated-west is the mirror of shop\/cart of/,
  );
  assert.equal(await findService(east, 'cart-federated-west'), undefined);
  assert.equal((await slicesOf(east, 'cart-federated')).length, 1);
  await patchService(west, 'cart', { metadata: { labels: { 'mirror.mesh.io/federated': null } } });
  await waitImport(east, 'west', 'cart-federated', /^Mirrored/);
  assert.equal((await slicesOf(east, 'cart-federated-west')).length, 1);
});

test('exports of one mirror name that come together: one of them has it, and nothing is written for ever', async (t) => {
  const trust = new TestTrust();
  const [east, c, bc] = await Promise.all(
    ['east', 'c', 'b-c'].map((name) => startCluster(t, name, { trust })),
  );
  assert.ok(east !== undefined && c !== undefined && bc !== undefined);
  await makeService(c, 'a-b', { labels: exported });
  await makeService(bc, 'a', { labels: exported });
  for (const peer of [c, bc]) {
    await link(peer, east);
    await link(east, peer);
  }
  await waitFor('one is refused, one is not', async () => {
    const states = [await importState(east, 'c', 'a-b'), await importState(east, 'b-c', 'a')].sort();
    return (
      states[0]?.startsWith('Mirrored') === true && states[1]?.startsWith('Refused NameConflict') === true
    );
  });
  const before = await findService(east, 'a-b-c');
  for (const peer of [c, bc]) {
    await makeService(peer, 'later', { labels: exported });
    await waitImport(east, peer.name, 'later', /^Mirrored/);
  }
  assert.equal(
    (await findService(east, 'a-b-c'))?.metadata.resourceVersion,
    before?.metadata.resourceVersion,
  );
});

test('an export label with an unknown value becomes an event on the service', async (t) => {
  const { west } = await startPair(t);
  await makeService(west, 'cart', { labels: { 'mirror.mesh.io/exported': 'yes' } });
  const found = await eventually('the event', async () => {
    const { items } = await west.client.listAll(events, { namespace: 'shop' });
    return items.find(({ reason }) => reason === 'InvalidExportLabel');
  });
  assert.equal(found.involvedObject.name, 'cart');
  assert.match(found.message ?? '', /label mirror\.mesh\.io\/exported=yes is not known: allowed is "true"/);
  assert.ok(west.log.some((line) => line.includes('is not known') && line.includes('shop/cart')));
});

test('an annotation of a federated service that is not understood becomes an event on it, once', async (t) => {
  const { west } = await startPair(t);
  await makeService(west, 'cart', { labels: member });
  const found = async () => {
    const { items } = await west.client.listAll(events, { namespace: 'shop' });
    return items.filter(({ reason }) => reason === 'InvalidAnnotation');
  };
  await patchService(west, 'cart', { metadata: { annotations: { 'mirror.mesh.io/spill-below': 'half' } } });
  const [event] = await eventually('the event', async () => {
    const all = await found();
    return all.length > 0 ? all : undefined;
  });
  assert.equal(event?.involvedObject.name, 'cart');
  assert.match(event?.message ?? '', /spill-below=half is not known: allowed is a number of endpoints/);
  await patchService(west, 'cart', { metadata: { labels: { team: 'a' } } });
  assert.equal((await found()).length, 1);
});

test('a gateway that drains is left at once, though its stream would go on', async (t) => {
  const { east, west } = await startPair(t);
  await makeService(west, 'cart', { labels: exported });
  await waitImport(east, 'west', 'cart', /^Mirrored/);
  const before = west.relay.visits;
  west.relay.drain();
  await waitFor('another connection is made', async () => west.relay.visits > before, 5000);
  await waitCondition(east, 'west', 'Connected', /^True/);
});

test('a gateway that asks to connect anew, as each does every hour, is no fault of the Link', async (t) => {
  const { east, west } = await startPair(t);
  await waitCondition(east, 'west', 'Connected', /^True/);
  await waitCondition(east, 'west', 'Synced', /^True/);
  const times = async () => {
    const { status } = await east.client.get(links, { namespace: multiclusterNamespace, name: 'west' });
    return status?.conditions?.map(({ type, lastTransitionTime }) => [type, lastTransitionTime]);
  };
  const before = await times();
  const { visits } = west.relay;
  west.relay.drain();
  await waitFor('it comes again', async () => west.relay.visits === visits + 1);
  await makeService(west, 'later', { labels: exported });
  await waitImport(east, 'west', 'later', /^Mirrored/);
  assert.deepEqual(await times(), before);
  assert.deepEqual(
    east.log.filter((line) => line.includes('not connected') && line.includes('stopping')),
    [],
  );
});

test('a lost stream demotes and removes nothing; what comes back is alive again', async (t) => {
  const { east, west } = await startPair(t);
  await makeService(west, 'cart', { labels: exported });
  await waitImport(east, 'west', 'cart', /^Mirrored/);
  const uid = (await findService(east, 'cart-west'))?.metadata.uid;
  const state = async (): Promise<string | undefined> => {
    const [slice] = await slicesOf(east, 'cart-west');
    return slice?.metadata.annotations?.['mirror.mesh.io/peer-state'];
  };
  west.relay.open = false;
  west.relay.cut();
  await waitFor('the peer is dead', async () => (await state()) === 'dead', 15_000);
  await waitCondition(east, 'west', 'Connected', /^False/);
  await waitCondition(east, 'west', 'GatewayAlive', /^False/);
  await waitCondition(east, 'west', 'Synced', /^False Stale: the last known exports stay/);
  assert.equal((await findService(east, 'cart-west'))?.metadata.uid, uid);
  assert.match(await east.metrics(), /gateway_alive\{source_cluster="east",target_cluster="west"\} 0/);

  // The gateway answers, the mirror controller behind it does not: unknown.
  await west.stopMirror();
  west.relay.open = true;
  await waitFor('the peer is unknown', async () => (await state()) === 'unknown', 15_000);

  await west.startMirror();
  await waitFor('the peer is alive', async () => (await state()) === 'alive', 15_000);
  assert.equal((await findService(east, 'cart-west'))?.metadata.uid, uid);
});

test('a mirror that starts anew removes nothing before it knows, and then what was withdrawn meanwhile', async (t) => {
  const trust = new TestTrust();
  const [east, west, north, south] = await Promise.all(
    ['east', 'west', 'north', 'south'].map((name) => startCluster(t, name, { trust })),
  );
  assert.ok(east !== undefined && west !== undefined && north !== undefined && south !== undefined);
  await makeService(east, 'cart', { labels: member });
  // Three links: more than are looked at at once.
  for (const peer of [west, north, south]) {
    await link(peer, east);
    await link(east, peer);
    await makeService(peer, 'cart', { labels: { ...exported, ...member } });
    await makeService(peer, 'gone', { labels: exported });
    await makeService(peer, 'stays', { labels: exported });
  }
  await waitFor('all mirrors', async () => (await owned(east)).length === 23);
  const before = await owned(east);
  const uids = async (): Promise<string> => {
    const found = await Promise.all(
      ['cart-west', 'cart-north', 'cart-south', 'cart-federated'].map((name) => findService(east, name)),
    );
    return found.map((service) => service?.metadata.uid).join();
  };
  const uidsBefore = await uids();
  await east.stopMirror();
  await west.stopMirror();
  await west.client.delete(services, { namespace: 'shop', name: 'gone' });
  await east.startMirror();
  await waitCondition(east, 'north', 'Synced', /^True/);
  await waitCondition(east, 'south', 'Synced', /^True/);
  assert.deepEqual(await owned(east), before, 'west is not heard yet');
  await west.startMirror();
  await waitOwned(
    east,
    before.filter((name) => !name.endsWith('/gone-west')),
  );
  assert.equal(await uids(), uidsBefore);
});

test('unlinking leaves nothing: mirrors, federated services, copies, finalizer', async (t) => {
  const { east, west } = await startPair(t);
  await makeService(west, 'cart', { labels: { ...exported, ...member } });
  await makeService(east, 'cart', { labels: member });
  await waitFor('everything is there', async () => (await owned(east)).length === 5);
  await east.client.delete(links, { namespace: multiclusterNamespace, name: 'west' });
  await waitFor('the Link is gone', async () => {
    return (await east.client.find(links, { namespace: multiclusterNamespace, name: 'west' })) === undefined;
  });
  assert.deepEqual(await owned(east), [], 'before the finalizer goes');
  assert.notEqual(await findService(east, 'cart'), undefined);
  // West is no longer allowed here, and says so.
  await waitCondition(
    west,
    'east',
    'Connected',
    /^False NotAllowed: .*no longer allows|^False NotAllowed: .*is not allowed by a Link of cluster east/,
  );
});

test('leftovers of a Link that went unseen are removed at the next start', async (t) => {
  const { east, west } = await startPair(t);
  await makeService(west, 'cart', { labels: { ...exported, ...member } });
  await makeService(east, 'cart', { labels: member });
  await waitFor('everything is there', async () => (await owned(east)).length === 5);
  await east.stopMirror();
  const ref = { namespace: multiclusterNamespace, name: 'west' };
  await east.client.patch(links, ref, { patch: { type: 'merge', body: { metadata: { finalizers: null } } } });
  await east.client.delete(links, ref);
  await east.startMirror();
  await waitOwned(east, []);
});

test('what a user removes or changes of a mirror is restored', async (t) => {
  const { east, west } = await startPair(t);
  await makeService(west, 'cart', { labels: { ...exported, ...member } });
  await makeService(east, 'cart', { labels: member });
  await waitFor('everything is there', async () => (await owned(east)).length === 5);
  const all = await owned(east);
  for (const name of ['cart-west', 'cart-federated'])
    await east.client.delete(services, { namespace: 'shop', name });
  await east.client.delete(endpointSlices, { namespace: 'shop', name: 'cart-federated-west' });
  await waitOwned(east, all);
});

test('a mirror that a user robbed of the marks of its origin gets them back', async (t) => {
  const { east, west } = await startPair(t);
  await makeService(west, 'cart', { labels: exported });
  await waitImport(east, 'west', 'cart', /^Mirrored/);
  const marks = {
    labels: { 'mirror.mesh.io/cluster-name': null },
    annotations: { 'mirror.mesh.io/source-service': null },
  };
  for (const metadata of [{ labels: marks.labels }, { annotations: marks.annotations }, marks]) {
    await patchService(east, 'cart-west', { metadata });
    const name = { namespace: 'shop', name: 'cart-west' };
    await east.client.patch(endpointSlices, name, { patch: { type: 'merge', body: { metadata } } });
    await waitFor('they are back', async () => {
      const objects = [await findService(east, 'cart-west'), ...(await slicesOf(east, 'cart-west'))];
      return objects.every(
        (object) =>
          object?.metadata.labels?.['mirror.mesh.io/cluster-name'] === 'west' &&
          object.metadata.annotations?.['mirror.mesh.io/source-service'] === 'shop/cart',
      );
    });
  }
  await waitImport(east, 'west', 'cart', /^Mirrored/);
});

test('Links that cannot be are refused with a condition, or by the API server', async (t) => {
  const east = await startCluster(t, 'east', { trust: new TestTrust() });
  await makeLink(east, 'east');
  await makeLink(east, 'west', { cluster: 'north' });
  await waitCondition(
    east,
    'east',
    'Connected',
    /^False InvalidLink: cluster east cannot be linked to itself/,
  );
  await waitCondition(
    east,
    'west',
    'Connected',
    /^False InvalidLink: metadata.name is west but spec.cluster is north; they must be equal/,
  );
  for (const [spec, pattern] of [
    [{ cluster: 'x'.repeat(21) }, /spec\.cluster/],
    [{ gatewayAddresses: [] }, /spec\.gatewayAddresses/],
    [{ gatewayPort: 70_000 }, /spec\.gatewayPort/],
    [{ podCIDRs: ['everything'] }, /spec\.podCIDRs/],
    [{ probe: { period: 'soon' } }, /spec\.probe\.period/],
    [{ allow: 'maybe' as unknown as boolean }, /spec\.allow/],
  ] as const) {
    await assert.rejects(
      makeLink(east, 'bad', spec as Parameters<typeof makeLink>[2]),
      (error: unknown) =>
        error instanceof KubeApiError && error.status === 422 && pattern.test(error.message),
      JSON.stringify(spec),
    );
  }
});

test('a peer whose Link does not allow is told so', async (t) => {
  const trust = new TestTrust();
  const [east, west] = await Promise.all([
    startCluster(t, 'east', { trust }),
    startCluster(t, 'west', { trust }),
  ]);
  await makeService(west, 'cart', { labels: exported });
  await link(east, west);
  await waitCondition(
    east,
    'west',
    'Connected',
    /^False NotAllowed: cluster east is not allowed by a Link of cluster west; run: mesh multicluster link west east/,
  );
  await link(west, east, { allow: false });
  await waitCondition(west, 'east', 'Connected', /^True/);
  await waitCondition(east, 'west', 'Connected', /^False NotAllowed/);
  assert.deepEqual(await owned(east), []);
  const ref = { namespace: multiclusterNamespace, name: 'east' };
  await west.client.patch(links, ref, { patch: { type: 'merge', body: { spec: { allow: true } } } });
  await waitOwned(east, ['EndpointSlice/cart-west', 'Service/cart-west']);
  // Not importing is a choice of its own: what was brought goes.
  await east.client.patch(
    links,
    { namespace: multiclusterNamespace, name: 'west' },
    { patch: { type: 'merge', body: { spec: { import: false } } } },
  );
  await waitOwned(east, []);
});

test('an export for some clusters is seen by those alone', async (t) => {
  const { east, west } = await startPair(t);
  const annotations = { 'mirror.mesh.io/allowed-clusters': 'north' };
  await makeService(west, 'secret', { labels: exported, annotations });
  await makeService(west, 'cart', { labels: exported });
  await waitImport(east, 'west', 'cart', /^Mirrored/);
  assert.equal(await importState(east, 'west', 'secret'), 'none');
  await patchService(west, 'secret', {
    metadata: { annotations: { 'mirror.mesh.io/allowed-clusters': 'north, east' } },
  });
  await waitImport(east, 'west', 'secret', /^Mirrored/);
});

test('clusters with different anchors do not connect, and say why', async (t) => {
  const [east, west] = await Promise.all([
    startCluster(t, 'east', { trust: new TestTrust() }),
    startCluster(t, 'west', { trust: new TestTrust() }),
  ]);
  await link(east, west);
  await waitCondition(east, 'west', 'TrustCompatible', /^False ForeignAnchor/);
  await waitCondition(east, 'west', 'Connected', /^False ForeignAnchor/);
});

test('a Link that leads to another cluster than it names is refused by identity', async (t) => {
  const trust = new TestTrust();
  const [east, west] = await Promise.all([
    startCluster(t, 'east', { trust }),
    startCluster(t, 'west', { trust }),
  ]);
  await makeLink(east, 'north', { gatewayPort: west.relay.port });
  await waitCondition(east, 'north', 'TrustCompatible', /^False WrongIdentity: .*the server is .*west/);
});

test('a peer is untrusted input: what it may not say is refused by name, the rest is taken', async (t) => {
  const trust = new TestTrust();
  const east = await startCluster(t, 'east', { trust });
  const peer = await startHostilePeer(t, trust);
  await makeLink(east, 'west', { gatewayPort: peer.relay.port, podCIDRs: ['10.2.0.0/16'] });
  const ports = [{ name: 'http', port: 80, protocol: 'TCP' }];
  const base = { namespace: 'shop', mode: Mode.GATEWAY, ports, readyEndpoints: 1 };
  const flat = (name: string, address: string, identity: string) => ({
    ...base,
    name,
    mode: Mode.REMOTE_DISCOVERY,
    flatEndpoints: [{ address, identity, ports: [{ name: 'http', port: 8080 }] }],
  });
  const cartOf = (cluster: string): string =>
    identityName({ serviceAccount: 'cart', namespace: 'shop', cluster });
  peer.exports = [
    { ...base, name: 'good', labels: { app: 'good', 'mirror.mesh.io/exported': 'true', 'a/b': 'c' } },
    { ...base, name: 'proxy', namespace: 'kube-system' },
    { ...base, name: 'identity', namespace: 'mesh' },
    { ...base, name: '../../secrets' },
    { ...base, name: 'noports', ports: [] },
    flat('stolen', '10.2.0.1', cartOf('east')),
    flat('plaintext', '10.2.0.1', ''),
    flat('outside', '192.168.1.1', cartOf('west')),
    flat('inside', '10.2.0.1', cartOf('west')),
    { ...base, name: 'last' },
  ];
  peer.announce();
  await waitImport(east, 'west', 'last', /^Mirrored/);
  for (const [name, pattern] of [
    ['good', /^Mirrored/],
    ['inside', /^Mirrored/],
    ['proxy', /^Refused ProtectedNamespace/],
    ['identity', /^Refused ProtectedNamespace/],
    ['noports', /^Refused InvalidPorts/],
    ['stolen', /^Refused ForeignIdentity: .*expected one of cluster west/],
    ['plaintext', /^Refused ForeignIdentity: .*plaintext/],
    ['outside', /^Refused AddressOutsidePodCIDRs: .*192\.168\.1\.1.*10\.2\.0\.0\/16/],
  ] as const) {
    await waitImport(east, 'west', name, pattern);
  }
  const good = await findService(east, 'good-west');
  assert.deepEqual(good?.metadata.labels, {
    app: 'good',
    'mirror.mesh.io/mirrored-service': 'true',
    'mirror.mesh.io/cluster-name': 'west',
  });
  const [pods] = await slicesOf(east, 'inside-west');
  assert.deepEqual(pods?.endpoints?.[0]?.conditions, { ready: true, serving: true });
  assert.equal(pods?.metadata.annotations?.['mirror.mesh.io/remote-identity'], cartOf('west'));
  const before = await owned(east);
  assert.equal(before.filter((name) => name.startsWith('Service/')).length, 3);

  // An empty snapshot is more likely a fault than the truth.
  peer.exports = [];
  peer.announce();
  await waitCondition(east, 'west', 'Synced', /^False SnapshotShrunk: .*more than half.*60 s/);
  assert.deepEqual(await owned(east), before);
});

test('an export of no possible name takes no room in the status of the Link', async (t) => {
  const trust = new TestTrust();
  const east = await startCluster(t, 'east', { trust });
  const peer = await startHostilePeer(t, trust);
  const name = 'x'.repeat(1_000_000);
  peer.exports = [{ namespace: 'shop', name, mode: Mode.GATEWAY, ports: [{ name: 'http', port: 80 }] }];
  await makeLink(east, 'west', { gatewayPort: peer.relay.port });
  await waitImport(east, 'west', name.slice(0, 63), /^Refused InvalidName/);
  const { status } = await east.client.get(links, { namespace: multiclusterNamespace, name: 'west' });
  assert.ok(JSON.stringify(status).length < 5000);
});

test('endpoints that come and go all the time do not have the status written each time', async (t) => {
  const trust = new TestTrust();
  const east = await startCluster(t, 'east', { trust });
  const peer = await startHostilePeer(t, trust);
  const cart = (readyEndpoints: number) => ({
    namespace: 'shop',
    name: 'cart',
    mode: Mode.GATEWAY,
    ports: [{ name: 'http', port: 80 }],
    readyEndpoints,
  });
  peer.exports = [cart(1)];
  await makeLink(east, 'west', { gatewayPort: peer.relay.port });
  await waitImport(east, 'west', 'cart', /^Mirrored/);
  await waitCondition(east, 'west', 'Connected', /^True/);
  const versions = new Set<string | undefined>();
  const begun = performance.now();
  for (let ready = 2; ready <= 40; ready++) {
    peer.tell(cart(ready));
    await new Promise((resolve) => setTimeout(resolve, 30));
    const { metadata } = await east.client.get(links, { namespace: multiclusterNamespace, name: 'west' });
    versions.add(metadata.resourceVersion);
  }
  const seconds = (performance.now() - begun) / 1000;
  assert.ok(versions.size <= seconds + 4, `${versions.size} versions in ${seconds} s`);
  await waitImport(east, 'west', 'cart', /^Mirrored Mirrored: 40 ready/);
});

test('after a restart the status tells of mirrors that are there, though the peer is not', async (t) => {
  const { east, west } = await startPair(t);
  await makeService(west, 'cart', { labels: exported });
  await waitImport(east, 'west', 'cart', /^Mirrored/);
  west.relay.open = false;
  west.relay.cut();
  await east.stopMirror();
  await east.startMirror();
  await waitImport(east, 'west', 'cart', /^Mirrored Mirrored: kept as it was/);
  const { status } = await east.client.get(links, { namespace: multiclusterNamespace, name: 'west' });
  assert.equal(status?.services, 1);
  west.relay.open = true;
  await waitImport(east, 'west', 'cart', /^Mirrored Mirrored: 1 ready/);
});

test('a gateway that refuses the cluster is told from one that cannot be reached', async (t) => {
  const { east, west } = await startPair(t);
  await waitCondition(east, 'west', 'Connected', /^True/);
  west.relay.allows = false;
  west.relay.cut();
  await waitCondition(
    east,
    'west',
    'Connected',
    /^False ClosedByGateway: .*where no Link east allows this cluster; run: mesh multicluster link west east/,
  );
  await waitCondition(east, 'west', 'GatewayAlive', /^Unknown/);
  west.relay.allows = true;
  await waitCondition(east, 'west', 'Connected', /^True/);
});
