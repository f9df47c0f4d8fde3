import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { systemClock as clock } from '@mesh/clock/system';
import type { KubeClient } from '@mesh/kube/client';
import { customResourceDefinitions, nodes, services } from '@mesh/kube/resources';
import { type Link, linkDefinition, multiclusterNamespace } from '@mesh/multicluster/link';
import { eventually } from '@mesh/testkit/eventually';
import { assertGolden } from '@mesh/testkit/golden';
import { fingerprint } from '@mesh/trust/pem';
import { links } from '@mesh/multicluster/link-resource';
import { anchorPem, startClusters } from '../testing/test-clusters.ts';
import { multiclusterCommands as commands } from './multicluster.ts';

const namespace = multiclusterNamespace;

type Conditions = NonNullable<NonNullable<Link['status']>['conditions']>;

function conditions(status: 'True' | 'False', reason: string, message: string): Conditions {
  const lastTransitionTime = '2026-01-01T00:00:00Z';
  return (['Connected', 'GatewayAlive', 'TrustCompatible', 'Synced'] as const).map((type) => ({
    type,
    status,
    reason,
    message,
    lastTransitionTime,
  }));
}

async function setStatus(client: KubeClient, name: string, status: Link['status']): Promise<void> {
  const patch = { type: 'merge', body: { status } } as const;
  await client.patch(links, { namespace, name }, { patch, subresource: 'status' });
}

/** Plays the mirror controller: proves each Link as it appears, and finishes its deletion. */
function playMirror(test: TestContext, clients: readonly KubeClient[]): void {
  let busy: Promise<void> = Promise.resolve();
  const look = async (): Promise<void> => {
    for (const client of clients) {
      const { items } = await client.listAll(links, { namespace });
      for (const { metadata, status } of items) {
        if (status?.conditions !== undefined) continue;
        await setStatus(client, metadata.name, {
          gateway: 'alive',
          rttMs: 1.5,
          conditions: conditions('True', 'Proven', 'proven'),
        });
      }
    }
  };
  const timer = clock.every(50, () => {
    busy = busy.then(look).catch(() => {});
  });
  test.after(async () => {
    timer.cancel();
    await busy;
  });
}

test('link writes a Link in each direction, waits for the proof and says what it did; unlink takes them away', async (t) => {
  const anchors = anchorPem();
  const clusters = await startClusters(t, [
    { context: 'east', anchors },
    { context: 'w', cluster: 'west', anchors },
  ]);
  playMirror(t, [clusters.client('east'), clusters.client('w')]);
  const linked = await clusters.run(commands, 'multicluster link east w');
  assert.deepEqual(linked, {
    code: 0,
    out: '√ east → west: answered through the gateway, 1.5 ms\n√ west → east: answered through the gateway, 1.5 ms',
    notes:
      'cluster east: Link west written (gateway 172.30.2.1:4143)\ncluster west: Link east written (gateway 172.30.1.1:4143)',
  });
  const { spec } = await clusters.client('east').get(links, { namespace, name: 'west' });
  assert.deepEqual(spec.gatewayAddresses, ['172.30.2.1']);
  assert.deepEqual(spec.anchorFingerprints, [fingerprint(anchors)]);
  assert.equal(spec.cluster, 'west');
  // Again is no error.
  assert.equal((await clusters.run(commands, 'multicluster link east w')).code, 0);

  const unlinked = await clusters.run(commands, 'multicluster unlink east w');
  assert.deepEqual(unlinked, {
    code: 0,
    out: '√ east no longer reaches west; its mirrors are gone\n√ west no longer reaches east; its mirrors are gone',
    notes: '',
  });
  const again = await clusters.run(commands, 'multicluster unlink east w');
  assert.equal(again.notes, 'cluster east has no Link west\ncluster west has no Link east');
});

test('a link that is not proven in time says why', async (t) => {
  const anchors = anchorPem();
  const clusters = await startClusters(t, [
    { context: 'east', anchors },
    { context: 'west', anchors },
  ]);
  const silent = await clusters.run(commands, 'multicluster link east west --timeout 0');
  assert.equal(silent.code, 1);
  assert.match(
    silent.notes,
    /east → west is written but not proven after 0 s: the mirror controller has not looked/,
  );
  assert.match(silent.notes, /mesh multicluster check --context east/);
  await setStatus(clusters.client('east'), 'west', {
    conditions: conditions('False', 'ConnectFailed', 'connect ECONNREFUSED 172.30.2.1:4143'),
  });
  const refused = await clusters.run(commands, 'multicluster link east west --timeout 0');
  assert.match(refused.notes, /not proven after 0 s: ConnectFailed: connect ECONNREFUSED 172\.30\.2\.1:4143/);
});

