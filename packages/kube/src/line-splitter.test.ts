import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LineSplitter } from './line-splitter.ts';

function split(chunks: readonly Buffer[], maxBytes = 1000): { lines: string[]; ok: boolean } {
  const lines: string[] = [];
  const splitter = new LineSplitter(maxBytes, (line) => lines.push(line));
  return { ok: chunks.every((chunk) => splitter.push(chunk)), lines };
}

test('lines come out the same at every split, also inside a UTF-8 sequence', () => {
  const bytes = Buffer.from('{"a":1}\n\n{"b":"grün €"}\nrest');
  for (let at = 0; at <= bytes.length; at++) {
    const { lines } = split([bytes.subarray(0, at), bytes.subarray(at)]);
    assert.deepEqual(lines, ['{"a":1}', '{"b":"grün €"}']);
  }
});

test('lines come out the same byte by byte', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ minLength: 1 }).filter((text) => !text.includes('\n'))), (wanted) => {
      const bytes = Buffer.from(wanted.map((line) => `${line}\n`).join(''));
      const single = [...bytes].map((byte) => Buffer.from([byte]));
      const decoded = wanted.map((line) => Buffer.from(line).toString());
      assert.deepEqual(split(single).lines, decoded);
      assert.deepEqual(split([bytes]).lines, decoded);
    }),
  );
});

test('a line past the limit is refused whether it has ended or not', () => {
  assert.equal(split([Buffer.from('12345\n')], 5).ok, true);
  assert.equal(split([Buffer.from('123456\n')], 5).ok, false);
  assert.equal(split([Buffer.from('123'), Buffer.from('456')], 5).ok, false);
});
