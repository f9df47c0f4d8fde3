import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LinkSpec } from '@mesh/multicluster/link';
import { gatewayIdentity } from '@mesh/trust/names';
import { mirrorService, mirrorSlices, weightMatters } from './desired.ts';
import type { ImportRecord } from './import-record.ts';

const link: LinkSpec = { cluster: 'west', gatewayAddresses: ['172.30.2.1', '172.30.2.2'], gatewayPort: 4143 };
const record: ImportRecord = {
  namespace: 'shop',
  name: 'cart',
  path: 'gateway',
  pinned: true,
  federated: true,
  ports: [{ name: 'http', port: 80, appProtocol: undefined }],
  labels: { app: 'cart' },
  annotations: {},
  readyEndpoints: 3,
  flat: [],
};
const base = {
  record,
  link,
  gateways: link.gatewayAddresses,
  state: 'alive',
  weight: 3,
  trustSuffix: 'mesh.local',
} as const;

test('a mirror has no selector, the ports of the export and the name of its source', () => {
  const service = mirrorService({ name: 'cart-west', record, cluster: 'west' });
  assert.deepEqual(service.spec, { type: 'ClusterIP', ports: [{ port: 80, protocol: 'TCP', name: 'http' }] });
  assert.equal(service.metadata.labels?.['mirror.mesh.io/cluster-name'], 'west');
  assert.equal(
    service.metadata.annotations?.['mirror.mesh.io/remote-svc-fq-name'],
    'cart.shop.svc.cluster.local',
  );
});

test('a federated service belongs to no single peer', () => {
  const service = mirrorService({ name: 'cart-federated', record });
  assert.equal(service.metadata.labels?.['mirror.mesh.io/cluster-name'], undefined);
});

test('one slice through the gateway: its addresses and port, its identity, the weight behind it', () => {
  const [slice, ...rest] = mirrorSlices({ ...base, service: 'cart-west' });
  assert.equal(rest.length, 0);
  assert.equal(slice?.metadata.name, 'cart-west');
  assert.deepEqual(
    slice?.endpoints?.map(({ addresses }) => addresses),
    [['172.30.2.1'], ['172.30.2.2']],
  );
  assert.deepEqual(slice?.ports, [{ name: 'http', port: 4143, protocol: 'TCP' }]);
  assert.equal(
    slice?.metadata.annotations?.['mirror.mesh.io/remote-gateway-identity'],
    gatewayIdentity('west'),
  );
  assert.equal(slice?.metadata.annotations?.['mirror.mesh.io/weight'], '3');
});

test('the slice of a federated service names its peer', () => {
  const [slice] = mirrorSlices({ ...base, service: 'cart-federated' });
  assert.equal(slice?.metadata.name, 'cart-federated-west');
  assert.equal(slice?.metadata.labels?.['kubernetes.io/service-name'], 'cart-federated');
});

test('a gateway is for callers with a proxy alone: it is serving, and not ready for the others', () => {
  const [slice] = mirrorSlices({ ...base, service: 'cart-federated' });
  assert.deepEqual(slice?.endpoints?.[0]?.conditions, { ready: false, serving: true });
});

test('nothing ready behind the gateway: no address to call', () => {
  const [slice] = mirrorSlices({ ...base, service: 'cart-west', weight: 0 });
  assert.deepEqual(slice?.endpoints, []);
});

test('flat: one slice for each identity and port set, with pod addresses', () => {
  const flat = {
    ...record,
    path: 'direct' as const,
    flat: [
      { identity: 'one', targetPorts: { http: 8080 }, addresses: ['10.2.0.1', '10.2.0.2'] },
      { identity: 'two', targetPorts: { http: 8080 }, addresses: ['10.2.0.3'] },
    ],
  };
  const slices = mirrorSlices({ ...base, record: flat, service: 'cart-west' });
  assert.equal(new Set(slices.map(({ metadata }) => metadata.name)).size, 2);
  assert.deepEqual(
    slices.map(({ metadata }) => metadata.annotations?.['mirror.mesh.io/remote-identity']),
    ['one', 'two'],
  );
  assert.deepEqual(slices[0]?.ports, [{ name: 'http', port: 8080, protocol: 'TCP' }]);
});

test('flat: over a thousand pods of one kind take several slices, as one may hold no more', () => {
  const addresses = Array.from({ length: 2001 }, (_, index) => `10.2.${index >> 8}.${index & 255}`);
  const flat = [{ identity: 'one', targetPorts: { http: 8080 }, addresses }];
  const slices = mirrorSlices({
    ...base,
    record: { ...record, path: 'direct', flat },
    service: 'cart-west',
  });
  assert.deepEqual(
    slices.map(({ endpoints }) => endpoints?.length),
    [1000, 1000, 1],
  );
  assert.equal(new Set(slices.map(({ metadata }) => metadata.name)).size, 3);
  assert.deepEqual(
    slices.flatMap(({ endpoints }) => (endpoints ?? []).flatMap((each) => each.addresses)),
    addresses,
  );
});

test('a weight is worth a write to or from zero, or by a tenth', () => {
  for (const [shown, now, expected] of [
    [0, 1, true],
    [1, 0, true],
    [0, 0, false],
    [100, 109, false],
    [100, 110, true],
    [100, 90, true],
    [100, 91, false],
    [3, 4, true],
  ] as const) {
    assert.equal(weightMatters(shown, now), expected, `${shown} to ${now}`);
  }
});
