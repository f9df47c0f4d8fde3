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

/** Fails the test when it leaves sockets, servers or timers behind. Call first, so that it runs after other clean-up. */
export function assertNoLeaks(test: TestContext): void {
  const before = active().length;
  test.after(async () => {
    await eventually('sockets and timers of the test are gone', () => active().length <= before, {
      timeoutMs: 3000,
    }).catch(() => {
      assert.fail(`left behind: ${active().join(', ')} (${before} before the test)`);
    });
  });
}
