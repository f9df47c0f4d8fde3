import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, ipFromText } from '@mesh/control-api/convert';
import {
  type AuthzSchema,
  type HttpRouteSchema,
  ServerSchema,
} from '@mesh/control-api/gen/linkerd/inbound_pb';
import { identityName } from '@mesh/trust/names';
import type { InboundPolicy } from './config.ts';
import {
  defaultPolicy,
  inboundRefusal,
  isOpenPath,
  type ServerPolicy,
  serverPolicy,
} from './inbound-policy.ts';

const context = { cluster: 'east', suffix: 'mesh.local' };
const own = identityName({ serviceAccount: 'frontend', namespace: 'shop', cluster: 'east' });
const foreign = identityName({ serviceAccount: 'frontend', namespace: 'shop', cluster: 'west' });
const clients = [undefined, own, foreign, 'no-identity.example'];

const verdicts = (policy: ServerPolicy, address = '10.1.0.1'): (string | undefined)[] =>
  clients.map((identity) => inboundRefusal(policy, { identity, address }, context));

void test('each default policy admits exactly whom it names', () => {
  const byName = (name: InboundPolicy): (string | undefined)[] =>
    verdicts(defaultPolicy(name, { opaque: false, detectTimeoutMs: 1 }, context));
  assert.deepEqual(byName('all-unauthenticated'), [undefined, undefined, undefined, undefined]);
  assert.deepEqual(byName('all-authenticated'), ['unauthenticated', undefined, undefined, undefined]);
  assert.deepEqual(byName('cluster-authenticated'), [
    'unauthenticated',
    undefined,
    'foreign-cluster',
    'foreign-cluster',
  ]);
  assert.deepEqual(byName('deny'), ['denied', 'denied', 'denied', 'denied']);
});

type AuthzInit = MessageInitShape<typeof AuthzSchema>;
type RouteInit = MessageInitShape<typeof HttpRouteSchema>;

const network = (text: string, prefixLen: number) => ({ ip: ipFromText(text), prefixLen });
const everywhere = [{ net: network('0.0.0.0', 0) }, { net: network('::', 0) }];
const anybody = { permit: { case: 'unauthenticated' as const, value: {} } };
const identities = (names: string[], suffixes: string[][]) => ({
  permit: {
    case: 'meshTls' as const,
    value: {
      clients: {
        case: 'identities' as const,
        value: {
          identities: names.map((name) => ({ name })),
          suffixes: suffixes.map((parts) => ({ parts })),
        },
      },
    },
  },
});

function stated(authorizations: AuthzInit[], httpRoutes: RouteInit[] = []): ServerPolicy {
  const value = { timeout: durationFromMs(5000), httpRoutes };
  return serverPolicy(
    create(ServerSchema, { protocol: { kind: { case: 'detect', value } }, authorizations }),
    1000,
  );
}

void test('a stated policy admits by identity, suffix and network', () => {
  const listed = stated([{ networks: everywhere, authentication: identities([own], []) }]);
  assert.deepEqual(verdicts(listed), ['unauthenticated', undefined, 'foreign-cluster', 'foreign-cluster']);
  const other = stated([
    { networks: everywhere, authentication: identities(['x.y'], [['west', 'mesh', 'local']]) },
  ]);
  assert.deepEqual(verdicts(other), [
    'unauthenticated',
    'identity-not-allowed',
    undefined,
    'foreign-cluster',
  ]);
  const boundary = stated([
    { networks: everywhere, authentication: identities([], [['ast', 'mesh', 'local']]) },
  ]);
  assert.equal(verdicts(boundary)[1], 'identity-not-allowed', 'suffixes match whole labels');
  const all = stated([{ networks: everywhere, authentication: identities([], [[]]) }]);
  assert.deepEqual(verdicts(all), ['unauthenticated', undefined, undefined, undefined]);
  const near = stated([
    {
      networks: [{ net: network('10.0.0.0', 8), except: [network('10.9.0.0', 16)] }],
      authentication: anybody,
    },
  ]);
  assert.equal(verdicts(near, '10.1.0.1')[0], undefined);
  for (const address of ['10.9.0.1', '192.168.0.1', 'fd00::1', '']) {
    assert.equal(verdicts(near, address)[1], 'network-not-allowed', address);
  }
  assert.equal(near.detectTimeoutMs, 5000);
  assert.deepEqual(verdicts(stated([])), ['denied', 'denied', 'denied', 'denied']);
});

void test('an opaque port is opaque, whoever may call', () => {
  const opaque = serverPolicy(
    create(ServerSchema, { protocol: { kind: { case: 'opaque', value: {} } } }),
    1000,
  );
  assert.deepEqual([opaque.opaque, opaque.detectTimeoutMs, opaque.invalid], [true, 1000, false]);
});

void test('what cannot be read admits nobody', () => {
  for (const broken of [
    serverPolicy(
      create(ServerSchema, { authorizations: [{ networks: everywhere, authentication: anybody }] }),
      1000,
    ),
    serverPolicy(create(ServerSchema, { protocol: { kind: { case: 'detect', value: {} } } }), 1000),
    stated([{ networks: [], authentication: anybody }]),
    stated([{ networks: everywhere }]),
    stated([{ networks: [{ net: network('10.0.0.0', 33) }], authentication: anybody }]),
  ]) {
    assert.deepEqual(new Set(verdicts(broken)), new Set(['invalid-policy']));
  }
});

void test('probes are open where the rest is closed', () => {
  const probe = (path: string, value: 0 | 1): RouteInit => ({
    authorizations: [{ networks: everywhere, authentication: anybody }],
    rules: [
      {
        matches: [
          {
            path: { kind: { case: 'exact', value: path } },
            method: { type: { case: 'registered', value } },
          },
        ],
      },
    ],
  });
  const rest: RouteInit = { rules: [{ matches: [{ path: { kind: { case: 'prefix', value: '/' } } }] }] };
  const policy = stated(
    [{ networks: everywhere, authentication: identities([], [[]]) }],
    [probe('/ready', 0), probe('/grpc.health.v1.Health/Check', 1), rest],
  );
  const kubelet = { identity: undefined, address: '10.0.0.1' };
  for (const [method, path, open] of [
    ['GET', '/ready', true],
    ['GET', '/ready?deep=1', true],
    ['POST', '/ready', false],
    ['HEAD', '/ready', false],
    ['GET', '/ready/', false],
    ['GET', '/', false],
    ['GET', '/readyz', false],
    ['POST', '/grpc.health.v1.Health/Check', true],
    ['GET', '/grpc.health.v1.Health/Check', false],
    ['POST', '/grpc.health.v1.Health/Watch', false],
  ] as const) {
    assert.equal(isOpenPath(policy, { method, path }, kubelet), open, `${method} ${path}`);
  }
});
