import assert from 'node:assert/strict';
import test from 'node:test';
import { gatewayTable } from './gateway-table.ts';
import { ModelCluster, modelSettings } from './testing/model-cluster.ts';

test('exports are what carries a valid label, with who may use them', () => {
  const cluster = new ModelCluster();
  const exported = { 'mirror.mesh.io/exported': 'true' };
  cluster.service({ name: 'cart', labels: exported, ports: { 80: 8080, 3306: 3306 } });
  cluster.service({ name: 'fed', labels: { 'mirror.mesh.io/federated': 'member' } });
  cluster.service({
    name: 'some',
    labels: exported,
    annotations: { 'mirror.mesh.io/allowed-clusters': 'west, north ,' },
  });
  cluster.service({ name: 'none', labels: exported, annotations: { 'mirror.mesh.io/allowed-clusters': '' } });
  cluster.service({ name: 'private' });
  cluster.service({ name: 'wrong', labels: { 'mirror.mesh.io/exported': 'yes' } });
  cluster.service({ name: 'flat', labels: { 'mirror.mesh.io/exported': 'remote-discovery' } });
  cluster.service({ name: 'mirror', labels: { ...exported, 'mirror.mesh.io/mirrored-service': 'true' } });
  const { exports = [] } = gatewayTable(cluster, modelSettings);
  assert.deepEqual(
    exports.map(({ name, allowAllClusters, allowedClusters }) => [name, allowAllClusters, allowedClusters]),
    [
      ['cart', true, []],
      ['fed', true, []],
      ['none', false, []],
      ['some', false, ['west', 'north']],
    ],
  );
  assert.deepEqual(exports[0]?.ports, [
    { name: 'port-80', port: 80, appProtocol: '', opaque: false },
    { name: 'port-3306', port: 3306, appProtocol: '', opaque: true },
  ]);
});

test('a Link that is not named after its cluster, or is to the own cluster, lets nobody in', () => {
  const cluster = new ModelCluster();
  cluster.link('east');
  cluster.links.put({
    apiVersion: 'multicluster.mesh.io/v1alpha1',
    kind: 'Link',
    metadata: { name: 'west', namespace: 'mesh-multicluster' },
    spec: { cluster: 'north', gatewayAddresses: ['192.0.2.1'] },
  });
  assert.deepEqual(gatewayTable(cluster, modelSettings).peers, []);
});

test('peers are the links; one that may not, or that is being deleted, is out', () => {
  const cluster = new ModelCluster();
  cluster.link('west');
  cluster.link('north', { allow: false });
  cluster.links.put({
    apiVersion: 'multicluster.mesh.io/v1alpha1',
    kind: 'Link',
    metadata: { name: 'south', namespace: 'mesh-multicluster', deletionTimestamp: '2026-01-01T00:00:00Z' },
    spec: { cluster: 'south', gatewayAddresses: ['192.0.2.1'] },
  });
  const table = gatewayTable(cluster, modelSettings);
  assert.deepEqual(table.peers, [
    { cluster: 'north', trustDomain: 'north.mesh.local', allow: false },
    { cluster: 'south', trustDomain: 'south.mesh.local', allow: false },
    { cluster: 'west', trustDomain: 'west.mesh.local', allow: true },
  ]);
  assert.equal(
    table.federation?.identity,
    'mesh-mirror.mesh-multicluster.serviceaccount.identity.mesh.east.mesh.local',
  );
  assert.equal(table.cluster, 'east');
  assert.equal(table.trustDomain, 'east.mesh.local');
});
