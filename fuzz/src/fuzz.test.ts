/** Every target, for a moment: the corpus, then inputs that are the same in every run. `npm run fuzz` goes on from here. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@mesh/clock/seeded';
import { readCorpus } from './corpus.ts';
import { mutate } from './mutation.ts';
import targets from './targets.ts';

const mutated = 1500;

test('targets have names of their own, and something to begin with', () => {
  assert.equal(new Set(targets.map(({ name }) => name)).size, targets.length);
  for (const target of targets) assert.ok(readCorpus(target).length > 0, target.name);
});

for (const target of targets) {
  test(`fuzz ${target.name}: ${target.what}`, async () => {
    const corpus = readCorpus(target);
    for (const input of corpus) await target.run(input);
    const random = seededRandom(1);
    const pick = (): Buffer => corpus[Math.floor(random.next() * corpus.length)] ?? Buffer.alloc(0);
    for (let index = 0; index < mutated; index++) {
      const input = mutate(pick(), {
        random,
        mostBytes: target.mostBytes ?? 4096,
        dictionary: target.dictionary ?? [],
        other: pick(),
      });
      try {
        await target.run(input);
      } catch (thrown) {
        throw new Error(`${target.name} fails on ${input.toString('hex')}`, { cause: thrown });
      }
    }
  });
}
