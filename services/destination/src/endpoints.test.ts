import assert from 'node:assert/strict';
import test from 'node:test';
import { gatewayIdentity, identityName } from '@mesh/trust/names';
import { type EndpointView, resolveEndpoints, type Scope, seenFrom } from './endpoints.ts';
import { ModelCluster, modelSettings } from './testing/model-cluster.ts';

interface Question {
  port?: number;
  hostname?: string;
  scope?: Scope;
}

function resolve(
  cluster: ModelCluster,
  service: string,
  { port = 80, hostname, scope = 'all' }: Question = {},
) {
  return resolveEndpoints(cluster, { namespace: 'shop', service, port, hostname, scope }, modelSettings);
}

function endpoints(
  cluster: ModelCluster,
  service: string,
  question: Question = {},
): Record<string, EndpointView> {
  const resolution = resolve(cluster, service, question);
  assert.equal(resolution.kind, 'known');
  return resolution.kind === 'known' ? Object.fromEntries(resolution.endpoints) : {};
}

/** Key to tier. */
function tiers(cluster: ModelCluster, service: string): Record<string, number> {
  return Object.fromEntries(
    Object.entries(endpoints(cluster, service)).map(([key, { tier }]) => [key, tier]),
  );
}

function shop(): ModelCluster {
  const cluster = new ModelCluster();
  cluster.pod({ name: 'cart-1', ip: '10.0.0.1', deployment: 'cart', serviceAccount: 'cart' });
  cluster.pod({ name: 'cart-2', ip: '10.0.0.2', meshed: false });
  cluster.service({ name: 'cart', clusterIP: '10.96.0.1', ports: { 80: 8080, 3306: 3306 } });
  cluster.slice({
    service: 'cart',
    pods: ['cart-1', 'cart-2'],
    ports: { 'port-80': 8080, 'port-3306': 3306 },
  });
  return cluster;
}

test('a meshed pod is reached by its proxy, another one directly', () => {
  const found = endpoints(shop(), 'cart');
  assert.deepEqual(found['10.0.0.1:8080'], {
    address: '10.0.0.1',
    port: 8080,
    tier: 0,
    readyBehind: 0,
    identity: 'cart.shop.serviceaccount.identity.mesh.east.mesh.local',
    hint: 'h2',
    transportPort: 4143,
    authority: undefined,
    node: undefined,
    labels: {
      pod: 'cart-1',
      deployment: 'cart',
      serviceaccount: 'cart',
      control_plane_ns: 'mesh',
      pod_template_hash: 'abc12',
    },
  });
  const plain = found['10.0.0.2:8080'];
  assert.equal(plain?.identity, undefined);
  assert.equal(plain?.hint, 'none');
  assert.equal(plain?.transportPort, 0);
});

test('what bypasses the proxy of a pod that runs is what its redirection was set up with', () => {
  const cluster = shop();
  const pod = cluster.pods.get('shop', 'cart-1') ?? assert.fail('it is gone');
  const identity = (skipped?: string): string | undefined => {
    const env = skipped === undefined ? [] : [{ name: 'MESH_INIT_SKIP_INBOUND_PORTS', value: skipped }];
    const spec = { containers: [], ...pod.spec, initContainers: [{ name: 'mesh-init', env }] };
    cluster.pods.put({ ...pod, spec });
    return endpoints(cluster, 'cart')['10.0.0.1:8080']?.identity;
  };
  cluster.namespaces.put({
    metadata: { name: 'shop', annotations: { 'mesh.io/skip-inbound-ports': '8080' } },
  });
  assert.notEqual(identity('4567,4568'), undefined, 'what the namespace says now is for pods to come');
  assert.notEqual(identity(), undefined);
  cluster.namespaces.put({ metadata: { name: 'shop' } });
  assert.equal(identity('8000-9000'), undefined);
});

