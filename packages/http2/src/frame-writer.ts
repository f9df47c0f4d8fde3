import type { Headers } from '@mesh/http/message';
import { defaultMaxFrameBytes, frameFlag, frameType } from './frames.ts';
import { encodedBlock, HpackEncoder } from './hpack/encoder.ts';
import { Output } from './output.ts';

/** Told whenever a frame was queued. */
export interface FrameWriterOwner {
  schedule(): void;
}

/** Queues frames for the end of the turn (RFC 9113 §6). Header blocks are encoded in the order they are queued. */
export class FrameWriter {
  readonly output: Output = new Output();
  readonly encoder: HpackEncoder = new HpackEncoder();
  readonly #owner: FrameWriterOwner;

  constructor(owner: FrameWriterOwner) {
    this.#owner = owner;
  }

  /** Adds fields to the block begun with `encoder.begin()`. */
  fields(headers: Headers): void {
    for (let index = 0; index < headers.length; index += 2) {
      this.encoder.field(headers[index] as string, headers[index + 1] as string);
    }
  }

  /** Ends the block begun with `encoder.begin()` and queues it as HEADERS and CONTINUATION. */
  block(streamId: number, endStream: boolean): void {
    const { output } = this;
    const length = this.encoder.finish();
    const block = encodedBlock();
    let at = Math.min(length, defaultMaxFrameBytes);
    let flags = (endStream ? frameFlag.endStream : 0) | (at === length ? frameFlag.endHeaders : 0);
    output.header(frameType.headers, flags, streamId, at);
    output.appendCopy(block, 0, at);
    while (at < length) {
      const size = Math.min(length - at, defaultMaxFrameBytes);
      flags = at + size === length ? frameFlag.endHeaders : 0;
      output.header(frameType.continuation, flags, streamId, size);
      output.appendCopy(block, at, at + size);
      at += size;
    }
    this.#owner.schedule();
  }

  /** A DATA frame that carries only END_STREAM. */
  endStream(streamId: number): void {
    this.output.header(frameType.data, frameFlag.endStream, streamId, 0);
    this.#owner.schedule();
  }

  reset(streamId: number, code: number): void {
    this.output.header(frameType.rstStream, 0, streamId, 4);
    this.output.uint32(code);
    this.#owner.schedule();
  }

  settings(pairs: readonly (readonly [id: number, value: number])[]): void {
    this.output.header(frameType.settings, 0, 0, pairs.length * 6);
    for (const [id, value] of pairs) {
      this.output.uint16(id);
      this.output.uint32(value);
    }
    this.#owner.schedule();
  }

  settingsAck(): void {
    this.output.header(frameType.settings, frameFlag.ack, 0, 0);
    this.#owner.schedule();
  }

  /** A PING that carries `payload` in its last four bytes. */
  ping(payload: number): void {
    this.output.header(frameType.ping, 0, 0, 8);
    this.output.uint32(0);
    this.output.uint32(payload);
    this.#owner.schedule();
  }

  /** Sends back the eight bytes of a PING. */
  pingAck(source: Buffer, start: number, end: number): void {
    this.output.header(frameType.ping, frameFlag.ack, 0, 8);
    this.output.append(source, start, end);
    this.#owner.schedule();
  }

  goaway(lastStreamId: number, code: number): void {
    this.output.header(frameType.goaway, 0, 0, 8);
    this.output.uint32(lastStreamId);
    this.output.uint32(code);
    this.#owner.schedule();
  }

  windowUpdate(streamId: number, increment: number): void {
    this.output.header(frameType.windowUpdate, 0, streamId, 4);
    this.output.uint32(increment);
    this.#owner.schedule();
  }
}
