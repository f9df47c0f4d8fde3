import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '@mesh/testkit/eventually';
import { retainedBytes } from '@mesh/testkit/retained-bytes';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { releaseFreeMemory, releaseFreeMemoryRegularly } from './free-memory.ts';

const blockBytes = 64 * 1024;
const blocks = 1200;

/** Fills the allocator's heap, then lets go of all but a block here and there, so that what is free lies between what is not. */
async function makeHoles(): Promise<Buffer[]> {
  const before = process.memoryUsage().arrayBuffers;
  let all = Array.from({ length: blocks }, (_, index) => Buffer.alloc(blockBytes, index + 1));
  const kept = all.filter((_, index) => index % 10 === 9);
  all = [];
  const most = before + (kept.length + 20) * blockBytes;
  await eventually('the other blocks are collected', () => {
    retainedBytes();
    return process.memoryUsage().arrayBuffers < most;
  });
  return kept;
}

test('what is free between what is used goes back to the system', async () => {
  const kept = await makeHoles();
  const before = process.memoryUsage().rss;
  releaseFreeMemory();
  const released = before - process.memoryUsage().rss;
  assert.ok(released > (blocks * blockBytes) / 3, `only ${released} bytes went back`);
  kept.forEach((block, index) => assert.equal(block[0], (index * 10 + 10) & 0xff));
});

test('each second, until the timer is cancelled', async () => {
  const clock = new FakeClock();
  const timer = releaseFreeMemoryRegularly(clock);
  const kept = await makeHoles();
  const before = process.memoryUsage().rss;
  clock.advance(1000);
  assert.ok(before - process.memoryUsage().rss > (blocks * blockBytes) / 3);
  timer.cancel();
  assert.equal(kept.length, blocks / 10);
});
