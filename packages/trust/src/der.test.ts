import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { der, derInteger, derOid, DerReader, derTime, onlyElement, readOid, readTime, tags } from './der.ts';

test('property: what is written is read, at lengths of one to three bytes', () => {
  fc.assert(
    fc.property(fc.constantFrom(0, 1, 127, 128, 255, 256, 65_535, 65_536, 70_000), (length) => {
      const content = Buffer.alloc(length, 7);
      assert.ok(onlyElement(der(tags.octetString, content), tags.octetString)?.equals(content));
    }),
  );
});

test('property: object identifiers', () => {
  const arcs = fc.tuple(fc.nat(2), fc.nat(39), fc.array(fc.nat(2 ** 31 - 1), { minLength: 1, maxLength: 8 }));
  fc.assert(
    fc.property(arcs, ([first, second, rest]) => {
      const dotted = [first, second, ...rest].join('.');
      assert.equal(readOid(onlyElement(derOid(dotted), tags.oid) ?? Buffer.alloc(0)), dotted);
    }),
  );
});

test('property: times, before and after 2050', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: Date.UTC(2120, 0) / 1000 }), (seconds) => {
      const element = new DerReader(derTime(seconds * 1000)).next();
      assert.ok(element !== undefined);
      assert.equal(readTime(element), seconds * 1000);
    }),
  );
});

test('integers are minimal and positive', () => {
  assert.deepEqual(derInteger(Buffer.from([0, 0, 0x80])), Buffer.from([2, 2, 0, 0x80]));
  assert.deepEqual(derInteger(Buffer.from([0])), Buffer.from([2, 1, 0]));
});

const malformed: readonly (readonly [string, number[]])[] = [
  ['nothing', []],
  ['no length', [0x30]],
  ['indefinite length', [0x30, 0x80, 0, 0]],
  ['longer than the input', [0x30, 2, 0]],
  ['length not minimal, one byte', [0x04, 0x81, 1, 0]],
  ['length not minimal, two bytes', [0x04, 0x82, 0, 0x80, ...Buffer.alloc(128)]],
  ['length of four bytes', [0x04, 0x84, 0, 0, 0, 1, 0]],
  ['high tag number', [0x1f, 0x81, 0x01, 0]],
];

for (const [what, bytes] of malformed) {
  test(`refused: ${what}`, () => {
    const reader = new DerReader(Buffer.from(bytes));
    assert.equal(reader.next(), undefined);
    assert.equal(reader.next(), undefined);
  });
}

test('bad identifiers and times are refused', () => {
  assert.equal(readOid(Buffer.from([0x2a, 0x80, 0x01])), undefined, 'leading zero group');
  assert.equal(readOid(Buffer.from([0x2a, 0x81])), undefined, 'unfinished arc');
  assert.equal(readOid(Buffer.alloc(0)), undefined);
  for (const text of [
    '2601010000Z',
    '260101000000+0000',
    '261301000000Z',
    '260132000000Z',
    '260101240000Z',
  ]) {
    const content = Buffer.from(text);
    assert.equal(readTime({ tag: tags.utcTime, whole: content, content }), undefined, text);
  }
});
