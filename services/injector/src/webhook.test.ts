import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveValues } from '@mesh/charts/values';
import { MeshError } from '@mesh/errors/mesh-error';
import { type Cluster, review } from './webhook.ts';

const cluster: Cluster = {
  values: async () => resolveValues({ cluster: 'east', anchors: 'PEM' }),
  namespaceAnnotations: (name) =>
    Promise.resolve(name === 'shop' ? { 'mesh.io/inject': 'enabled' } : name === 'plain' ? {} : undefined),
};
const request = (namespace: string): unknown => ({
  request: {
    uid: 'u1',
    namespace,
    object: { metadata: { name: 'cart' }, spec: { containers: [{ name: 'cart' }] } },
  },
});

test('a pod of an enabled namespace gets a patch that adds the sidecar', async () => {
  const { answer, outcome } = await review(request('shop'), cluster);
  assert.equal(outcome, 'injected');
  assert.equal(answer.response.uid, 'u1');
  assert.equal(answer.response.patchType, 'JSONPatch');
  const patch = JSON.parse(Buffer.from(answer.response.patch ?? '', 'base64').toString()) as {
    path: string;
    value: { initContainers?: { name: string }[] };
  }[];
  const spec = patch.find(({ path }) => path === '/spec');
  assert.deepEqual(
    spec?.value.initContainers?.map(({ name }) => name),
    ['mesh-init', 'mesh-proxy'],
  );
});

test('a pod elsewhere is allowed as it is', async () => {
  const { answer, outcome } = await review(request('plain'), cluster);
  assert.equal(outcome, 'skipped');
  assert.deepEqual(answer.response, { uid: 'u1', allowed: true });
});

test('an annotation with a value that means nothing is allowed with a warning the user sees', async () => {
  const asking = (value: string): unknown => ({
    request: {
      uid: 'u1',
      namespace: 'shop',
      object: {
        metadata: { annotations: { 'mesh.io/inject': value } },
        spec: { containers: [{ name: 'cart' }] },
      },
    },
  });
  const { answer, outcome } = await review(asking('true'), cluster);
  assert.equal(outcome, 'warned');
  assert.match(
    answer.response.warnings?.[0] ?? '',
    /mesh.io\/inject is "true", neither enabled nor disabled; the pod/,
  );
  assert.deepEqual((await review(asking('disabled'), cluster)).answer.response, { uid: 'u1', allowed: true });
});

test('an unknown namespace is allowed with a warning the user sees', async () => {
  const { answer, outcome } = await review(request('ghost'), cluster);
  assert.equal(outcome, 'warned');
  assert.match(answer.response.warnings?.[0] ?? '', /namespace ghost is not known/);
});

test('what is no review is refused', async () => {
  for (const body of [null, 1, {}, { request: {} }, { request: { uid: 'u', object: { spec: {} } } }]) {
    await assert.rejects(
      review(body, cluster),
      (thrown) => thrown instanceof MeshError && thrown.code === 'injector-review',
    );
  }
});
