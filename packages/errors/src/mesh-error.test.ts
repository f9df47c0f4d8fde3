import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorCodes } from './codes.ts';
import { describeError, MeshError } from './mesh-error.ts';

test('an error without a remedy of its own has that of its code', () => {
  const plain = new MeshError('cli-not-ready', 'mesh/mesh-identity has 0 of 1 pods');
  assert.equal(
    describeError(plain),
    `mesh/mesh-identity has 0 of 1 pods\n  remedy: ${errorCodes['cli-not-ready'].remedy}`,
  );
  const own = new MeshError('cli-not-ready', 'too slow', { remedy: 'Raise --timeout.' });
  assert.equal(describeError(own), 'too slow\n  remedy: Raise --timeout.');
});

test('causes are told below the remedy, five deep', () => {
  let cause: unknown = 'the root';
  for (const name of ['six', 'five', 'four', 'three', 'two', 'one']) cause = new Error(name, { cause });
  const told = describeError(new MeshError('kube-api', 'refused', { remedy: 'Look.', cause }));
  assert.deepEqual(
    told.split('\n').map((line) => line.trim()),
    ['refused', 'remedy: Look.', 'cause: one', 'cause: two', 'cause: three', 'cause: four', 'cause: five'],
  );
});
