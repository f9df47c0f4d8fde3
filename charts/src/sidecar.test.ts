import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dataPlaneFlags } from './program-command.ts';
import { injectionDecision, type PodTemplate, withSidecar } from './sidecar.ts';
import { resolveValues } from './values.ts';

const values = resolveValues({ cluster: 'east', anchors: 'PEM' });
const pod = (
  extra: Partial<NonNullable<PodTemplate['spec']>> = {},
  annotations?: Record<string, string>,
): PodTemplate => ({
  metadata: annotations === undefined ? {} : { annotations },
  spec: { containers: [{ name: 'app' }], ...extra },
});
const enabled = { 'mesh.io/inject': 'enabled' };

test('the namespace turns injection on, the pod has the last word', () => {
  assert.equal(injectionDecision(pod(), enabled).inject, true);
  assert.equal(injectionDecision(pod({}, { 'mesh.io/inject': 'disabled' }), enabled).inject, false);
  assert.equal(injectionDecision(pod({}, enabled), {}).inject, true);
  assert.equal(injectionDecision(pod(), {}).inject, false);
});

test('pods on the host network, of Windows and with a sidecar are left alone', () => {
  assert.equal(injectionDecision(pod({ os: { name: 'windows' } }), enabled).inject, false);
  assert.equal(injectionDecision(pod({ os: { name: 'linux' } }), enabled).inject, true);
  assert.equal(injectionDecision(pod({ hostNetwork: true }), enabled).inject, false);
  assert.equal(injectionDecision(withSidecar(pod(), values), enabled).inject, false);
});

test('the redirect comes first, then the native sidecar, then the init containers of the pod', () => {
  const injected = withSidecar(pod({ initContainers: [{ name: 'migrate' }] }), values);
  assert.deepEqual(
    injected.spec?.initContainers?.map(({ name, restartPolicy }) => [name, restartPolicy]),
    [
      ['mesh-init', undefined],
      ['mesh-proxy', 'Always'],
      ['migrate', undefined],
    ],
  );
  assert.deepEqual(
    injected.spec?.containers.map(({ name }) => name),
    ['app'],
  );
});

test('the proxy holds no capability and no root', () => {
  const proxy = withSidecar(pod(), values).spec?.initContainers?.[1];
  assert.deepEqual(proxy?.['securityContext'], {
    runAsUser: 2102,
    runAsGroup: 2102,
    runAsNonRoot: true,
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
    seccompProfile: { type: 'RuntimeDefault' },
  });
});

test('the redirect is root also in a pod that forbids root to its containers', () => {
  const injected = withSidecar(pod({ securityContext: { runAsNonRoot: true } }), values);
  const own = injected.spec?.initContainers?.[0]?.['securityContext'];
  assert.partialDeepStrictEqual(own, { runAsUser: 0, runAsNonRoot: false });
});

function setting(template: PodTemplate, wanted: string, container = 'mesh-proxy'): unknown {
  const found = template.spec?.initContainers?.find(({ name }) => name === container);
  const env = (found?.['env'] ?? []) as { name: string; value?: string }[];
  return env.find(({ name }) => name === wanted)?.value;
}

test("settings on the pod win over the namespace's, and those over the install's", () => {
  const opaque = (template: PodTemplate): unknown => setting(template, 'MESH_OPAQUE_PORTS');
  const key = 'mesh.io/opaque-ports';
  assert.equal(opaque(withSidecar(pod(), values)), values.opaquePorts.join(','));
  assert.equal(opaque(withSidecar(pod(), values, { [key]: '1' })), '1');
  assert.equal(opaque(withSidecar(pod({}, { [key]: '2' }), values, { [key]: '1' })), '2');
});

test('ports that annotations name are told by number, and what names no port not at all', () => {
  const containers = [{ name: 'db', ports: [{ name: 'mysql', containerPort: 3306 }] }];
  const list = 'mysql, 8000-8100,other,0,90-80';
  const annotations = { 'mesh.io/opaque-ports': list, 'mesh.io/skip-inbound-ports': list };
  const injected = withSidecar(pod({ containers }, annotations), values);
  assert.equal(setting(injected, 'MESH_OPAQUE_PORTS'), '3306,8000-8100');
  assert.equal(setting(injected, 'MESH_INIT_SKIP_INBOUND_PORTS', 'mesh-init'), '3306,8000-8100');
  const outbound = withSidecar(pod({ containers }, { 'mesh.io/skip-outbound-ports': `${list},` }), values);
  assert.equal(setting(outbound, 'MESH_INIT_SKIP_OUTBOUND_PORTS', 'mesh-init'), '8000-8100');
  const none = withSidecar(pod({}, { 'mesh.io/skip-inbound-ports': '' }), values);
  assert.equal(setting(none, 'MESH_INIT_SKIP_INBOUND_PORTS', 'mesh-init'), '');
});

test('how much may be in flight is said only where it was asked for', () => {
  const cap = (template: PodTemplate): unknown => setting(template, 'MESH_MAX_IN_FLIGHT');
  assert.equal(cap(withSidecar(pod(), values)), undefined);
  assert.equal(cap(withSidecar(pod({}, { 'mesh.io/max-in-flight': '200' }), values)), '200');
});

test('the engine and the allocator of the proxy are told to stay small', () => {
  const injected = withSidecar(pod(), values);
  assert.equal(setting(injected, 'MALLOC_ARENA_MAX'), '1');
  assert.deepEqual(injected.spec?.initContainers?.[1]?.['command'], [
    'node',
    ...dataPlaneFlags,
    '/opt/mesh/proxy.js',
  ]);
});

test('the proxy is told the TCP ports of the pod, each once', () => {
  const ports = [{ containerPort: 80 }, { containerPort: 53, protocol: 'UDP' }];
  const containers = [
    { name: 'cart', ports },
    { name: 'log', ports: [{ containerPort: 81, protocol: 'TCP' }, ...ports] },
    { name: 'none' },
  ];
  assert.equal(setting(withSidecar(pod({ containers }), values), 'MESH_INBOUND_PORTS'), '80,81');
});

test('ports of native sidecars are ports of the pod, those of other init containers are not', () => {
  const initContainers = [
    { name: 'cache', restartPolicy: 'Always', ports: [{ name: 'redis', containerPort: 6380 }] },
    { name: 'migrate', ports: [{ name: 'debug', containerPort: 9229 }] },
  ];
  const opaque = { 'mesh.io/opaque-ports': 'redis,debug' };
  const injected = withSidecar(pod({ initContainers }, opaque), values);
  assert.equal(setting(injected, 'MESH_INBOUND_PORTS'), '6380');
  assert.equal(setting(injected, 'MESH_OPAQUE_PORTS'), '6380');
});

test('the pod that came in is not changed', () => {
  const before = pod({ volumes: [{ name: 'data' }] });
  const copy = structuredClone(before);
  withSidecar(before, values);
  assert.deepEqual(before, copy);
});
