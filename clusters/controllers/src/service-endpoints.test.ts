import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod, Service, Stored } from '@mesh/kube/types';
import { endpointGroups } from './service-endpoints.ts';

const meta = (name: string) => ({
  name,
  namespace: 'shop',
  uid: `uid-${name}`,
  resourceVersion: '1',
  creationTimestamp: '',
});

function pod(name: string, options: { ips: string[]; port?: number; phase?: string }): Stored<Pod> {
  const { ips, port, phase = 'Running' } = options;
  const [podIP] = ips;
  return {
    metadata: meta(name),
    spec: {
      containers: [
        { name: 'c', ...(port !== undefined && { ports: [{ name: 'web', containerPort: port }] }) },
      ],
    },
    status: { phase, podIPs: ips.map((ip) => ({ ip })), ...(podIP !== undefined && { podIP }) },
  };
}

function service(spec: Service['spec']): Stored<Service> {
  return { metadata: meta('cart'), ...(spec !== undefined && { spec }) };
}

const named = service({ ports: [{ name: 'http', port: 80, targetPort: 'web' }] });

test('pods that resolve a named port differently are grouped apart, and one without it has no port', () => {
  const groups = endpointGroups(
    named,
    [
      pod('a', { ips: ['10.0.0.1'], port: 8080 }),
      pod('b', { ips: ['10.0.0.2'], port: 9090 }),
      pod('c', { ips: ['10.0.0.3'], port: 8080 }),
      pod('d', { ips: ['10.0.0.4'] }),
    ],
    'IPv4',
  );
  const seen = groups.map(({ ports, endpoints }) => [
    ports.map(({ port }) => port),
    endpoints.map(({ addresses }) => addresses[0]),
  ]);
  assert.deepEqual(seen, [
    [[8080], ['10.0.0.1', '10.0.0.3']],
    [[9090], ['10.0.0.2']],
    [[], ['10.0.0.4']],
  ]);
});

test('pods without an address of the family, or ended for good, are left out', () => {
  const pods = [
    pod('both', { ips: ['10.0.0.1', 'fd00::1'], port: 8080 }),
    pod('none', { ips: [], port: 8080 }),
    pod('done', { ips: ['10.0.0.2'], port: 8080, phase: 'Succeeded' }),
  ];
  const addresses = (family: 'IPv4' | 'IPv6'): (string | undefined)[] =>
    endpointGroups(named, pods, family).flatMap(({ endpoints }) => endpoints.map((one) => one.addresses[0]));
  assert.deepEqual(addresses('IPv4'), ['10.0.0.1']);
  assert.deepEqual(addresses('IPv6'), ['fd00::1']);
});

test('a target port that is absent is the port itself, and unnamed ports have an empty name', () => {
  const [group] = endpointGroups(
    service({ ports: [{ port: 5432, protocol: 'TCP' }] }),
    [pod('a', { ips: ['10.0.0.1'] })],
    'IPv4',
  );
  assert.deepEqual(group?.ports, [{ name: '', port: 5432, protocol: 'TCP' }]);
});
