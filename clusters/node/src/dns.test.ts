import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { EndpointSlice, Service } from '@mesh/kube/types';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { decode, encode, type Packet } from 'dns-packet';
import fc from 'fast-check';
import { answerDns, DnsServer } from './dns-server.ts';
import { DnsZone, type ServiceCatalog } from './dns-zone.ts';

const services: Record<string, Service> = {
  'shop/cart': {
    metadata: { name: 'cart', namespace: 'shop' },
    spec: { clusterIP: '10.101.0.7', ports: [{ name: 'http', port: 80 }] },
  },
  'shop/db': {
    metadata: { name: 'db', namespace: 'shop' },
    spec: { clusterIP: 'None', ports: [{ name: 'sql', port: 5432 }] },
  },
  'shop/empty': { metadata: { name: 'empty', namespace: 'shop' }, spec: { clusterIP: 'None' } },
  'shop/away': {
    metadata: { name: 'away', namespace: 'shop' },
    spec: { type: 'ExternalName', externalName: 'example.org' },
  },
  'shop/alias': {
    metadata: { name: 'alias', namespace: 'shop' },
    spec: { type: 'ExternalName', externalName: 'cart.shop.svc.cluster.local' },
  },
  'shop/circle': {
    metadata: { name: 'circle', namespace: 'shop' },
    spec: { type: 'ExternalName', externalName: 'circle.shop.svc.cluster.local' },
  },
};
const slices: Record<string, EndpointSlice[]> = {
  'shop/db': [
    {
      addressType: 'IPv4',
      ports: [{ name: 'sql', port: 5432 }],
      endpoints: [
        { addresses: ['10.1.0.2'], hostname: 'db-0' },
        { addresses: ['10.1.0.3'], hostname: 'db-1', conditions: { ready: false } },
        { addresses: ['10.1.0.4'] },
      ],
    },
  ],
};
const catalog: ServiceCatalog = {
  service: (namespace, name) => services[`${namespace}/${name}`],
  slices: (namespace, name) => slices[`${namespace}/${name}`] ?? [],
  hasNamespace: (namespace) => namespace === 'shop',
  byClusterIp: (address) => Object.values(services).find(({ spec }) => spec?.clusterIP === address),
};
const zone = new DnsZone('cluster.local', catalog);

function ask(name: string, type: 'A' | 'AAAA' | 'SRV' | 'PTR' | 'MX'): { code: string; data: unknown[] } {
  const query = encode({ type: 'query', id: 7, flags: 0x0100, questions: [{ type, name }] });
  const reply = answerDns(zone, query, 'udp');
  assert.ok(reply !== undefined);
  const packet = decode(reply) as Packet as Packet & { rcode: string };
  assert.equal(packet.id, 7);
  assert.deepEqual(packet.questions?.[0]?.name, name);
  return {
    code: packet.rcode,
    data: (packet.answers ?? []).map((answer) => ('data' in answer ? answer.data : '')),
  };
}

void test('a service has its ClusterIP, in any case of letters', () => {
  assert.deepEqual(ask('cart.shop.svc.cluster.local', 'A'), { code: 'NOERROR', data: ['10.101.0.7'] });
  assert.deepEqual(ask('Cart.SHOP.svc.Cluster.Local', 'A'), { code: 'NOERROR', data: ['10.101.0.7'] });
});

void test('IPv6 of a known name is an empty answer, so that resolvers take the IPv4 one', () => {
  assert.deepEqual(ask('cart.shop.svc.cluster.local', 'AAAA'), { code: 'NOERROR', data: [] });
  assert.deepEqual(ask('cart.shop.svc.cluster.local', 'MX'), { code: 'NOERROR', data: [] });
});

void test('unknown names do not exist, parents of known ones do', () => {
  for (const name of [
    'nope.shop.svc.cluster.local',
    'cart.other.svc.cluster.local',
    'x.cart.shop.svc.cluster.local',
  ]) {
    assert.equal(ask(name, 'A').code, 'NXDOMAIN', name);
  }
  for (const name of [
    'example.org',
    'cart.shop',
    'other.svc.cluster.local',
    'empty.shop.svc.cluster.local',
  ]) {
    assert.equal(ask(name, 'A').code, 'NXDOMAIN', name);
  }
  for (const name of ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local']) {
    assert.deepEqual(ask(name, 'A'), { code: 'NOERROR', data: [] }, name);
  }
});

void test('a headless service has its ready members, each by its own name too', () => {
  assert.deepEqual(ask('db.shop.svc.cluster.local', 'A').data, ['10.1.0.2', '10.1.0.4']);
  assert.deepEqual(ask('db-0.db.shop.svc.cluster.local', 'A').data, ['10.1.0.2']);
  assert.deepEqual(ask('10-1-0-4.db.shop.svc.cluster.local', 'A').data, ['10.1.0.4']);
  assert.equal(ask('db-1.db.shop.svc.cluster.local', 'A').code, 'NXDOMAIN');
});

