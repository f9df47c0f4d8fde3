import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { byteByByte, client, read, server } from './testing/reading.ts';
import { requestVectors, responseVectors } from './vectors/all.ts';

const seeds = [...requestVectors, ...responseVectors].filter(
  ({ bytes }) => bytes !== '' && bytes.length < 400,
);

test('arbitrary damage gives the same result however it is cut', () => {
  const damaged = fc
    .tuple(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(400), fc.constantFrom(...'\r\n :;,\0\t0aF\x80"'))),
      fc.array(fc.nat(400)),
    )
    .map(([vector, changes, cuts]) => {
      const input = Buffer.from(vector.bytes, 'latin1');
      for (const [at, character] of changes) input.write(character, at % input.length, 'latin1');
      const offsets = [...new Set(cuts.map((cut) => cut % input.length))].sort((a, b) => a - b);
      const pieces: Buffer[] = [];
      let from = 0;
      for (const offset of [...offsets, input.length]) {
        if (offset > from) pieces.push(input.subarray(from, offset));
        from = offset;
      }
      return { vector, input, pieces };
    });
  const good = new Set(['complete', 'waits', 'tunnel']);
  fc.assert(
    fc.property(damaged, ({ vector, input, pieces }) => {
      const whole = read(vector, [input]);
      for (const split of [pieces, byteByByte(input)]) {
        const reading = read(vector, split);
        assert.deepEqual(reading.sees, whole.sees);
        if (good.has(whole.ends)) assert.equal(reading.ends, whole.ends);
        else assert.ok(!good.has(reading.ends));
      }
    }),
    { numRuns: 1000 },
  );
});

test('noise neither throws nor loops', () => {
  fc.assert(
    fc.property(fc.constantFrom(client, server), fc.uint8Array({ maxLength: 300 }), (speaker, noise) => {
      const input = Buffer.from(noise);
      assert.deepEqual(read(speaker, [input]).sees, read(speaker, byteByByte(input)).sees);
    }),
    { numRuns: 500 },
  );
});
