import assert from 'node:assert/strict';
import test from 'node:test';
import { create } from '@bufbuild/protobuf';
import { HttpMethod_Registered } from '@mesh/control-api/gen/linkerd/http_types_pb';
import { ServerSchema } from '@mesh/control-api/gen/linkerd/inbound_pb';
import { OutboundPolicySchema } from '@mesh/control-api/gen/linkerd/outbound_pb';
import { inboundPolicyNames, inboundServer } from './inbound-policy.ts';
import { ModelCluster, modelSettings } from './testing/model-cluster.ts';
import { outboundPolicy } from './outbound-policy.ts';

function serverOf(cluster: ModelCluster, port: number, settings = modelSettings) {
  const pod = cluster.pods.get('shop', 'cart-1');
  assert.ok(pod !== undefined);
  return create(
    ServerSchema,
    inboundServer({ pod, namespace: cluster.namespaces.get(undefined, 'shop'), port }, settings),
  );
}

function cluster(annotations: Record<string, string> = {}): ModelCluster {
  const made = new ModelCluster();
  made.pod({ name: 'cart-1', ip: '10.0.0.1', annotations });
  return made;
}

test('inbound: by default anybody, by detection', () => {
  const server = serverOf(cluster(), 8080);
  assert.equal(server.protocol?.kind.case, 'detect');
  assert.equal(server.authorizations.length, 1);
  assert.equal(server.authorizations[0]?.networks.length, 2);
  assert.equal(server.authorizations[0]?.authentication?.permit.case, 'unauthenticated');
  assert.deepEqual(server.labels, { group: '', kind: 'default', name: 'all-unauthenticated' });
  assert.equal(serverOf(cluster(), 3306).protocol?.kind.case, 'opaque');
});

test('inbound: the pod says more than its namespace, and that more than the setting', () => {
  const name = 'mesh.io/default-inbound-policy';
  assert.equal(serverOf(cluster(), 80, { ...modelSettings, inboundPolicy: 'deny' }).authorizations.length, 0);
  const made = cluster();
  made.namespaces.put({ metadata: { name: 'shop', annotations: { [name]: 'all-authenticated' } } });
  const permit = (from: ModelCluster) => {
    const found = serverOf(from, 80).authorizations[0]?.authentication?.permit;
    assert.equal(found?.case, 'meshTls');
    const clients = found.case === 'meshTls' ? found.value.clients : undefined;
    assert.equal(clients?.case, 'identities');
    return clients?.case === 'identities' ? clients.value.suffixes.map(({ parts }) => parts) : [];
  };
  assert.deepEqual(permit(made), [[]]);
  made.pod({ name: 'cart-1', ip: '10.0.0.1', annotations: { [name]: 'cluster-authenticated' } });
  assert.deepEqual(permit(made), [['east', 'mesh', 'local']]);
  made.pod({ name: 'cart-1', ip: '10.0.0.1', annotations: { [name]: 'no such policy' } });
  assert.deepEqual(permit(made), [[]]);
  for (const policy of inboundPolicyNames) {
    assert.equal(serverOf(cluster({ [name]: policy }), 80).labels['name'], policy);
  }
});

test('outbound: one route to the endpoints of the service', () => {
  const made = new ModelCluster();
  made.services.put({
    metadata: { name: 'cart', namespace: 'shop' },
    spec: {
      clusterIP: '10.96.0.1',
      ports: [
        { port: 80 },
        { port: 81, appProtocol: 'kubernetes.io/h2c' },
        { port: 82, appProtocol: 'http' },
        { port: 3306 },
      ],
    },
  });
  const service = made.services.get('shop', 'cart');
  assert.ok(service !== undefined);
  const at = (port: number) =>
    create(OutboundPolicySchema, outboundPolicy(made, { service, port }, modelSettings)).protocol?.kind;
  const kind = at(80);
  assert.equal(kind?.case, 'detect');
  const detect = kind?.case === 'detect' ? kind.value : undefined;
  assert.ok(detect?.timeout !== undefined && detect.opaque !== undefined && detect.http2 !== undefined);
  const distribution = detect.http1?.routes[0]?.rules[0]?.backends?.kind;
  assert.equal(distribution?.case, 'firstAvailable');
  const backend =
    distribution?.case === 'firstAvailable' ? distribution.value.backends[0]?.backend : undefined;
  const balancer = backend?.kind.case === 'balancer' ? backend.kind.value : undefined;
  assert.deepEqual(balancer?.discovery?.kind.value?.path, 'cart.shop.svc.cluster.local:80');
  assert.equal(backend?.queue?.capacity, 100);
  assert.equal(at(81)?.case, 'http2');
  assert.equal(at(82)?.case, 'http1');
  assert.equal(at(3306)?.case, 'opaque');
});

test('inbound: what a kubelet probes is open to all, on its port and by method and path', () => {
  const made = new ModelCluster();
  made.pod({ name: 'cart-1', ip: '10.0.0.1', annotations: { 'mesh.io/default-inbound-policy': 'deny' } });
  const pod = made.pods.get('shop', 'cart-1');
  assert.ok(pod?.spec !== undefined);
  const server = (port: number) =>
    create(
      ServerSchema,
      inboundServer(
        {
          pod: {
            ...pod,
            spec: {
              ...pod.spec,
              containers: [
                {
                  name: 'cart',
                  ports: [{ name: 'web', containerPort: 8080 }],
                  readinessProbe: { httpGet: { path: '/ready?deep=1', port: 'web' } },
                  livenessProbe: { httpGet: { port: 8080 } },
                  startupProbe: { httpGet: { path: '/tls', port: 8080, scheme: 'HTTPS' } },
                },
                { name: 'rpc', livenessProbe: { grpc: { port: 8080 } } },
              ],
            },
          },
          namespace: undefined,
          port,
        },
        modelSettings,
      ),
    );
  const kind = server(8080).protocol?.kind;
  const routes = kind?.case === 'detect' ? kind.value.httpRoutes : [];
  const shown = routes.map(({ authorizations, rules }) => [
    authorizations.map(({ authentication }) => authentication?.permit.case),
    rules.flatMap(({ matches }) => matches.map(({ path, method }) => [path?.kind.value, method?.type.value])),
  ]);
  assert.deepEqual(shown, [
    [['unauthenticated'], [['/', HttpMethod_Registered.GET]]],
    [['unauthenticated'], [['/ready', HttpMethod_Registered.GET]]],
    [['unauthenticated'], [['/grpc.health.v1.Health/Check', HttpMethod_Registered.POST]]],
    [[], [['/', undefined]]],
  ]);
  const other = server(9090).protocol?.kind;
  assert.deepEqual(other?.case === 'detect' ? other.value.httpRoutes : undefined, []);
});
