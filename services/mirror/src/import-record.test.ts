import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { ExportSchema, Export_Mode as Mode } from '@mesh/control-api/gen/mesh/federation/v1/federation_pb';
import type { LinkSpec } from '@mesh/multicluster/link';
import { gatewayIdentity, identityName } from '@mesh/trust/names';
import fc from 'fast-check';
import { importRecord } from './import-record.ts';

const link: LinkSpec = { cluster: 'west', gatewayAddresses: ['172.30.2.1'], podCIDRs: ['10.2.0.0/16'] };
const pod = identityName({ serviceAccount: 'cart', namespace: 'shop', cluster: 'west' });
type Sent = MessageInitShape<typeof ExportSchema>;

const good: Sent = {
  namespace: 'shop',
  name: 'cart',
  mode: Mode.GATEWAY,
  federated: true,
  ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
  labels: { app: 'cart', 'mirror.mesh.io/exported': 'true' },
  readyEndpoints: 2,
};
const flat: Sent = {
  ...good,
  mode: Mode.REMOTE_DISCOVERY,
  flatEndpoints: [{ address: '10.2.0.7', identity: pod, ports: [{ name: 'http', port: 8080 }] }],
};

const judged = (sent: Sent, spec: LinkSpec = link): ReturnType<typeof importRecord> =>
  importRecord(create(ExportSchema, sent), { link: spec, trustSuffix: 'mesh.local' });

test('a good record is narrowed to what may be used', () => {
  const record = judged(good);
  assert.ok(!('reason' in record));
  assert.deepEqual(record.labels, { app: 'cart' });
  assert.equal(record.path, 'gateway');
  assert.equal(record.pinned, true);
  assert.deepEqual(record.ports, [{ name: 'http', port: 80, appProtocol: undefined }]);
});

test('a port that is opaque in the cluster of the peer is so here, by the annotation of its Service or without one', () => {
  const ports = [
    { name: 'http', port: 80, protocol: 'TCP' },
    { name: 'sql', port: 7000, protocol: 'TCP', opaque: true },
    { name: 'dns', port: 53, protocol: 'UDP', opaque: true },
    { name: 'queue', port: 7001, protocol: 'TCP', opaque: true },
  ];
  const annotations = (sent: Sent) => {
    const record = judged({ ...good, ...sent });
    assert.ok(!('reason' in record));
    return record.annotations;
  };
  assert.deepEqual(annotations({ ports }), { 'mesh.io/opaque-ports': '7000,7001' });
  const own = { 'mesh.io/opaque-ports': 'sql,queue' };
  assert.deepEqual(annotations({ ports, annotations: own }), own);
  assert.deepEqual(annotations({}), {});
});

test('flat endpoints are grouped by identity and port set', () => {
  const other = identityName({ serviceAccount: 'other', namespace: 'shop', cluster: 'west' });
  const record = judged({
    ...flat,
    flatEndpoints: [
      { address: '10.2.0.7', identity: pod, ports: [{ name: 'http', port: 8080 }] },
      { address: '10.2.0.8', identity: pod, ports: [{ name: 'http', port: 8080 }] },
      { address: '10.2.0.9', identity: other, ports: [{ name: 'http', port: 8080 }] },
    ],
  });
  assert.ok(!('reason' in record));
  assert.deepEqual(
    record.flat.map(({ identity, addresses }) => [identity, addresses]),
    [
      [pod, ['10.2.0.7', '10.2.0.8']],
      [other, ['10.2.0.9']],
    ],
  );
});

const endpoint = (change: object): Sent => ({
  ...flat,
  flatEndpoints: [{ address: '10.2.0.7', identity: pod, ports: [{ name: 'http', port: 8080 }], ...change }],
});

