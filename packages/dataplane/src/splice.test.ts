import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { spareBufferBytes } from '@mesh/sockets/spare-buffers';
import { eventually } from '@mesh/testkit/eventually';
import { socketPair } from '@mesh/testkit/servers';
import { splice } from './splice.ts';

interface Joined {
  readonly near: Socket;
  readonly far: Socket;
  /** The proxy's ends. */
  readonly one: Socket;
  readonly other: Socket;
  closed(): number;
}

/** near ⇄ one, spliced to other ⇄ far. */
async function joined(test: TestContext): Promise<Joined> {
  const [near, one] = await socketPair(test);
  const [other, far] = await socketPair(test);
  for (const socket of [near, one, other, far]) socket.allowHalfOpen = true;
  let closed = 0;
  splice(one, other, () => closed++);
  return { near, far, one, other, closed: () => closed };
}

/** Bytes that differ everywhere, so that a lost, doubled or overwritten piece shows. */
function pattern(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let at = 0; at + 4 <= length; at += 4) bytes.writeUInt32LE(Math.imul(at, 2_654_435_761) >>> 0, at);
  return bytes;
}

function hashOf(socket: Socket): Promise<string> {
  const hash = createHash('sha256');
  socket.on('data', (chunk: Buffer) => hash.update(chunk));
  return once(socket, 'end').then(() => hash.digest('hex'));
}

void test('both directions at once arrive whole and in order, and each end passes on its own', async (t) => {
  const { near, far, closed } = await joined(t);
  const up = pattern(9_000_001 & ~3);
  const down = pattern(5_000_004).toReversed();
  const received = [hashOf(far), hashOf(near)];
  near.end(up);
  far.end(down);
  const [atFar, atNear] = await Promise.all(received);
  assert.equal(atFar, createHash('sha256').update(up).digest('hex'));
  assert.equal(atNear, createHash('sha256').update(down).digest('hex'));
  await eventually('both sides are gone', () => closed() === 1);
});

void test('a reader that stops holds the sender back, then gets everything', async (t) => {
  const { near, far, one, other } = await joined(t);
  const sent = pattern(48 * 1024 * 1024);
  near.end(sent);
  let before = -1;
  // The kernel's buffers fill; then nothing moves any more.
  await eventually(
    'the source is paused',
    () => {
      const still = one.bytesRead === before && one.bytesRead > 0;
      before = one.bytesRead;
      return still;
    },
    { intervalMs: 100 },
  );
  assert.ok(one.bytesRead < sent.length, `${one.bytesRead} of ${sent.length} bytes were read`);
  const collected = one.bytesRead - other.bytesWritten;
  assert.ok(collected <= 2 * spareBufferBytes, `${collected} bytes wait behind the buffer that leaves`);
  assert.equal(await hashOf(far), createHash('sha256').update(sent).digest('hex'));
  far.end();
});

void test('crumbs for a slow reader are collected, not queued one by one', async (t) => {
  const { near, far, other } = await joined(t);
  let written = 0;
  const write = other.write.bind(other) as (chunk: Buffer, done: (error?: Error | null) => void) => boolean;
  const held: (() => void)[] = [];
  // The far side takes nothing: no write is ever confirmed until the test says so.
  other.write = ((chunk: Buffer, done: (error?: Error | null) => void) => {
    written++;
    held.push(() => write(chunk, done));
    return true;
  }) as typeof other.write;
  for (let crumb = 0; crumb < 200; crumb++) {
    near.write(`${crumb} `);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(written, 1, 'one write is under way, the rest waits together');
  let text = '';
  far.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  const expected = Array.from({ length: 200 }, (_, crumb) => `${crumb} `).join('');
  await eventually('all crumbs arrive', () => {
    for (const go of held.splice(0)) go();
    return text === expected;
  });
  assert.ok(written < 10, `${written} writes`);
});

void test('a side that breaks takes the other with it', async (t) => {
  const { near, far, closed } = await joined(t);
  far.resume();
  far.on('end', () => far.end());
  near.resetAndDestroy();
  await eventually('both sides are gone', () => closed() === 1);
});
