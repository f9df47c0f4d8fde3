/** Targets with faults that the fuzzer must find, to test it. */
import type { FuzzTarget } from '../target.ts';

const seeds = (): Buffer[] => [Buffer.from('hello, world')];
const held: number[][] = [];

/** Four bytes that chance alone finds once in 2^32 inputs; each right one is a block of its own. */
function magic(input: Buffer): boolean {
  if (input[0] === 0x4d) {
    if (input[1] === 0x45) {
      if (input[2] === 0x53) {
        if (input[3] === 0x48) return true;
      }
    }
  }
  return false;
}

const planted: readonly FuzzTarget[] = [
  {
    name: 'planted-throw',
    what: 'throws',
    seeds,
    run(input) {
      if (magic(input)) throw new Error('the planted fault');
    },
  },
  {
    name: 'planted-rejection',
    what: 'rejects',
    seeds,
    run: (input) => (input[3] === 0xff ? Promise.reject(new Error('the planted fault')) : Promise.resolve()),
  },
  {
    name: 'planted-hang',
    what: 'never returns',
    seeds,
    run(input) {
      while (input[0] === 0x4d);
    },
  },
  {
    name: 'planted-growth',
    what: 'keeps more and more',
    seeds,
    run(input) {
      while (input[0] === 0x4d) held.push(Array.from({ length: 100_000 }, () => 1));
    },
  },
];

export default planted;