test('opaque ports: by default, by Service, by pod and by namespace', () => {
  const cluster = shop();
  assert.equal(endpoints(cluster, 'cart', { port: 3306 })['10.0.0.1:3306']?.hint, 'opaque');
  cluster.service({
    name: 'cart',
    clusterIP: '10.96.0.1',
    annotations: { 'mesh.io/opaque-ports': 'port-80' },
  });
  assert.equal(endpoints(cluster, 'cart')['10.0.0.1:8080']?.hint, 'opaque');
  cluster.service({ name: 'cart', clusterIP: '10.96.0.1' });
  cluster.namespaces.put({
    metadata: { name: 'shop', annotations: { 'mesh.io/opaque-ports': '8000-8100' } },
  });
  assert.equal(endpoints(cluster, 'cart')['10.0.0.1:8080']?.hint, 'opaque');
  cluster.pod({ name: 'cart-1', ip: '10.0.0.1', annotations: { 'mesh.io/opaque-ports': '' } });
  assert.equal(endpoints(cluster, 'cart')['10.0.0.1:8080']?.hint, 'h2');
});

test('a port that has its number with one of UDP in common goes by its own name', () => {
  const cluster = new ModelCluster();
  const annotations = { 'mesh.io/opaque-ports': 'dns-tcp' };
  const hint = () => endpoints(cluster, 'dns', { port: 53 })['10.0.0.9:53']?.hint;
  const put = (ofService: boolean): void => {
    cluster.pods.put({
      metadata: { name: 'dns', namespace: 'shop', annotations: ofService ? {} : annotations },
      spec: {
        containers: [
          {
            name: 'dns',
            ports: [
              { name: 'dns', containerPort: 53, protocol: 'UDP' },
              { name: 'dns-tcp', containerPort: 53 },
            ],
          },
        ],
      },
      status: { phase: 'Running', podIP: '10.0.0.9' },
    });
    cluster.services.put({
      metadata: { name: 'dns', namespace: 'shop', annotations: ofService ? annotations : {} },
      spec: {
        clusterIP: '10.96.0.9',
        ports: [
          { name: 'dns', port: 53, protocol: 'UDP' },
          { name: 'dns-tcp', port: 53 },
        ],
      },
    });
    cluster.slice({ service: 'dns', pods: ['dns'], ports: { 'dns-tcp': 53 } });
  };
  put(true);
  assert.equal(hint(), 'opaque');
  put(false);
  assert.equal(hint(), 'opaque');
});

test('a port that bypasses the proxy is called in plaintext', () => {
  const cluster = shop();
  cluster.pod({ name: 'cart-1', ip: '10.0.0.1', annotations: { 'mesh.io/skip-inbound-ports': '8080' } });
  assert.equal(endpoints(cluster, 'cart')['10.0.0.1:8080']?.identity, undefined);
  cluster.pod({ name: 'cart-1', ip: '10.0.0.1' });
  cluster.slice({ service: 'cart', pods: ['cart-1'], ports: { 'port-80': 4567 } });
  assert.equal(endpoints(cluster, 'cart')['10.0.0.1:4567']?.identity, undefined, 'by default');
  cluster.pod({ name: 'cart-1', ip: '10.0.0.1', annotations: { 'mesh.io/skip-inbound-ports': '' } });
  assert.notEqual(endpoints(cluster, 'cart')['10.0.0.1:4567']?.identity, undefined);
});

test('endpoints that are not ready, and unknown ports of a ClusterIP, are left out', () => {
  const cluster = shop();
  cluster.slice({ service: 'cart', pods: ['cart-1'], notReady: true });
  assert.deepEqual(endpoints(cluster, 'cart'), {});
  assert.deepEqual(endpoints(cluster, 'cart', { port: 81 }), {});
  assert.equal(resolve(cluster, 'nothing').kind, 'unknown');
});

