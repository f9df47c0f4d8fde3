import assert from 'node:assert/strict';
import { pid } from 'node:process';
import { test } from 'node:test';
import { memoryParts, memoryUse } from './process-usage.ts';

test('machine code and what the allocator holds are parts of private memory', () => {
  const { codeBytes, mallocBytes } = memoryParts(pid);
  assert.ok(codeBytes > 100_000, `${codeBytes} bytes of code`);
  assert.ok(mallocBytes > 1_000_000, `${mallocBytes} bytes of the allocator`);
  assert.ok(codeBytes + mallocBytes < memoryUse(pid).privateBytes);
});
