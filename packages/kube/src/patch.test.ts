import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { jsonEqual, mergeDiff, subsetDiff } from './patch.ts';

type Json = Record<string, unknown>;

/** RFC 7386, section 2. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const result: Json =
    typeof target === 'object' && target !== null && !Array.isArray(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

const leaf = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.boolean(), fc.array(fc.integer({ min: 0, max: 2 })));
const key = fc.constantFrom('a', 'b', 'c');
const document = fc.letrec<{ node: unknown }>((tie) => ({
  node: fc.oneof({ maxDepth: 3 }, leaf, fc.dictionary(key, tie('node'), { noNullPrototype: true })),
})).node;
const object = fc.dictionary(key, document, { noNullPrototype: true });

test('applying mergeDiff to the current value gives the desired value', () => {
  fc.assert(
    fc.property(object, object, (current, desired) => {
      const patch = mergeDiff(current, desired);
      if (patch === undefined) assert.ok(jsonEqual(current, desired));
      else assert.deepEqual(mergePatch(current, patch), { ...desired });
    }),
  );
});

test('after subsetDiff nothing is left to write', () => {
  fc.assert(
    fc.property(object, object, (current, desired) => {
      const patch = subsetDiff(current, desired);
      const after = patch === undefined ? current : mergePatch(current, patch);
      assert.equal(subsetDiff(after as Json, desired), undefined);
    }),
  );
});

test('subsetDiff leaves what servers default and others own', () => {
  const current = {
    metadata: { labels: { app: 'cart', theirs: 'x' } },
    spec: { ports: [{ name: 'http', port: 80, protocol: 'TCP' }], clusterIP: '10.0.0.1' },
  };
  const same = { metadata: { labels: { app: 'cart' } }, spec: { ports: [{ name: 'http', port: 80 }] } };
  assert.equal(subsetDiff(current, same), undefined);
  assert.deepEqual(subsetDiff(current, { spec: { ports: [{ name: 'http', port: 81 }] } }), {
    spec: { ports: [{ name: 'http', port: 81 }] },
  });
  assert.deepEqual(subsetDiff(current, { metadata: { labels: { theirs: null } } }), {
    metadata: { labels: { theirs: null } },
  });
  assert.equal(subsetDiff(current, { metadata: { annotations: {}, finalizers: [] } }), undefined);
});
