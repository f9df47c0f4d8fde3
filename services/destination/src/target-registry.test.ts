import assert from 'node:assert/strict';
import test from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
import fc from 'fast-check';
import { resolveEndpoints, type Resolution } from './endpoints.ts';
import { Notifier } from './notifier.ts';
import { TargetRegistry } from './target-registry.ts';
import { ModelCluster, modelSettings } from './testing/model-cluster.ts';

type Change = (cluster: ModelCluster) => void;

const flag = fc.boolean();
const name = fc.constantFrom('cart', 'cart-federated', 'cart-west');
const podName = fc.constantFrom('cart-1', 'cart-2');
const peer = fc.constantFrom('west', 'north');

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.tuple(podName, fc.constantFrom('10.0.0.1', '10.0.0.2'), flag, flag).map(
    ([pod, ip, meshed, opaque]): Change =>
      (cluster) =>
        cluster.pod({
          name: pod,
          ip,
          meshed,
          node: 'node-1',
          annotations: opaque ? { 'mesh.io/opaque-ports': '8080' } : {},
        }),
  ),
  podName.map(
    (pod): Change =>
      (cluster) =>
        cluster.pods.remove('shop', pod),
  ),
  fc.tuple(fc.subarray(['cart-1', 'cart-2']), flag).map(
    ([pods, notReady]): Change =>
      (cluster) =>
        cluster.slice({ service: 'cart', pods, notReady }),
  ),
  fc.tuple(flag, fc.constantFrom('balanced', 'local-first')).map(
    ([member, mode]): Change =>
      (cluster) =>
        cluster.service({
          name: 'cart',
          clusterIP: '10.96.0.1',
          labels: member ? { 'mirror.mesh.io/federated': 'member' } : {},
          annotations: { 'mirror.mesh.io/mode': mode },
        }),
  ),
  name.map(
    (service): Change =>
      (cluster) =>
        cluster.services.remove('shop', service),
  ),
  fc.constant<Change>((cluster) =>
    cluster.service({ name: 'cart-federated', labels: { 'mirror.mesh.io/mirrored-service': 'true' } }),
  ),
  fc.constant<Change>((cluster) =>
    cluster.service({
      name: 'cart-west',
      labels: { 'mirror.mesh.io/mirrored-service': 'true', 'mirror.mesh.io/cluster-name': 'west' },
    }),
  ),
  fc
    .tuple(
      fc.constantFrom('cart-federated', 'cart-west'),
      peer,
      fc.subarray([1, 2, 3]),
      fc.nat({ max: 7 }),
      fc.constantFrom('alive', 'dead', 'unknown'),
    )
    .map(
      ([service, from, hosts, ready, state]): Change =>
        (cluster) =>
          cluster.remoteSlice({
            service,
            peer: from,
            addresses: hosts.map((host) => `${from === 'west' ? '192.0.2' : '198.51.100'}.${host}`),
            ready,
            state,
          }),
    ),
  flag.map(
    (opaque): Change =>
      (cluster) =>
        cluster.namespaces.put({
          metadata: { name: 'shop', annotations: opaque ? { 'mesh.io/opaque-ports': '80' } : {} },
        }),
  ),
  fc.constantFrom('a', 'b').map(
    (zone): Change =>
      (cluster) =>
        cluster.nodes.put({ metadata: { name: 'node-1', labels: { 'topology.kubernetes.io/zone': zone } } }),
  ),
);

const targets = ['cart', 'cart-federated', 'cart-west'].map((service) => ({
  namespace: 'shop',
  service,
  port: 80,
  hostname: undefined,
}));

test('whatever changes, in whatever order, a watched target is what the objects say', () => {
  fc.assert(
    fc.property(fc.array(fc.array(change, { minLength: 1, maxLength: 3 }), { maxLength: 12 }), (rounds) => {
      const clock = new FakeClock();
      const notifier = new Notifier({ clock, delayMs: 20 });
      const cluster = new ModelCluster((topic) => notifier.mark(topic));
      cluster.service({ name: 'cart', clusterIP: '10.96.0.1' });
      cluster.pod({ name: 'cart-1', ip: '10.0.0.1', node: 'node-1' });
      cluster.slice({ service: 'cart', pods: ['cart-1'] });
      const registry = new TargetRegistry({ objects: cluster, notifier, settings: modelSettings });
      const watched = targets.map((target) => registry.watch(target, 'all', () => {}));
      for (const round of rounds) {
        for (const apply of round) apply(cluster);
        clock.advance(20);
        for (const [index, target] of targets.entries()) {
          const fresh = resolveEndpoints(cluster, { ...target, scope: 'all' }, modelSettings);
          assert.deepEqual(watched[index]?.resolution, fresh);
          checkRules(fresh, cluster);
        }
        assert.deepEqual(endpointsOf(watched[0]?.resolution), memberView(cluster, watched[1]?.resolution));
      }
      for (const one of watched) one.stop();
      assert.equal(registry.size, 0);
    }),
    { numRuns: 200 },
  );
});

function endpointsOf(resolution: Resolution | undefined): unknown {
  return resolution?.kind === 'known' ? Object.fromEntries(resolution.endpoints) : undefined;
}

/** While `cart` is a member and the union exists, both names have the same endpoints. */
function memberView(cluster: ModelCluster, federated: Resolution | undefined): unknown {
  const cart = cluster.services.get('shop', 'cart');
  const member = cart?.metadata.labels?.['mirror.mesh.io/federated'] === 'member';
  if (member && federated?.kind === 'known') return endpointsOf(federated);
  const local = resolveEndpoints(
    cluster,
    { namespace: 'shop', service: 'cart', port: 80, hostname: undefined, scope: 'local' },
    modelSettings,
  );
  return endpointsOf(local);
}

function checkRules(resolution: Resolution, cluster: ModelCluster): void {
  if (resolution.kind !== 'known') return;
  const behind = new Map<string, number>();
  for (const view of resolution.endpoints.values()) {
    const from = view.labels['target_cluster'];
    if (from === undefined) {
      assert.equal(view.tier, 0, 'local endpoints come first');
      assert.equal(view.authority, undefined);
      continue;
    }
    assert.ok(view.identity?.endsWith(`.${from}.mesh.local`), 'a peer speaks for itself alone');
    behind.set(from, (behind.get(from) ?? 0) + view.readyBehind);
  }
  for (const [from, total] of behind) {
    const slice = cluster.endpointSlices.get('shop', `${resolution.labels['service']}-${from}`);
    if (slice === undefined) continue;
    const ready = Number(slice.metadata.annotations?.['mirror.mesh.io/weight']);
    const addresses = slice.endpoints?.length ?? 0;
    assert.equal(total, ready === 0 ? 0 : Math.max(ready, addresses), 'shares add up');
  }
}
