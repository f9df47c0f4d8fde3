import assert from 'node:assert/strict';
import { FrameReader, type FrameSink } from '@mesh/http2/frames';
import { frame, settings } from '@mesh/http2/testing/raw-peer';
import { cuts, type FuzzTarget } from '../target.ts';

const mostFrameBytes = 16_384;

class Frames implements FrameSink {
  readonly seen: string[] = [];

  onFrame(
    type: number,
    flags: number,
    streamId: number,
    source: Buffer,
    start: number,
    end: number,
  ): boolean {
    assert.ok(start >= 0 && end <= source.length && end - start <= mostFrameBytes);
    this.seen.push(`${type} ${flags} ${streamId} ${source.toString('latin1', start, end)}`);
    return type !== 0x7;
  }

  onOversizedFrame(): void {
    this.seen.push('oversized');
  }
}

/** Reads stop for good where `onFrame` or the size says so; `read` must not be called again then. */
function framesOf(reads: readonly Buffer[]): string[] {
  const sink = new Frames();
  const reader = new FrameReader(mostFrameBytes);
  for (const read of reads) {
    reader.read(read, 0, sink);
    const last = sink.seen.at(-1);
    if (last === 'oversized' || last?.startsWith('7 ')) break;
  }
  return sink.seen;
}

export const http2Frames: FuzzTarget = {
  name: 'http2-frames',
  what: 'frames out of any reads (RFC 9113 §4.1)',
  seeds: () => [Buffer.concat([settings([3, 100]), frame(0, 1, 1, 'body'), frame(6, 0, 0, Buffer.alloc(8))])],
  dictionary: [frame(0, 0, 1), frame(9, 4, 3, 'x'), Buffer.from([0, 0x40, 0]), Buffer.from([0, 0x40, 1])],
  run(input) {
    assert.deepEqual(framesOf(cuts(input)), framesOf([input]), 'other reads give other frames');
  },
};
