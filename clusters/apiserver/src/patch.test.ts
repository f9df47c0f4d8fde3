import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { configMap, startFixture } from './api-fixture.ts';
import { applyJsonPatch } from './json-patch.ts';
import { at, clone, deepEqual, isObject, textAt, type Json, type JsonObject } from './json.ts';
import { builtinTopology } from './list-topology.ts';
import { applyMergePatch } from './merge-patch.ts';
import { applyStrategicMerge } from './strategic-merge.ts';

const maps = '/api/v1/namespaces/default/configmaps';

const scalar: fc.Arbitrary<Json> = fc.oneof(fc.integer(), fc.string(), fc.boolean(), fc.constant(null));
const name = fc.constantFrom('a', 'b', 'c/d', 'e~f', '', '0', '__proto__');
const { tree } = fc.letrec<{ tree: Json; list: Json[]; object: JsonObject }>((tie) => ({
  tree: fc.oneof({ maxDepth: 4 }, scalar, tie('list'), tie('object')),
  list: fc.array(tie('tree'), { maxLength: 4 }),
  object: fc
    .array(fc.tuple(name, tie('tree')), { maxLength: 4 })
    .map((entries) => Object.fromEntries(entries)),
}));

const pointer = (path: readonly string[]): string =>
  path.map((step) => `/${step.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

/** The obvious patch from one document to another. */
function difference(from: Json, to: Json, path: readonly string[] = []): Json[] {
  if (deepEqual(from, to)) return [];
  if (!isObject(from) || !isObject(to)) return [{ op: 'replace', path: pointer(path), value: to }];
  const operations: Json[] = [];
  for (const key of Object.keys(from)) {
    if (!Object.hasOwn(to, key)) operations.push({ op: 'remove', path: pointer([...path, key]) });
  }
  for (const [key, value] of Object.entries(to)) {
    const before = Object.hasOwn(from, key) ? from[key] : undefined;
    if (before === undefined) operations.push({ op: 'add', path: pointer([...path, key]), value });
    else operations.push(...difference(before, value, [...path, key]));
  }
  return operations;
}

test('property: a JSON patch made from a difference leads to the other document', () => {
  fc.assert(
    fc.property(tree, tree, (from, to) => {
      const before = clone(from);
      const result = applyJsonPatch(from, difference(from, to));
      assert.ok(result.kind === 'ok' && deepEqual(result.value, to));
      assert.ok(deepEqual(from, before), 'the input is left alone');
    }),
  );
});

test('property: operations either apply or name a fault', () => {
  const path = fc.array(name, { maxLength: 3 }).map(pointer);
  const operation = fc.record({
    op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test'),
    path,
    from: path,
    value: tree,
  });
  fc.assert(
    fc.property(tree, fc.array(operation, { maxLength: 5 }), (document, operations) => {
      const result = applyJsonPatch(document, operations as Json[]);
      assert.ok(result.kind === 'ok' || result.fault !== '');
    }),
  );
});

test('property: a merge patch applied twice is the same as once, and holds no null it introduced', () => {
  fc.assert(
    fc.property(tree, tree, (document, patch) => {
      const once = applyMergePatch(document, patch);
      assert.ok(deepEqual(applyMergePatch(once, patch), once));
    }),
  );
});

test('examples of RFC 6902 and RFC 7396', () => {
  const json = (document: Json, patch: Json): Json | undefined => {
    const result = applyJsonPatch(document, patch);
    return result.kind === 'ok' ? result.value : undefined;
  };
  assert.deepEqual(json({ foo: ['a', 'c'] }, [{ op: 'add', path: '/foo/1', value: 'b' }]), {
    foo: ['a', 'b', 'c'],
  });
  assert.deepEqual(json({ foo: ['a'] }, [{ op: 'add', path: '/foo/-', value: 'b' }]), { foo: ['a', 'b'] });
  assert.deepEqual(json({ a: { b: 1 }, c: {} }, [{ op: 'move', from: '/a/b', path: '/c/d' }]), {
    a: {},
    c: { d: 1 },
  });
  assert.equal(json({ a: 1 }, [{ op: 'test', path: '/a', value: '1' }]), undefined);
  assert.equal(json({ a: 1 }, [{ op: 'add', path: '/b/c', value: 1 }]), undefined);
  assert.equal(json({ a: [1] }, [{ op: 'add', path: '/a/01', value: 1 }]), undefined);
  const merges: [Json, Json, Json][] = [
    [{ a: 'b' }, { a: null }, {}],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [1] }, { a: [2, 3] }, { a: [2, 3] }],
    [['a'], { a: 'b' }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [document, patch, expected] of merges) {
    assert.deepEqual(applyMergePatch(document, patch), expected);
  }
});

test('strategic merge joins lists by key and follows its directives', () => {
  const topology = builtinTopology('Deployment');
  const base: Json = {
    containers: [
      { name: 'a', image: '1', env: [{ name: 'X', value: '1' }], args: ['p', 'q'] },
      { name: 'b', image: '1' },
    ],
    finalizers: ['x', 'y'],
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } },
  };
  const patched = applyStrategicMerge(
    base,
    {
      containers: [
        { name: 'a', env: [{ name: 'Y', value: '2' }], args: ['r'] },
        { name: 'b', $patch: 'delete' },
        { name: 'c', image: '3' },
      ],
      '$setElementOrder/containers': [{ name: 'c' }, { name: 'a' }],
      finalizers: ['z'],
      '$deleteFromPrimitiveList/finalizers': ['x'],
      strategy: { $retainKeys: ['type'], type: 'Recreate' },
    },
    topology,
  );
  assert.deepEqual(patched, {
    containers: [
      { name: 'c', image: '3' },
      {
        name: 'a',
        image: '1',
        env: [
          { name: 'Y', value: '2' },
          { name: 'X', value: '1' },
        ],
        args: ['r'],
      },
    ],
    finalizers: ['y', 'z'],
    strategy: { type: 'Recreate' },
  });
});

test('patches over the wire: concurrent ones all land, a stated version is a precondition', async (t) => {
  const api = await startFixture(t);
  const created = await api.call(maps, { body: configMap('a') });
  await Promise.all(
    Array.from({ length: 10 }, (_, index) =>
      api.patch(`${maps}/a`, 'merge', { data: { [`k${index}`]: 'v' } }),
    ),
  );
  const read = await api.call(`${maps}/a`);
  assert.equal(Object.keys(at(read.body, 'data') ?? {}).length, 10);
  const resourceVersion = textAt(created.body, 'metadata', 'resourceVersion') ?? '';
  const stale = await api.patch(`${maps}/a`, 'merge', { metadata: { resourceVersion }, data: { x: '1' } });
  assert.equal(stale.code, 409);
  const tested = await api.patch(`${maps}/a`, 'json', [{ op: 'test', path: '/data/k1', value: 'w' }]);
  assert.equal(tested.code, 422);
  assert.equal((await api.patch(`${maps}/a`, 'json', { op: 'add' })).code, 400);
  const type = await api.call(`${maps}/a`, {
    method: 'PATCH',
    body: {},
    headers: { 'content-type': 'text/plain' },
  });
  assert.equal(type.code, 415);
});
