import assert from 'node:assert/strict';
import test from 'node:test';
import { ModelCluster, modelSettings } from './testing/model-cluster.ts';
import { type ProfileMessage, profileOf, profileTopics } from './profile.ts';

function ask(cluster: ModelCluster, host: string, port: number): ProfileMessage {
  const profile = profileOf(cluster, { address: { host, port }, clientZone: undefined }, modelSettings);
  assert.ok(!('fault' in profile), host);
  return profile;
}

function cluster(): ModelCluster {
  const made = new ModelCluster();
  made.service({ name: 'cart', clusterIP: '10.96.0.1', ports: { 80: 8080, 3306: 3306 } });
  made.pod({ name: 'cart-1', ip: '10.0.0.1', serviceAccount: 'cart' });
  made.pod({ name: 'plain', ip: '10.0.0.2', meshed: false });
  return made;
}

test('a ClusterIP is the name of its service', () => {
  const profile = ask(cluster(), '10.96.0.1', 80);
  assert.equal(profile.fullyQualifiedName, 'cart.shop.svc.cluster.local');
  assert.equal(profile.opaqueProtocol, false);
  assert.equal(profile.endpoint, undefined);
  assert.equal(profile.retryBudget?.minRetriesPerSecond, 10);
  assert.equal(ask(cluster(), '10.96.0.1', 3306).opaqueProtocol, true);
});

test('a port that the service does not have, and unknown addresses, have an empty profile', () => {
  for (const [host, port] of [
    ['10.96.0.1', 81],
    ['192.0.2.1', 443],
    ['nothing.shop.svc.cluster.local', 80],
  ] as const) {
    const profile = ask(cluster(), host, port);
    assert.equal(profile.fullyQualifiedName, undefined, host);
    assert.equal(profile.endpoint, undefined, host);
  }
  assert.equal(ask(cluster(), '192.0.2.1', 6005).opaqueProtocol, true);
});

test('a name is its service as well', () => {
  const profile = ask(cluster(), 'cart.shop.svc.cluster.local', 80);
  assert.equal(profile.fullyQualifiedName, 'cart.shop.svc.cluster.local');
});

test('the address of a pod is that endpoint', () => {
  const meshed = ask(cluster(), '10.0.0.1', 8080).endpoint;
  assert.deepEqual(meshed?.tlsIdentity?.strategy?.value, {
    name: 'cart.shop.serviceaccount.identity.mesh.east.mesh.local',
  });
  assert.equal(meshed?.metricLabels?.['namespace'], 'shop');
  assert.equal(meshed?.protocolHint?.opaqueTransport?.inboundPort, 4143);
  const plain = ask(cluster(), '10.0.0.2', 8080).endpoint;
  assert.ok(plain !== undefined);
  assert.equal(plain.tlsIdentity, undefined);
  assert.equal(ask(cluster(), '10.0.0.1', 3306).opaqueProtocol, true);
  const page = ask(cluster(), '10.0.0.1', 4191).endpoint;
  assert.ok(page !== undefined);
  assert.equal(page.protocolHint, undefined, 'the page of the proxy itself');
  assert.equal(page.tlsIdentity, undefined, 'which speaks no TLS');
});

test('an address of the host network or of a pod that ended belongs to no pod', () => {
  const made = cluster();
  made.pods.put({
    metadata: { name: 'host', namespace: 'shop' },
    spec: { containers: [], hostNetwork: true },
    status: { phase: 'Running', podIP: '10.9.9.9' },
  });
  made.pods.put({
    metadata: { name: 'done', namespace: 'shop' },
    spec: { containers: [] },
    status: { phase: 'Succeeded', podIP: '10.9.9.8' },
  });
  assert.equal(ask(made, '10.9.9.9', 80).endpoint, undefined);
  assert.equal(ask(made, '10.9.9.8', 80).endpoint, undefined);
});

test('an address that an ending pod left to another one belongs to the newer', () => {
  const made = cluster();
  const pod = (name: string, creationTimestamp: string, meshed: boolean): void =>
    made.pods.put({
      metadata: {
        name,
        namespace: name,
        creationTimestamp,
        labels: meshed ? { 'mesh.io/control-plane-ns': 'mesh' } : {},
      },
      spec: { containers: [], serviceAccountName: name },
      status: { phase: 'Running', podIP: '10.0.0.3' },
    });
  pod('ending', '2026-01-01T10:00:00Z', true);
  pod('begun', '2026-01-01T10:00:59Z', false);
  const { endpoint } = ask(made, '10.0.0.3', 8080);
  assert.equal(endpoint?.metricLabels?.['pod'], 'begun');
  assert.equal(endpoint?.tlsIdentity, undefined);
  const address = { host: '10.0.0.3', port: 8080 };
  assert.ok(profileTopics(made, address, 'cluster.local').includes('namespace:begun'));
  pod('ending', '2026-01-01T10:00:00Z', true);
  assert.equal(ask(made, '10.0.0.3', 8080).endpoint?.metricLabels?.['pod'], 'begun');
});

test('two services on one address, and names of elsewhere, are faults', () => {
  const made = cluster();
  made.service({ name: 'other', clusterIP: '10.96.0.1' });
  for (const host of ['10.96.0.1', 'example.com']) {
    const profile = profileOf(made, { address: { host, port: 80 }, clientZone: undefined }, modelSettings);
    assert.ok('fault' in profile, host);
  }
});
