import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { duplicateFields } from './duplicate-fields.ts';

test('duplicates are named by their path', () => {
  assert.deepEqual(duplicateFields('{"a":1,"a":2}'), ['a']);
  assert.deepEqual(duplicateFields('{"a":{"b":[{"c":1},{"c":1,"c" : 2}]}}'), ['a.b[1].c']);
  assert.deepEqual(duplicateFields('{"a":"{\\"a\\":1,","b":["a","a"],"c":{"a":1}}'), []);
  assert.deepEqual(duplicateFields('{"\\u0061":1,"a":2}'), ['a'], 'escapes are the same name');
});

test('property: what JSON.stringify writes has no duplicates', () => {
  fc.assert(
    fc.property(fc.json(), fc.integer({ min: 0, max: 4 }), (text, indent) => {
      assert.deepEqual(duplicateFields(JSON.stringify(JSON.parse(text), null, indent)), []);
    }),
  );
});
