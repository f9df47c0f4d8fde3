import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Compares `actual` with `golden/NAME` beside the test file. `UPDATE_GOLDEN=1` writes it instead.
 * @param testUrl `import.meta.url` of the test
 */
export function assertGolden(testUrl: string, name: string, actual: string): void {
  const file = join(dirname(fileURLToPath(testUrl)), 'golden', name);
  if (process.env['UPDATE_GOLDEN'] === '1') {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, actual);
    return;
  }
  assert.equal(actual, readFileSync(file, 'utf8'), `${file} differs; UPDATE_GOLDEN=1 accepts the new output`);
}