test('a Service for its own node alone is told of endpoints there, and of other clusters', () => {
  const cluster = federated();
  cluster.pod({ name: 'cart-1', ip: '10.0.0.1', node: 'node-1' });
  cluster.pod({ name: 'cart-2', ip: '10.0.0.2', node: 'node-2' });
  const seen = (node: string | undefined, scope: Scope = 'all'): string[] => {
    const resolution = seenFrom(resolve(cluster, 'cart', { scope }), node);
    return resolution.kind === 'known' ? [...resolution.endpoints.keys()] : [];
  };
  const [one, two, remote] = ['10.0.0.1:8080', '10.0.0.2:8080', ['192.0.2.7:4143', '192.0.2.9:4143']];
  assert.deepEqual(seen('node-1'), [one, two, ...remote]);
  const cart = cluster.services.get('shop', 'cart') ?? assert.fail('it is gone');
  cluster.services.put({ ...cart, spec: { ...cart.spec, internalTrafficPolicy: 'Local' } });
  assert.deepEqual(seen('node-1'), [one, ...remote]);
  assert.deepEqual(seen('node-2'), [two, ...remote]);
  assert.deepEqual(seen('node-3'), remote);
  assert.deepEqual(seen(undefined), [one, two, ...remote], 'who does not say where it is');
  assert.deepEqual(seen('node-3', 'local'), [one, two], 'what comes through the gateway');
});

test('pods that are ending are called as long as they serve and none is ready, after other clusters', () => {
  const cluster = federated();
  const slice = (...states: readonly [pod: string, ready: boolean, serving: boolean][]): void =>
    cluster.endpointSlices.put({
      metadata: { name: 'cart', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'cart' } },
      addressType: 'IPv4',
      ports: [{ name: 'port-80', port: 8080 }],
      endpoints: states.map(([pod, ready, serving]) => ({
        addresses: [pod === 'cart-1' ? '10.0.0.1' : '10.0.0.2'],
        conditions: { ready, serving, terminating: !ready },
        targetRef: { kind: 'Pod', name: pod },
      })),
    });
  const remote = { '192.0.2.7:4143': 1, '192.0.2.9:4143': 1 };
  slice(['cart-1', false, true], ['cart-2', true, true]);
  assert.deepEqual(tiers(cluster, 'cart'), { '10.0.0.2:8080': 0, ...remote });
  slice(['cart-1', false, true], ['cart-2', false, false]);
  assert.deepEqual(tiers(cluster, 'cart'), { '10.0.0.1:8080': 2, ...remote });
  slice(['cart-1', false, false]);
  assert.deepEqual(tiers(cluster, 'cart'), remote);
});

test('a pod of which nothing is known, not yet or no more, is left out and not called in plaintext', () => {
  const cluster = shop();
  cluster.pods.remove('shop', 'cart-1');
  assert.deepEqual(Object.keys(endpoints(cluster, 'cart')), ['10.0.0.2:8080']);
  cluster.pod({ name: 'cart-1', ip: '10.0.0.1', serviceAccount: 'cart' });
  assert.notEqual(endpoints(cluster, 'cart')['10.0.0.1:8080']?.identity, undefined);
});

test('one pod of a headless service, by host name', () => {
  const cluster = new ModelCluster();
  cluster.pod({ name: 'db-0', ip: '10.0.1.1' });
  cluster.service({ name: 'db', clusterIP: 'None', ports: { 5432: 5432 } });
  cluster.endpointSlices.put({
    metadata: { name: 'db', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'db' } },
    addressType: 'IPv4',
    ports: [{ name: 'port-5432', port: 5432 }],
    endpoints: [
      { addresses: ['10.0.1.1'], hostname: 'db-0' },
      { addresses: ['10.0.1.2'], hostname: 'db-1' },
    ],
  });
  const found = endpoints(cluster, 'db', { port: 5432, hostname: 'db-1' });
  assert.deepEqual(Object.keys(found), ['10.0.1.2:5432']);
  // Ports of a headless service need not be declared.
  assert.deepEqual(Object.keys(endpoints(cluster, 'db', { port: 9000 })), ['10.0.1.1:9000', '10.0.1.2:9000']);
});

test('a mirror is the gateway of its peer, with the authority to ask for', () => {
  const cluster = new ModelCluster();
  cluster.service({
    name: 'cart-west',
    labels: { 'mirror.mesh.io/mirrored-service': 'true', 'mirror.mesh.io/cluster-name': 'west' },
    annotations: { 'mirror.mesh.io/remote-svc-fq-name': 'cart.shop.svc.cluster.local' },
  });
  cluster.remoteSlice({
    service: 'cart-west',
    peer: 'west',
    addresses: ['192.0.2.7', '192.0.2.8'],
    ready: 5,
  });
  const found = endpoints(cluster, 'cart-west');
  assert.deepEqual(found['192.0.2.7:4143'], {
    address: '192.0.2.7',
    port: 4143,
    tier: 0,
    readyBehind: 3,
    identity: gatewayIdentity('west'),
    hint: 'h2',
    transportPort: 4143,
    authority: 'cart.shop.svc.cluster.local:80',
    labels: { target_cluster: 'west', target_service: 'cart', target_service_namespace: 'shop' },
  });
  assert.equal(found['192.0.2.8:4143']?.readyBehind, 2);
});

