import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Endpoint } from '@mesh/kube/types';
import { assertGolden } from '@mesh/testkit/golden';
import { servicePorts } from './service-ports.ts';
import { renderServiceRules, type NodeNetwork, type ServicePort } from './service-rules.ts';

const network: NodeNetwork = {
  podCidr: '10.1.0.0/16',
  serviceCidr: '10.101.0.0/16',
  gatewayCidr: '172.30.1.0/24',
  uplink: 'eth0',
  localAddresses: ['10.101.0.1', '10.101.0.10'],
};

const cart: ServicePort = {
  key: 'shop/cart:tcp:80',
  protocol: 'tcp',
  addresses: ['10.101.0.7', '172.30.1.1'],
  port: 80,
  endpoints: [
    { address: '10.1.0.3', port: 8080 },
    { address: '10.1.0.2', port: 8080 },
    { address: '10.1.0.4', port: 8080 },
  ],
};
const idle: ServicePort = {
  key: 'shop/idle:udp:53',
  protocol: 'udp',
  addresses: ['10.101.0.8'],
  port: 53,
  endpoints: [],
};

void test('rules of a balanced service and of one without endpoints', () => {
  assertGolden(import.meta.url, 'service-rules.txt', renderServiceRules(network, [cart, idle]));
});

void test('the same services give the same text in any order', () => {
  const turned = { ...cart, endpoints: cart.endpoints.toReversed() };
  assert.equal(renderServiceRules(network, [cart, idle]), renderServiceRules(network, [idle, turned]));
});

void test('chances of n endpoints are 1/n, 1/(n-1), …, certain', () => {
  const chances = [...renderServiceRules(network, [cart]).matchAll(/--probability (\S+)/g)].map(([, text]) =>
    Number(text),
  );
  assert.deepEqual(chances, [0.3333333333, 0.5]);
});

void test('a service port takes the ready endpoints of its own port name', () => {
  const ports = servicePorts(
    {
      metadata: { name: 'cart', namespace: 'shop' },
      spec: {
        type: 'LoadBalancer',
        clusterIP: '10.101.0.7',
        ports: [
          { name: 'http', port: 80 },
          { name: 'sctp', port: 9, protocol: 'SCTP' },
        ],
      },
      status: { loadBalancer: { ingress: [{ ip: '172.30.1.1' }] } },
    },
    [
      {
        addressType: 'IPv4',
        ports: [
          { name: 'http', port: 8080 },
          { name: 'admin', port: 9990 },
        ],
        endpoints: [
          { addresses: ['10.1.0.2'], conditions: { ready: true } },
          { addresses: ['10.1.0.3'], conditions: { ready: false } },
          { addresses: ['10.1.0.4'] },
        ],
      },
      { addressType: 'IPv6', ports: [{ name: 'http', port: 8080 }], endpoints: [{ addresses: ['fd00::1'] }] },
    ],
  );
  assert.deepEqual(ports, [
    {
      key: 'shop/cart:tcp:80',
      protocol: 'tcp',
      addresses: ['10.101.0.7', '172.30.1.1'],
      port: 80,
      endpoints: [
        { address: '10.1.0.2', port: 8080 },
        { address: '10.1.0.4', port: 8080 },
      ],
    },
  ]);
});

void test('pods that end but still serve take what comes while no other is ready', () => {
  const ending = { addresses: ['10.1.0.2'], conditions: { ready: false, serving: true, terminating: true } };
  const starting = { addresses: ['10.1.0.3'], conditions: { ready: false, serving: false } };
  const addresses = (...endpoints: Endpoint[]): string[] | undefined =>
    servicePorts({ spec: { clusterIP: '10.101.0.7', ports: [{ port: 80 }] } }, [
      { addressType: 'IPv4', ports: [{ name: '', port: 8080 }], endpoints },
    ])[0]?.endpoints.map(({ address }) => address);
  assert.deepEqual(addresses(ending, starting), ['10.1.0.2']);
  assert.deepEqual(addresses(ending, { addresses: ['10.1.0.4'] }), ['10.1.0.4']);
  assert.deepEqual(addresses(starting), []);
});

void test('headless services have no rules', () => {
  assert.deepEqual(servicePorts({ spec: { clusterIP: 'None', ports: [{ port: 80 }] } }, []), []);
});
