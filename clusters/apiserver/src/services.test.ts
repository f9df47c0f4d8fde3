import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startFixture, type Answer, type ApiFixture } from './api-fixture.ts';
import { at, numberAt, textAt, type JsonObject } from './json.ts';

const services = '/api/v1/namespaces/default/services';

function create(api: ApiFixture, name: string, spec: JsonObject = {}): Promise<Answer> {
  return api.call(services, {
    body: {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name },
      spec: { ports: [{ port: 80 }], ...spec },
    },
  });
}

test('addresses are unique, kept, and given back', async (t) => {
  const api = await startFixture(t, { serviceCidr: '10.0.0.0/29' });
  const own = await api.call(`${services}/kubernetes`);
  assert.equal(at(own.body, 'spec', 'clusterIP'), '10.0.0.1');
  const names = ['a', 'b', 'c', 'd', 'e'];
  const answers = await Promise.all(names.map((name) => create(api, name)));
  const addresses = answers.map(({ body }) => textAt(body, 'spec', 'clusterIP'));
  assert.deepEqual(new Set(addresses), new Set(['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6']));
  const full = await create(api, 'f');
  assert.equal(full.code, 422);
  assert.match(full.text, /the range 10.0.0.0\/29 is full/);
  await api.call(`${services}/b`, { method: 'DELETE' });
  assert.equal(at((await create(api, 'f')).body, 'spec', 'clusterIP'), addresses[1]);
});

test('low addresses are left to those who ask for them', async (t) => {
  const api = await startFixture(t, { serviceCidr: '10.96.0.0/24' });
  const address = textAt((await create(api, 'a')).body, 'spec', 'clusterIP') ?? '';
  assert.ok(Number(address.split('.')[3]) > 16, `${address} leaves the address of the DNS server alone`);
  assert.equal((await create(api, 'dns', { clusterIP: '10.96.0.10' })).code, 201);
});

test('a stated address must be free and in range, and never changes', async (t) => {
  const api = await startFixture(t);
  assert.equal(
    at((await create(api, 'a', { clusterIP: '10.96.0.40' })).body, 'spec', 'clusterIP'),
    '10.96.0.40',
  );
  assert.match((await create(api, 'b', { clusterIP: '10.96.0.40' })).text, /already allocated/);
  assert.match((await create(api, 'b', { clusterIP: '10.9.0.40' })).text, /does not match the current range/);
  const moved = await api.patch(`${services}/a`, 'merge', { spec: { clusterIP: '10.96.0.41' } });
  assert.match(
    moved.text,
    /spec.clusterIPs\[0\]: Invalid value: \[\\"10.96.0.41\\"\]: may not change once set/,
  );
  const replaced = await api.call(`${services}/a`, {
    method: 'PUT',
    body: {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'a' },
      spec: { ports: [{ port: 81 }] },
    },
  });
  assert.equal(at(replaced.body, 'spec', 'clusterIP'), '10.96.0.40', 'left out of an update it is kept');
});

test('a load balancer waits for a controller to give it an address, and loses it with its type', async (t) => {
  const api = await startFixture(t);
  const first = await create(api, 'a', { type: 'LoadBalancer' });
  assert.deepEqual(at(first.body, 'status', 'loadBalancer'), {});
  const given = await api.patch(`${services}/a/status`, 'merge', {
    status: { loadBalancer: { ingress: [{ ip: '172.30.0.1' }] } },
  });
  assert.equal(textAt(given.body, 'status', 'loadBalancer', 'ingress', 0, 'ip'), '172.30.0.1');
  const plain = await api.patch(`${services}/a`, 'merge', { spec: { type: 'ClusterIP' } });
  assert.deepEqual(at(plain.body, 'status', 'loadBalancer'), {});
});

test('headless and external services have no address', async (t) => {
  const api = await startFixture(t);
  const headless = await create(api, 'h', { clusterIP: 'None' });
  assert.deepEqual(at(headless.body, 'spec', 'clusterIPs'), ['None']);
  const external = await create(api, 'e', { type: 'ExternalName', externalName: 'x.example.com' });
  assert.equal(at(external.body, 'spec', 'clusterIP'), undefined);
});

test('node ports are given out once, kept, and taken back with the type', async (t) => {
  const api = await startFixture(t);
  const port = (answer: Answer): number => numberAt(answer.body, 'spec', 'ports', 0, 'nodePort') ?? 0;
  const first = port(await create(api, 'a', { type: 'NodePort' }));
  assert.ok(first >= 30_000 && first <= 32_767);
  const asked = await create(api, 'b', { type: 'NodePort', ports: [{ port: 80, nodePort: first }] });
  assert.match(
    asked.text,
    /spec.ports\[0\].nodePort: Invalid value: \d+: provided port is already allocated/,
  );
  const outside = await create(api, 'b', { type: 'NodePort', ports: [{ port: 80, nodePort: 80 }] });
  assert.match(outside.text, /The range of valid ports is 30000-32767/);
  const replaced = await api.call(`${services}/a`, {
    method: 'PUT',
    body: {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'a' },
      spec: { type: 'NodePort', ports: [{ port: 80 }] },
    },
  });
  assert.equal(port(replaced), first, 'left out of an update it is kept');
  const none = await create(api, 'c', { type: 'LoadBalancer', allocateLoadBalancerNodePorts: false });
  assert.equal(port(none), 0);
  const plain = await api.patch(`${services}/a`, 'merge', { spec: { type: 'ClusterIP' } });
  assert.equal(port(plain), 0);
});