test('a gateway on another port takes opaque bytes there too; one that is not serving is left out', () => {
  const cluster = new ModelCluster();
  cluster.service({
    name: 'cart-west',
    labels: { 'mirror.mesh.io/mirrored-service': 'true', 'mirror.mesh.io/cluster-name': 'west' },
  });
  const ports = { 'port-80': 15443 };
  cluster.remoteSlice({ service: 'cart-west', peer: 'west', addresses: ['192.0.2.7'], ports });
  assert.equal(endpoints(cluster, 'cart-west')['192.0.2.7:15443']?.transportPort, 15443);
  cluster.remoteSlice({ service: 'cart-west', peer: 'west', addresses: ['192.0.2.7'], notReady: true });
  assert.deepEqual(endpoints(cluster, 'cart-west'), {});
});

test('copies of local slices in a federated service are for callers without a proxy', () => {
  const cluster = federated();
  const before = endpoints(cluster, 'cart-federated');
  cluster.slice({
    service: 'cart-federated',
    name: 'cart-federated-local-1234',
    addresses: ['10.1.0.1', '10.1.0.99'],
    labels: { 'mirror.mesh.io/mirrored-service': 'true', 'mirror.mesh.io/local-copy': 'true' },
  });
  assert.deepEqual(endpoints(cluster, 'cart-federated'), before);
});

test('pods of a flat network are called by their own address and identity', () => {
  const cluster = new ModelCluster();
  const identity = identityName({ serviceAccount: 'cart', namespace: 'shop', cluster: 'west' });
  cluster.service({
    name: 'cart-west',
    labels: { 'mirror.mesh.io/mirrored-service': 'true', 'mirror.mesh.io/cluster-name': 'west' },
  });
  cluster.slice({
    service: 'cart-west',
    addresses: ['10.20.0.1', '10.20.0.2'],
    labels: { 'mirror.mesh.io/cluster-name': 'west' },
    annotations: { 'mirror.mesh.io/remote-identity': identity },
  });
  const view = endpoints(cluster, 'cart-west')['10.20.0.2:8080'];
  assert.equal(view?.identity, identity);
  assert.equal(view?.authority, undefined);
  assert.equal(view?.readyBehind, 0);
  assert.equal(view?.transportPort, 4143);
});

function federated(mode?: string, more: Record<string, string> = {}): ModelCluster {
  const cluster = shop();
  cluster.service({
    name: 'cart',
    clusterIP: '10.96.0.1',
    labels: { 'mirror.mesh.io/federated': 'member' },
    annotations: { ...(mode === undefined ? {} : { 'mirror.mesh.io/mode': mode }), ...more },
  });
  cluster.service({ name: 'cart-federated', labels: { 'mirror.mesh.io/mirrored-service': 'true' } });
  cluster.remoteSlice({ service: 'cart-federated', peer: 'west', addresses: ['192.0.2.7'], ready: 2 });
  cluster.remoteSlice({ service: 'cart-federated', peer: 'north', addresses: ['192.0.2.9'], ready: 1 });
  return cluster;
}

test('local-first: local pods first, other clusters next, under both names', () => {
  const expected = {
    '10.0.0.1:8080': 0,
    '10.0.0.2:8080': 0,
    '192.0.2.7:4143': 1,
    '192.0.2.9:4143': 1,
  };
  assert.deepEqual(tiers(federated(), 'cart'), expected);
  assert.deepEqual(tiers(federated(), 'cart-federated'), expected);
  assert.equal(
    endpoints(federated(), 'cart-federated')['192.0.2.7:4143']?.authority,
    'cart.shop.svc.cluster.local:80',
  );
});