const refused: readonly [what: string, sent: Sent, reason: string, message: RegExp, spec?: LinkSpec][] = [
  ['a name with a dot', { ...good, name: 'cart.kube-system' }, 'InvalidName', /cart\.kube-system/],
  ['an empty name', { ...good, name: '' }, 'InvalidName', /no name/],
  ['a path as namespace', { ...good, namespace: '../etc' }, 'InvalidName', /\.\.\/etc/],
  ['kube-system', { ...good, namespace: 'kube-system' }, 'ProtectedNamespace', /kube-system/],
  ['the control plane', { ...good, namespace: 'mesh' }, 'ProtectedNamespace', /mesh/],
  [
    'a namespace that is not selected',
    good,
    'NamespaceNotSelected',
    /spec\.namespaces of Link west/,
    { ...link, namespaces: ['other'] },
  ],
  ['no port', { ...good, ports: [] }, 'InvalidPorts', /no TCP port/],
  ['only UDP', { ...good, ports: [{ name: 'dns', port: 53, protocol: 'UDP' }] }, 'InvalidPorts', /only TCP/],
  ['port 0', { ...good, ports: [{ name: 'http', port: 0 }] }, 'InvalidPorts', /"http"=0/],
  ['port 65536', { ...good, ports: [{ name: 'http', port: 65_536 }] }, 'InvalidPorts', /65536/],
  [
    'two ports of one name',
    {
      ...good,
      ports: [
        { name: 'a', port: 1 },
        { name: 'a', port: 2 },
      ],
    },
    'InvalidPorts',
    /"a"=2/,
  ],
  [
    'an unnamed port among several',
    {
      ...good,
      ports: [
        { name: 'a', port: 1 },
        { name: '', port: 2 },
      ],
    },
    'InvalidPorts',
    /""=2/,
  ],
  [
    'a port more than an EndpointSlice holds',
    { ...good, ports: Array.from({ length: 101 }, (_, index) => ({ name: `p${index}`, port: 1 + index })) },
    'InvalidPorts',
    /more than 100 TCP ports/,
  ],
  ['a mode of the future', { ...good, mode: 42 as Mode }, 'UnknownMode', /mode 42/],
  [
    'an identity of another cluster',
    endpoint({ identity: identityName({ serviceAccount: 'cart', namespace: 'shop', cluster: 'east' }) }),
    'ForeignIdentity',
    /expected one of cluster west/,
  ],
  [
    'an identity in the wrong form',
    endpoint({ identity: 'cart.shop.west.mesh.local' }),
    'ForeignIdentity',
    /expected one of cluster west/,
  ],
  ['no identity', endpoint({ identity: '' }), 'ForeignIdentity', /plaintext/],
  [
    'an address outside podCIDRs',
    endpoint({ address: '10.1.0.7' }),
    'AddressOutsidePodCIDRs',
    /10\.2\.0\.0\/16/,
  ],
  ['an address that is none', endpoint({ address: 'localhost' }), 'AddressOutsidePodCIDRs', /localhost/],
  [
    'flat endpoints without podCIDRs',
    flat,
    'AddressOutsidePodCIDRs',
    /none/,
    { cluster: 'west', gatewayAddresses: ['172.30.2.1'] },
  ],
  ['an endpoint without the port', endpoint({ ports: [] }), 'InvalidPorts', /"http"/],
  [
    'more pods than are taken',
    {
      ...flat,
      flatEndpoints: Array.from({ length: 10_001 }, (_, index) => ({
        address: `10.2.${index >> 8}.${index & 255}`,
        identity: pod,
        ports: [{ name: 'http', port: 8080 }],
      })),
    },
    'TooManyEndpoints',
    /10001 pods.*import_flat_endpoints/,
  ],
  [
    'a slice of its own for each of many pods',
    {
      ...flat,
      flatEndpoints: Array.from({ length: 101 }, (_, index) => ({
        address: `10.2.0.${index}`,
        identity: pod,
        ports: [{ name: 'http', port: 8080 + index }],
      })),
    },
    'TooManyEndpoints',
    /import_flat_groups/,
  ],
];

for (const [what, sent, reason, message, spec] of refused) {
  test(`refused: ${what}`, () => {
    const record = judged(sent, spec);
    assert.ok('reason' in record);
    assert.equal(record.reason, reason);
    assert.match(record.message, message);
  });
}

test('the gateway of a peer is always the identity of its cluster, whatever it sends', () => {
  assert.equal(
    gatewayIdentity('west'),
    'mesh-gateway.mesh-multicluster.serviceaccount.identity.mesh.west.mesh.local',
  );
});

test('no record, however odd, throws or brings a name that Kubernetes would refuse', () => {
  const word = fc.oneof(fc.string(), fc.constantFrom('shop', 'kube-system', 'a'.repeat(64), 'cart'));
  const sent = fc.record({
    namespace: word,
    name: word,
    mode: fc.integer({ min: 0, max: 5 }),
    ports: fc.array(fc.record({ name: word, port: fc.integer({ min: 0, max: 100_000 }), protocol: word }), {
      maxLength: 4,
    }),
    labels: fc.dictionary(word, word),
    flatEndpoints: fc.array(fc.record({ address: word, identity: word }), { maxLength: 3 }),
  });
  fc.assert(
    fc.property(sent, (each) => {
      const record = judged(each as Sent);
      if ('reason' in record) return;
      assert.match(record.name, /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
      assert.notEqual(record.namespace, 'kube-system');
      for (const { port } of record.ports) assert.ok(port >= 1 && port <= 65_535);
    }),
  );
});
