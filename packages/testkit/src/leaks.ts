import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { eventually } from './eventually.ts';

const watched: ReadonlySet<string> = new Set([
  'TCPSocketWrap',
  'TCPServerWrap',
  'PipeWrap',
  'PipeServerWrap',
  'Timeout',
  'TLSWrap',
]);

function active(): string[] {
  return process.getActiveResourcesInfo().filter((resource) => watched.has(resource));
}

/**
 * Fails the test when it leaves sockets, servers or timers behind. Call it first: clean-up that is registered on the
 * test later runs before the check (node:test alone would run the check before it).
 */
export function assertNoLeaks(test: TestContext): void {
  const before = active().length;
  const cleanUp: (() => unknown)[] = [];
  test.after(async () => {
    for (const task of cleanUp) await task();
    await eventually('sockets and timers of the test are gone', () => active().length <= before, {
      timeoutMs: 3000,
    }).catch(() => {
      assert.fail(`left behind: ${active().join(', ')} (${before} before the test)`);
    });
  });
  Object.defineProperty(test, 'after', { value: (task: () => unknown) => void cleanUp.push(task) });
}
