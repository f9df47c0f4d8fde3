import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Container, Pod } from '@mesh/kube/types';
import { containerEnvironment, expandReferences, resourceField, type ClusterData } from './environment.ts';

const data: ClusterData = {
  configMap: (namespace, name) =>
    `${namespace}/${name}` === 'shop/settings' ? { data: { COLOR: 'red' } } : undefined,
  secret: (_namespace, name) =>
    name === 'login' ? { data: { password: Buffer.from('s3').toString('base64') } } : undefined,
  services: () => [
    { metadata: { name: 'my-db' }, spec: { clusterIP: '10.101.0.9', ports: [{ port: 5432 }] } },
  ],
};
const pod: Pod = {
  metadata: {
    name: 'cart-1',
    namespace: 'shop',
    uid: 'u-1',
    labels: { app: 'cart', 'mesh.io/x': 'y' },
    annotations: { note: 'a"b' },
  },
  spec: { nodeName: 'east-node', serviceAccountName: 'cart', containers: [] },
};

function environment(
  container: Partial<Container>,
  spec: object = {},
): Map<string, string> | { fault: string } {
  return containerEnvironment({
    pod: { ...pod, spec: { containers: [], ...pod.spec, ...spec } },
    container: { name: 'app', ...container },
    podIp: '10.1.0.2',
    hostIp: '100.64.255.1',
    data,
    apiAddress: '10.101.0.1',
  });
}

function values(container: Partial<Container>, spec: object = {}): Record<string, string> {
  const result = environment(container, spec);
  assert.ok(result instanceof Map, JSON.stringify(result));
  return Object.fromEntries(result);
}

void test('the downward API', () => {
  const field = (name: string, fieldPath: string): object => ({
    name,
    valueFrom: { fieldRef: { fieldPath } },
  });
  const env = values({
    env: [
      field('NAME', 'metadata.name'),
      field('UID', 'metadata.uid'),
      field('IP', 'status.podIP'),
      field('HOST', 'status.hostIP'),
      field('NODE', 'spec.nodeName'),
      field('SA', 'spec.serviceAccountName'),
      field('LABEL', "metadata.labels['mesh.io/x']"),
      field('NONE', "metadata.labels['absent']"),
      field('NOTES', 'metadata.annotations'),
    ] as Container['env'] & object,
  });
  assert.deepEqual(
    ['NAME', 'UID', 'IP', 'HOST', 'NODE', 'SA', 'LABEL', 'NONE', 'NOTES'].map((name) => env[name]),
    ['cart-1', 'u-1', '10.1.0.2', '100.64.255.1', 'east-node', 'cart', 'y', '', 'note="a\\"b"'],
  );
});

void test('ConfigMaps, Secrets and references between variables', () => {
  const env = values({
    envFrom: [{ prefix: 'CFG_', configMapRef: { name: 'settings' } }],
    env: [
      { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'login', key: 'password' } } },
      { name: 'URL', value: '$(CFG_COLOR):$(PASSWORD)@$(MISSING) $$(CFG_COLOR)' },
      { name: 'ABSENT', valueFrom: { configMapKeyRef: { name: 'none', key: 'x', optional: true } } },
    ],
  });
  assert.equal(env['URL'], 'red:s3@$(MISSING) $(CFG_COLOR)');
  assert.ok(!('ABSENT' in env));
});

void test('what is missing is named', () => {
  assert.deepEqual(
    environment({ env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'nope', key: 'x' } } }] }),
    {
      fault: 'secret "nope" not found',
    },
  );
  assert.deepEqual(
    environment({ env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'settings', key: 'x' } } }] }),
    {
      fault: "couldn't find key x in configmap shop/settings",
    },
  );
  assert.deepEqual(environment({ envFrom: [{ configMapRef: { name: 'nope' } }] }), {
    fault: 'configmap "nope" not found',
  });
});

void test('service variables, unless the pod wants none', () => {
  assert.equal(values({})['MY_DB_SERVICE_HOST'], '10.101.0.9');
  assert.equal(values({}, { enableServiceLinks: false })['MY_DB_SERVICE_HOST'], undefined);
  assert.equal(values({}, { enableServiceLinks: false })['KUBERNETES_SERVICE_HOST'], '10.101.0.1');
});

void test('only $(NAME) and $$ are special', () => {
  const env = new Map([['A', '1']]);
  assert.equal(expandReferences('$(A) $A ${A} $$(A) $$ $(', env), '1 $A ${A} $(A) $ $(');
});

void test('resources as whole numbers', () => {
  const container: Container = { name: 'a', resources: { limits: { cpu: '1500m', memory: '64Mi' } } };
  assert.equal(resourceField(container, { resource: 'limits.cpu' }), '2');
  assert.equal(resourceField(container, { resource: 'limits.memory' }), String(64 * 1024 * 1024));
  assert.equal(resourceField(container, { resource: 'requests.cpu' }), '0');
  assert.equal(resourceField(container, { resource: 'limits.memory', divisor: '1Mi' }), '64');
  assert.equal(resourceField(container, { resource: 'limits.memory', divisor: '1G' }), '1');
  assert.equal(resourceField(container, { resource: 'limits.cpu', divisor: '1m' }), '1500');
  assert.equal(resourceField(container, { resource: 'limits.cpu', divisor: '0' }), '2');
});
