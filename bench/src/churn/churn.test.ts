/** The churn itself still works, and a short one leaves nothing behind. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { whyNoWorld } from '../testing/why-no-world.ts';

test('what came and went in a few seconds leaves no descriptor, connection or request', {
  skip: whyNoWorld() ?? false,
}, () => {
  const args = '--minutes 0.05 --rate 60'.split(' ');
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(import.meta.dirname, 'main.ts'), ...args],
    { encoding: 'utf8', timeout: 60_000 },
  );
  assert.equal(status, 0, stdout + stderr);
  assert.ok(Number(/(\d+) ended as they/.exec(stdout)?.[1]) > 10, stdout);
  assert.match(stdout, /nothing is left/);
});