void test('ports are SRV records, with the addresses of their targets', () => {
  assert.deepEqual(ask('_http._tcp.cart.shop.svc.cluster.local', 'SRV').data, [
    { priority: 0, weight: 100, port: 80, target: 'cart.shop.svc.cluster.local' },
  ]);
  assert.deepEqual(
    ask('_sql._tcp.db.shop.svc.cluster.local', 'SRV').data.map((data) => (data as { target: string }).target),
    ['db-0.db.shop.svc.cluster.local', '10-1-0-4.db.shop.svc.cluster.local'],
  );
  assert.equal(ask('_http._udp.cart.shop.svc.cluster.local', 'SRV').code, 'NXDOMAIN');
  assert.deepEqual(zone.answer('_http._tcp.cart.shop.svc.cluster.local', 'SRV').additional, [
    { type: 'A', name: 'cart.shop.svc.cluster.local', address: '10.101.0.7' },
  ]);
});

void test('addresses have names, external names are aliases', () => {
  assert.deepEqual(ask('7.0.101.10.in-addr.arpa', 'PTR').data, ['cart.shop.svc.cluster.local']);
  assert.equal(ask('8.0.101.10.in-addr.arpa', 'PTR').code, 'NXDOMAIN');
  assert.deepEqual(ask('away.shop.svc.cluster.local', 'A').data, ['example.org']);
});

void test('an alias of a service brings its address along: a stub resolver does not ask again', () => {
  const target = 'cart.shop.svc.cluster.local';
  assert.deepEqual(ask('alias.shop.svc.cluster.local', 'A').data, [target, '10.101.0.7']);
  assert.deepEqual(ask('alias.shop.svc.cluster.local', 'AAAA').data, [target]);
  assert.equal(ask('circle.shop.svc.cluster.local', 'A').code, 'NOERROR', 'a circle ends');
});

void test('a negative answer says how long it holds', () => {
  const query = encode({
    type: 'query',
    id: 1,
    questions: [{ type: 'A', name: 'no.shop.svc.cluster.local' }],
  });
  const [authority] = decode(answerDns(zone, query, 'udp') ?? Buffer.alloc(0)).authorities ?? [];
  assert.equal(authority?.type, 'SOA');
  assert.equal(authority?.type === 'SOA' ? authority.data.minimum : 0, 5);
});

void test('an answer that does not fit is cut and marked', () => {
  const many: ServiceCatalog = {
    ...catalog,
    slices: () => [
      {
        addressType: 'IPv4',
        endpoints: Array.from({ length: 100 }, (_, index) => ({ addresses: [`10.1.1.${index}`] })),
      },
    ],
  };
  const big = new DnsZone('cluster.local', many);
  const question = { type: 'A' as const, name: 'db.shop.svc.cluster.local' };
  const query = encode({ type: 'query', id: 1, questions: [question] });
  const cut = decode(answerDns(big, query, 'udp') ?? Buffer.alloc(0)) as Packet & { flag_tc: boolean };
  assert.equal(cut.flag_tc, true);
  assert.equal(cut.answers?.length, 0);
  assert.equal(decode(answerDns(big, query, 'tcp') ?? Buffer.alloc(0)).answers?.length, 100);
});

void test('no bytes make it throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      answerDns(zone, Buffer.from(bytes), 'udp');
    }),
  );
});

void test('over UDP and over TCP, byte by byte', async (t) => {
  const server = new DnsServer(zone, new FakeClock());
  t.after(() => server.close());
  const port = await server.listen('127.0.0.1', 0);
  const query = encode({
    type: 'query',
    id: 9,
    questions: [{ type: 'A', name: 'cart.shop.svc.cluster.local' }],
  });

  const udp = createSocket('udp4');
  t.after(() => udp.close());
  udp.send(query, port, '127.0.0.1');
  const [reply] = (await once(udp, 'message')) as [Buffer];
  assert.equal(decode(reply).id, 9);

  const tcp = connect({ host: '127.0.0.1', port, noDelay: true });
  t.after(() => tcp.destroy());
  await once(tcp, 'connect');
  const framed = Buffer.concat([Buffer.from([query.length >> 8, query.length & 255]), query]);
  for (const byte of framed) tcp.write(Buffer.from([byte]));
  const [head] = (await once(tcp, 'data')) as [Buffer];
  assert.equal(head.readUInt16BE(0), head.length - 2);
  assert.equal(decode(head.subarray(2)).answers?.length, 1);
});
