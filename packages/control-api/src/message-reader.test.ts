import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { retainedBytes } from '@mesh/testkit/retained-bytes';
import { frameMessage, MessageReader } from './message-reader.ts';
import { grpcCode } from './status.ts';

function readAll(chunks: readonly Buffer[], limitBytes = 1000): Buffer[] {
  const reader = new MessageReader(limitBytes);
  const messages: Buffer[] = [];
  for (const chunk of chunks) {
    const result = reader.push(chunk);
    assert.equal(result.kind, 'messages');
    if (result.kind === 'messages') messages.push(...result.messages);
  }
  assert.ok(reader.atBoundary);
  return messages;
}

test('any split of a byte stream gives the same messages', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }),
      fc.array(fc.nat({ max: 250 }), { maxLength: 12 }),
      (messages, cuts) => {
        const bytes = Buffer.concat(messages.map(frameMessage));
        const chunks: Buffer[] = [];
        let from = 0;
        for (const cut of [...cuts.filter((at) => at <= bytes.length).sort((a, b) => a - b), bytes.length]) {
          chunks.push(bytes.subarray(from, cut));
          from = cut;
        }
        assert.deepEqual(
          readAll(chunks),
          messages.map((message) => Buffer.from(message)),
        );
      },
    ),
  );
});

test('byte by byte, with an empty message in between', () => {
  const bytes = Buffer.concat(['abc', '', 'd'].map((text) => frameMessage(Buffer.from(text))));
  const messages = readAll([...bytes].map((byte) => Buffer.from([byte])));
  assert.deepEqual(messages.map(String), ['abc', '', 'd']);
});

test('a message that comes byte by byte does not cost a buffer for each until it is whole', () => {
  const reader = new MessageReader(1_000_000);
  const bytes = frameMessage(Buffer.alloc(300_000));
  const before = retainedBytes();
  for (let at = 0; at < bytes.length - 1; at++) reader.push(Buffer.from(bytes.subarray(at, at + 1)));
  const held = retainedBytes() - before;
  assert.ok(held < 8_000_000, `${held} bytes are held of ${bytes.length}`);
  const result = reader.push(bytes.subarray(-1));
  assert.equal(result.kind === 'messages' && result.messages[0]?.length, 300_000);
});

test('a length over the limit is refused from its prefix alone', () => {
  const reader = new MessageReader(10);
  assert.equal(reader.push(frameMessage(Buffer.alloc(10))).kind, 'messages');
  const result = reader.push(Buffer.from([0, 0, 0, 0, 11]));
  assert.equal(result.kind, 'fault');
  if (result.kind === 'fault') assert.equal(result.code, grpcCode.resourceExhausted);
});

test('a compressed message is refused', () => {
  const result = new MessageReader(10).push(Buffer.from([1, 0, 0, 0, 0]));
  assert.equal(result.kind === 'fault' && result.code, grpcCode.unimplemented);
});

test('a cut message is not at a boundary', () => {
  const bytes = frameMessage(Buffer.from('hello'));
  for (let length = 1; length < bytes.length; length++) {
    const reader = new MessageReader(10);
    reader.push(bytes.subarray(0, length));
    assert.equal(reader.atBoundary, false, `after ${length} bytes`);
  }
});
