/** The bench itself still works: a short run of our own pair, in namespaces, with real certificates and our own driver. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { whyNoWorld } from './testing/why-no-world.ts';

test('a short run measures our pair and says so in a table', { skip: whyNoWorld() ?? false }, () => {
  const args = '--cells steady --only ours --seconds 1 --repeats 1 --warm-up 0'.split(' ');
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(import.meta.dirname, 'main.ts'), ...args],
    { encoding: 'utf8', timeout: 60_000 },
  );
  assert.equal(status, 0, stderr);
  const row = stdout.split('\n').find((line) => /^\| mesh \| \d/.test(line)) ?? '';
  const [, , rate = '', cpu = '', hops = '', ratio = '', latencies = ''] = row
    .split('|')
    .map((cell) => cell.trim());
  assert.ok(Number.parseFloat(rate) > 0, row);
  assert.ok(Number.parseFloat(cpu) > 0, row);
  assert.match(hops, /^outbound [\d.]+, inbound [\d.]+$/);
  assert.equal(ratio, '1.00');
  assert.match(latencies, /^[\d.]+ \/ [\d.]+ \/ [\d.]+$/);
});