test('what was proven of a Link before it was written again is no proof', async (t) => {
  const anchors = anchorPem();
  const clusters = await startClusters(t, [
    { context: 'east', anchors },
    { context: 'west', anchors },
  ]);
  const [east, west] = [clusters.client('east'), clusters.client('west')];
  await clusters.run(commands, 'multicluster link east west --timeout 0');
  for (const [client, name] of [
    [east, 'west'],
    [west, 'east'],
  ] as const) {
    const { generation } = (await client.get(links, { namespace, name })).metadata;
    await setStatus(client, name, {
      observedGeneration: generation ?? 0,
      conditions: conditions('True', 'Proven', 'proven'),
    });
  }
  assert.equal((await clusters.run(commands, 'multicluster link east west --timeout 0')).code, 0);
  const gateway = await west.get(services, { namespace, name: 'mesh-gateway' });
  const status = { loadBalancer: { ingress: [{ ip: '172.30.2.9' }] } };
  await west.updateStatus(services, { ...gateway, status });
  const moved = await clusters.run(commands, 'multicluster link east west --timeout 0');
  assert.equal(moved.code, 1);
  assert.match(
    moved.notes,
    /east → west is written but not proven after 0 s: the mirror controller has not looked/,
  );
});

test('clusters with different anchors are not linked: both fingerprints, and what to run', async (t) => {
  const [one, other] = [anchorPem(), anchorPem()];
  const clusters = await startClusters(t, [
    { context: 'east', anchors: one },
    { context: 'west', anchors: other },
  ]);
  const { code, notes, out } = await clusters.run(commands, 'multicluster link east west');
  assert.equal(code, 1);
  assert.equal(out, '');
  assertGolden(
    import.meta.url,
    'different-anchors.txt',
    `${notes.replace(fingerprint(one) ?? '-', 'FINGERPRINT-OF-EAST').replace(fingerprint(other) ?? '-', 'FINGERPRINT-OF-WEST')}\n`,
  );
  for (const context of ['east', 'west']) {
    assert.deepEqual((await clusters.client(context).listAll(links, { namespace })).items, []);
  }
});

test('what cannot be linked is refused with what to do', async (t) => {
  const anchors = anchorPem();
  const clusters = await startClusters(t, [
    { context: 'a', cluster: 'east', anchors },
    { context: 'b', cluster: 'east', anchors },
    { context: 'bare' },
    { context: 'half', anchors, gateway: 'none' },
  ]);
  for (const [line, pattern] of [
    ['link a b', /contexts a and b are both cluster east[^]*--cluster NAME/],
    ['link a a', /at least two[^]*remedy: /],
    [
      'link a bare',
      /context bare has no mesh[^]*mesh install --cluster NAME --trust DIR --apply --context bare/,
    ],
    ['link a half', /context half has no gateway[^]*mesh multicluster install --apply --context half/],
    ['link a nowhere', /nowhere/],
    ['link a', /takes arguments EAST WEST/],
    ['link a b --timeout soon', /--timeout "soon" is no number of seconds\n {2}remedy: .*--timeout 60/],
    ['unlink a bare', /context bare has no mesh/],
    ['install --context bare', /the cluster has no mesh yet[^]*mesh install/],
  ] as const) {
    const { code, notes } = await clusters.run(commands, `multicluster ${line}`);
    assert.equal(code, 1, line);
    assert.match(notes, pattern, line);
  }
});

test('a refusal names the context of the cluster that refused', async (t) => {
  const anchors = anchorPem();
  const clusters = await startClusters(t, [
    { context: 'one', cluster: 'east', anchors },
    { context: 'two', cluster: 'west', anchors },
  ]);
  await clusters.client('two').delete(customResourceDefinitions, { name: linkDefinition.metadata.name });
  await eventually('Links are no longer served', async () => {
    return (await clusters.client('two').raw('GET', '/apis/multicluster.mesh.io/v1alpha1')).status === 404;
  });
  const { code, notes } = await clusters.run(commands, 'multicluster link one two --timeout 0');
  assert.equal(code, 1);
  assert.match(notes, /context two: PATCH .*links\/east: 404/);
});

test('link-gen prints the Link with which others reach the cluster', async (t) => {
  const anchors = anchorPem();
  const clusters = await startClusters(t, [
    { context: 'west', anchors },
    { context: 'inner', anchors, gateway: 'ClusterIP' },
  ]);
  const { code, out } = await clusters.run(commands, 'multicluster link-gen --context west');
  assert.equal(code, 0);
  assertGolden(
    import.meta.url,
    'link-gen.yaml',
    `${out.replaceAll(fingerprint(anchors) ?? '-', 'FINGERPRINT')}\n`,
  );
  const none = await clusters.run(commands, 'multicluster link-gen --context inner');
  assert.equal(none.code, 1);
  assert.match(none.notes, /the gateway of context inner has no address[^]*--gateway-address/);
  const given = await clusters.run(
    commands,
    'multicluster link-gen --context inner --gateway-address 203.0.113.5 --output json',
  );
  assert.equal(given.code, 0, given.notes);
  const list = JSON.parse(given.out) as { items: Link[] };
  assert.deepEqual(list.items[0]?.spec.gatewayAddresses, ['203.0.113.5']);
});

