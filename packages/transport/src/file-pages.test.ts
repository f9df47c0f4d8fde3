import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { releaseFilePages, releaseFilePagesOfStart } from './file-pages.ts';

const leastReleased = 10e6;

/** RssFile of proc_pid_status(5), in bytes. */
function residentOfFiles(): number {
  return Number(/^RssFile:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]) * 1024;
}

test('what the start has read of files goes, and what is used again comes back as it was', () => {
  const digest = (): string => createHash('sha256').update('as before').digest('hex');
  const before = { resident: residentOfFiles(), digest: digest() };
  releaseFilePages();
  const released = before.resident - residentOfFiles();
  assert.ok(released > leastReleased, `only ${released} bytes went`);
  // Code and constants from all over the binary and its libraries, through relocated pointers.
  assert.equal(digest(), before.digest);
  assert.equal(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.type, 'private');
  assert.equal(new Intl.NumberFormat('en').format(1234.5), '1,234.5');
});

test('once, when the start is over', () => {
  const clock = new FakeClock();
  releaseFilePagesOfStart(clock);
  clock.advance(1999);
  const before = residentOfFiles();
  clock.advance(1);
  assert.ok(before - residentOfFiles() > leastReleased / 2);
  const after = residentOfFiles();
  clock.advance(60_000);
  assert.ok(residentOfFiles() >= after);
});
