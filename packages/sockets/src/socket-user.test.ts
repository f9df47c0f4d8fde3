import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { eventually } from '@mesh/testkit/eventually';
import { socketPair } from '@mesh/testkit/servers';
import { type SocketUser, useSocket } from './socket-user.ts';

class Recorder implements SocketUser {
  readonly seen: string[] = [];

  onBytes(bytes: Buffer): void {
    this.seen.push(bytes.toString('latin1'));
  }

  onSocketDrain(): void {
    this.seen.push('drain');
  }

  onSocketEnd(): void {
    this.seen.push('end');
  }

  onSocketFinish(): void {
    this.seen.push('finish');
  }

  onSocketClose(): void {
    this.seen.push('close');
  }
}

void test('each socket tells its own user, in order, and close last', async (t) => {
  const [client, accepted] = await socketPair(t);
  const ours = new Recorder();
  const theirs = new Recorder();
  useSocket(accepted, ours);
  useSocket(client, theirs);
  accepted.resume();
  client.resume();
  client.write('to us');
  await eventually('bytes', () => ours.seen.length === 1);
  // More than the kernel takes at once.
  accepted.write(Buffer.alloc(8 * 1024 * 1024));
  await eventually('drain', () => ours.seen.includes('drain'));
  client.end();
  await eventually('end', () => ours.seen.includes('end'));
  accepted.end();
  await eventually('close', () => ours.seen.includes('close'));
  assert.deepEqual(ours.seen, ['to us', 'drain', 'end', 'finish', 'close']);
  assert.deepEqual(
    theirs.seen.filter((what) => what.length < 10),
    ['finish', 'end', 'close'],
  );
});

void test('an error ends in close, not the process; users of one kind share the functions that are called', async (t) => {
  const [client, accepted] = await socketPair(t);
  const ours = new Recorder();
  useSocket(accepted, ours);
  useSocket(client, new Recorder());
  for (const event of ['data', 'drain', 'end', 'finish', 'close']) {
    assert.equal(accepted.listeners(event).at(-1), client.listeners(event).at(-1), event);
  }
  const closed = once(accepted, 'close');
  accepted.destroy(new Error('made up'));
  await assert.rejects(closed, /made up/);
  await eventually('close', () => ours.seen.includes('close'));
  assert.deepEqual(ours.seen, ['close']);
});
