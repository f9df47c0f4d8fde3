import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FrameReader } from './frames.ts';
import { frame } from './testing/raw-peer.ts';

interface Seen {
  type: number;
  flags: number;
  streamId: number;
  payload: string;
}

class Sink {
  readonly seen: Seen[] = [];
  oversized = 0;
  /** Frames to take before saying stop. */
  most = Infinity;

  onFrame(
    type: number,
    flags: number,
    streamId: number,
    source: Buffer,
    start: number,
    end: number,
  ): boolean {
    this.seen.push({ type, flags, streamId, payload: source.toString('latin1', start, end) });
    return this.seen.length < this.most;
  }

  onOversizedFrame(): void {
    this.oversized += 1;
  }
}

const three = [
  frame(0, 1, 1, 'hello'),
  frame(4, 0, 0),
  frame(0xff, 0xff, 0x7fffffff, 'x'.repeat(40)),
  frame(6, 0, 0, '12345678'),
];
const bytes = Buffer.concat(three);
const expected: Seen[] = [
  { type: 0, flags: 1, streamId: 1, payload: 'hello' },
  { type: 4, flags: 0, streamId: 0, payload: '' },
  { type: 0xff, flags: 0xff, streamId: 0x7fffffff, payload: 'x'.repeat(40) },
  { type: 6, flags: 0, streamId: 0, payload: '12345678' },
];

test('frames come out whole when the input is cut at any one place', () => {
  for (let cut = 0; cut <= bytes.length; cut++) {
    const sink = new Sink();
    const reader = new FrameReader();
    reader.read(bytes.subarray(0, cut), 0, sink);
    reader.read(bytes.subarray(cut), 0, sink);
    assert.deepEqual(sink.seen, expected, `cut at ${cut}`);
  }
});

test('frames come out whole when the input is cut anywhere', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 8 }), (cuts) => {
      const sink = new Sink();
      const reader = new FrameReader();
      let from = 0;
      for (const cut of [...cuts.sort((left, right) => left - right), bytes.length]) {
        reader.read(bytes.subarray(from, cut), 0, sink);
        from = cut;
      }
      assert.deepEqual(sink.seen, expected);
    }),
  );
});

test('a complete frame is passed in place', () => {
  let source: Buffer | undefined;
  new FrameReader().read(bytes, 0, {
    onFrame: (_type, _flags, _streamId, buffer) => {
      source = buffer;
      return true;
    },
    onOversizedFrame: () => {},
  });
  assert.equal(source, bytes);
});

test('a frame above the limit stops the reader before its payload', () => {
  const sink = new Sink();
  new FrameReader(16).read(
    Buffer.concat([frame(0, 0, 1, 'x'.repeat(16)), frame(0, 0, 1, 'x'.repeat(17))]),
    0,
    sink,
  );
  assert.equal(sink.seen.length, 1);
  assert.equal(sink.oversized, 1);
});

test('a sink can stop the reader in the middle of a read', () => {
  const sink = new Sink();
  sink.most = 2;
  new FrameReader().read(bytes, 0, sink);
  assert.equal(sink.seen.length, 2);
});
