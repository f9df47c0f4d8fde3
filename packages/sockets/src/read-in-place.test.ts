import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { eventually } from '@mesh/testkit/eventually';
import { socketPair } from '@mesh/testkit/servers';
import { sendBytesTo } from './read-in-place.ts';

void test('this Node reads in place, and what is lent is valid during the call', async (t) => {
  const [client, accepted] = await socketPair(t);
  const texts: string[] = [];
  let first: Buffer | undefined;
  const inPlace = sendBytesTo(
    {
      onBytes: (bytes, lent) => {
        assert.equal(lent, true);
        first ??= bytes;
        texts.push(bytes.toString('latin1'));
      },
    },
    accepted,
  );
  assert.equal(inPlace, true);
  accepted.resume();
  client.write('one');
  await eventually('the first read', () => texts.length === 1);
  client.write('two');
  await eventually('the second read', () => texts.length === 2);
  assert.deepEqual(texts, ['one', 'two']);
  assert.equal(
    first?.toString('latin1'),
    'two',
    'the buffer is shared, so whoever keeps bytes must copy them',
  );
});

void test('bytes that were looked at and put back come first, and are not lent', async (t) => {
  const [client, accepted] = await socketPair(t);
  client.write('looked at ');
  await once(accepted, 'readable');
  accepted.unshift(accepted.read() as Buffer);
  const seen: (readonly [string, boolean])[] = [];
  sendBytesTo({ onBytes: (bytes, lent) => void seen.push([bytes.toString('latin1'), lent]) }, accepted);
  client.write('later');
  accepted.removeAllListeners('readable');
  accepted.resume();
  await eventually('both parts', () => seen.length === 2);
  assert.deepEqual(seen, [
    ['looked at ', false],
    ['later', true],
  ]);
});

void test('a user may say what the next read fills, and keeps that', async (t) => {
  const [client, accepted] = await socketPair(t);
  const own = Buffer.alloc(64);
  const seen: { bytes: Buffer; lent: boolean }[] = [];
  sendBytesTo(
    {
      onBytes: (bytes, lent) => void seen.push({ bytes, lent }),
      nextBuffer: () => (seen.length === 1 ? own : undefined),
    },
    accepted,
  );
  accepted.resume();
  for (const [count, text] of ['lent', 'kept', 'lent again'].entries()) {
    client.write(text);
    await eventually(`read ${count + 1}`, () => seen.length === count + 1);
  }
  assert.deepEqual(
    seen.map(({ lent }) => lent),
    [true, false, true],
  );
  assert.equal(seen[1]?.bytes.buffer, own.buffer);
  assert.equal(own.toString('latin1', 0, 4), 'kept');
});

void test('a paused socket reads nothing, and counts, ends and closes like every socket', async (t) => {
  const [client, accepted] = await socketPair(t);
  let received = 0;
  sendBytesTo(
    {
      onBytes: (bytes) => {
        received += bytes.length;
        accepted.pause();
      },
    },
    accepted,
  );
  accepted.resume();
  const sent = 4 * 1024 * 1024;
  client.write(Buffer.alloc(sent));
  client.end();
  await eventually('the first read', () => received > 0);
  const before = received;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(received, before, 'nothing is read while paused');
  const ended = once(accepted, 'end');
  const going = setInterval(() => accepted.resume(), 0);
  t.after(() => clearInterval(going));
  await ended;
  assert.equal(received, sent);
  assert.equal(accepted.bytesRead, sent);
  accepted.end();
  await once(accepted, 'close');
});
