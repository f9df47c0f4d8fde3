import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HeldBytes } from './held-bytes.ts';

test('what is read is what was added, in order, and slices stay what they were', () => {
  const steps = fc.array(
    fc.oneof(fc.record({ add: fc.uint8Array({ maxLength: 40 }) }), fc.record({ read: fc.nat(60) })),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(steps, (all) => {
      const held = new HeldBytes();
      let model = Buffer.alloc(0);
      const slices: [slice: Buffer, expected: string][] = [];
      for (const step of all) {
        if ('add' in step) {
          held.add(Buffer.from(step.add));
          model = Buffer.concat([model, step.add]);
        } else {
          const slice = (held.peek() ?? Buffer.alloc(0)).subarray(0, step.read);
          slices.push([slice, model.subarray(0, step.read).toString('hex')]);
          held.skip(slice.length);
          model = model.subarray(slice.length);
        }
        assert.equal(held.length, model.length);
        assert.deepEqual(held.peek() ?? Buffer.alloc(0), model);
      }
      for (const [slice, expected] of slices) assert.equal(slice.toString('hex'), expected);
    }),
  );
});