test('in scope local no other cluster shows, under any name', () => {
  const scope = 'local';
  const local = ['10.0.0.1:8080', '10.0.0.2:8080'];
  assert.deepEqual(Object.keys(endpoints(federated(), 'cart', { scope })), local);
  assert.deepEqual(Object.keys(endpoints(federated(), 'cart-federated', { scope })), local);
});

test('how many local endpoints are enough follows the annotation and, for a share, all that are not ending', () => {
  const enough = (cluster: ModelCluster, name = 'cart'): number | undefined => {
    const resolution = resolve(cluster, name);
    return resolution.kind === 'known' ? resolution.enoughReady : undefined;
  };
  const below = (value: string, mode?: string) => federated(mode, { 'mirror.mesh.io/spill-below': value });
  assert.equal(enough(federated()), 1);
  assert.equal(enough(below('7')), 7);
  const half = below('50%');
  assert.equal(enough(half), 1, 'two pods');
  assert.equal(enough(half, 'cart-federated'), 1);
  half.slice({
    service: 'cart',
    name: 'cart-2',
    addresses: ['10.0.0.3', '10.0.0.4', '10.0.0.5'],
    notReady: true,
  });
  assert.equal(enough(half), 3, 'five, three of them not ready');
  assert.equal(enough(half, 'cart-federated'), 3);
  half.slice({ service: 'cart', name: 'cart-3', addresses: ['10.0.0.6'], notReady: true, terminating: true });
  assert.equal(enough(half), 3, 'one that is ending is no longer expected');
  assert.equal(enough(below('some')), 1, 'not understood');
  assert.equal(enough(below('7', 'balanced')), 1, 'one tier has nowhere to spill to');
});

test('balanced: one tier over all clusters', () => {
  assert.deepEqual(new Set(Object.values(tiers(federated('balanced'), 'cart'))), new Set([0]));
});

test('a peer that is dead, unknown or empty is demoted, not removed', () => {
  for (const mode of ['local-first', 'balanced']) {
    for (const bad of [{ state: 'dead' }, { state: 'unknown' }, { ready: 0 }] as const) {
      const cluster = federated(mode);
      cluster.remoteSlice({ service: 'cart-federated', peer: 'west', addresses: ['192.0.2.7'], ...bad });
      assert.equal(tiers(cluster, 'cart')['192.0.2.7:4143'], 2, `${mode} ${JSON.stringify(bad)}`);
      assert.notEqual(tiers(cluster, 'cart')['192.0.2.9:4143'], 2);
    }
  }
});

test('without the member label the plain name stays local, and so it does without peers', () => {
  const cluster = federated();
  cluster.service({ name: 'cart', clusterIP: '10.96.0.1', labels: { 'mirror.mesh.io/exported': 'true' } });
  assert.deepEqual(Object.keys(tiers(cluster, 'cart')), ['10.0.0.1:8080', '10.0.0.2:8080']);
  assert.deepEqual(Object.keys(tiers(cluster, 'cart-federated')), ['192.0.2.7:4143', '192.0.2.9:4143']);
});

test('slices of nobody, of this cluster or with an identity of another domain are not believed', () => {
  for (const bad of [
    { labels: { 'mirror.mesh.io/cluster-name': 'east' } },
    { annotations: { 'mirror.mesh.io/remote-gateway-identity': gatewayIdentity('north') } },
    { annotations: { 'mirror.mesh.io/remote-gateway-identity': '' } },
  ]) {
    const cluster = federated();
    cluster.remoteSlice({ service: 'cart-federated', peer: 'west', addresses: ['192.0.2.7'], ...bad });
    assert.equal(tiers(cluster, 'cart')['192.0.2.7:4143'], undefined, JSON.stringify(bad));
  }
});

test('a service of a user that only ends in -federated is an ordinary one', () => {
  const cluster = shop();
  cluster.service({ name: 'cart-federated', clusterIP: '10.96.0.9' });
  cluster.slice({ service: 'cart-federated', pods: ['cart-1'] });
  assert.deepEqual(tiers(cluster, 'cart-federated'), { '10.0.0.1:8080': 0 });
});