test('a cluster of many nodes is linked by the networks that its pods are in', async (t) => {
  const anchors = anchorPem();
  const clusters = await startClusters(t, [{ context: 'west', anchors }]);
  const client = clusters.client('west');
  const node = async (name: string, podCIDRs: string[]): Promise<void> => {
    await client.create(nodes, { metadata: { name }, spec: { podCIDR: podCIDRs[0] ?? '', podCIDRs } });
  };
  const generated = async (): Promise<{ spec: Link['spec'] | undefined; notes: string }> => {
    const { out, notes } = await clusters.run(commands, 'multicluster link-gen --output json');
    return { spec: (JSON.parse(out) as { items: Link[] }).items[0]?.spec, notes };
  };
  for (let index = 0; index < 70; index++) await node(`a${index}`, [`10.244.${index}.0/24`]);
  await node('dual', ['fd00::/64', '10.250.0.0/24']);
  const { spec, notes } = await generated();
  assert.deepEqual(spec?.podCIDRs, ['10.244.0.0/18', '10.244.64.0/22', '10.244.68.0/23', '10.250.0.0/24']);
  assert.equal(notes, '');
  for (let index = 0; index < 64; index++) await node(`b${index}`, [`10.245.${2 * index}.0/24`]);
  const wide = await generated();
  assert.equal(wide.spec?.podCIDRs, undefined);
  assert.match(
    wide.notes,
    /its pods are in 68 networks, and a Link holds 64; .* set spec.podCIDRs of Link west/,
  );
});

test('gateways shows each peer', async (t) => {
  const clusters = await startClusters(t, [{ context: 'east', anchors: anchorPem() }]);
  const client = clusters.client('east');
  assert.equal((await clusters.run(commands, 'multicluster gateways')).notes, 'No links found.');
  for (const name of ['west', 'north', 'south']) {
    await client.create(links, {
      apiVersion: 'multicluster.mesh.io/v1alpha1',
      kind: 'Link',
      metadata: { name, namespace },
      spec: { cluster: name, gatewayAddresses: ['192.0.2.1'] },
    });
  }
  await setStatus(client, 'west', {
    gateway: 'alive',
    rttMs: 1.2,
    services: 12,
    lastSeen: '2026-01-01T00:00:00Z',
  });
  await setStatus(client, 'north', { gateway: 'dead', services: 3, lastSeen: '2025-12-31T00:00:00Z' });
  const { out } = await clusters.run(commands, 'multicluster gateways');
  assertGolden(import.meta.url, 'gateways.txt', `${out}\n`);
  const json = await clusters.run(commands, 'multicluster gateways --output json');
  assert.deepEqual(
    (JSON.parse(json.out) as { cluster: string; state: string }[]).map(
      ({ cluster, state }) => `${cluster} ${state}`,
    ),
    ['north dead', 'south unknown', 'west alive'],
  );
});

test('check names what is wrong with each link, and what to do', async (t) => {
  const [anchors, foreign] = [anchorPem(), anchorPem()];
  const clusters = await startClusters(t, [{ context: 'east', anchors, gateway: 'ClusterIP' }]);
  const client = clusters.client('east');
  for (const [name, cluster] of [
    ['west', 'west'],
    ['north', 'elsewhere'],
  ] as const) {
    await client.create(links, {
      apiVersion: 'multicluster.mesh.io/v1alpha1',
      kind: 'Link',
      metadata: { name, namespace },
      spec: {
        cluster,
        gatewayAddresses: ['192.0.2.1'],
        ...(name === 'west' ? { anchorFingerprints: [fingerprint(foreign) ?? ''] } : {}),
      },
    });
  }
  await setStatus(client, 'west', {
    gateway: 'dead',
    conditions: conditions('False', 'ForeignAnchor', 'the chain ends in an unknown anchor'),
    imports: [
      {
        namespace: 'shop',
        name: 'cart',
        mirror: '',
        state: 'Refused',
        reason: 'NameConflict',
        message: 'Service shop/cart-west exists and is not a mirror',
      },
    ],
  });
  await eventually('the status is there', async () => {
    return (await client.get(links, { namespace, name: 'west' })).status?.gateway === 'dead';
  });
  const { code, out } = await clusters.run(commands, 'multicluster check');
  assert.equal(code, 1);
  const shown = out
    .replaceAll(fingerprint(anchors) ?? '-', 'FINGERPRINT-OF-EAST')
    .replaceAll(fingerprint(foreign) ?? '-', 'FINGERPRINT-OF-WEST');
  assertGolden(import.meta.url, 'check.txt', `${shown}\n`);
});

test('check without the extension stops at once', async (t) => {
  const clusters = await startClusters(t, [{ context: 'bare' }]);
  const { code, out } = await clusters.run(commands, 'multicluster check');
  assert.equal(code, 1);
  assert.match(out, /× Link definition exists[^]*hint: mesh install --cluster NAME --trust DIR --apply/);
  assert.doesNotMatch(out, /gateway has an address/);
});
