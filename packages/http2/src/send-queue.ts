import { defaultMaxFrameBytes, frameFlag, frameType } from './frames.ts';
import type { Output } from './output.ts';
import type { Http2Stream } from './stream.ts';

/** What the queue tells the connection. */
export interface SendQueueOwner {
  /** The stream's queue is empty and its end was asked for: `endStream` says that the last DATA frame carried it. */
  onQueueEnd(stream: Http2Stream, endStream: boolean): void;
  onDataSent(): void;
}

/**
 * DATA waiting for windows and for room in the socket. Streams that can send stand in a ring and send one frame
 * per turn; a stream without window leaves it until the peer opens one.
 */
export class SendQueue {
  readonly #output: Output;
  readonly #owner: SendQueueOwner;
  /** The connection's send window (RFC 9113 §6.9). */
  window = 65_535;
  /** Streams with bytes queued. */
  waiting = 0;
  #first: Http2Stream | undefined;
  #last: Http2Stream | undefined;

  constructor(output: Output, owner: SendQueueOwner) {
    this.#output = output;
    this.#owner = owner;
  }

  /** True when `pump` could send something. */
  get sendable(): boolean {
    return this.#first !== undefined && this.window > 0;
  }

  /** Puts a stream with bytes and window at the end of the ring. */
  add(stream: Http2Stream): void {
    if (stream.inRing || stream.queued === 0 || stream.sendWindow <= 0) return;
    stream.inRing = true;
    stream.previousReady = this.#last;
    if (this.#last === undefined) this.#first = stream;
    else this.#last.nextReady = stream;
    this.#last = stream;
  }

  /** Takes a stream that is gone out of the ring: while the connection has no window nothing else would. */
  remove(stream: Http2Stream): void {
    if (!stream.inRing) return;
    const { previousReady: previous, nextReady: next } = stream;
    if (previous === undefined) this.#first = next;
    else previous.nextReady = next;
    if (next === undefined) this.#last = previous;
    else next.previousReady = previous;
    stream.previousReady = undefined;
    stream.nextReady = undefined;
    stream.inRing = false;
  }

  /** Moves frames to the output until it holds `mostBytes`, or nothing can be sent. */
  pump(mostBytes: number, lowWater: number): void {
    while (this.window > 0 && this.#output.bytes < mostBytes) {
      const stream = this.#first;
      if (stream === undefined) return;
      this.remove(stream);
      if (stream.queued === 0 || stream.sendWindow <= 0) continue;
      const size = Math.min(stream.queued, stream.sendWindow, this.window, defaultMaxFrameBytes);
      const last = size === stream.queued && stream.endQueued;
      const endStream = last && stream.trailers === null;
      this.#output.header(frameType.data, endStream ? frameFlag.endStream : 0, stream.id, size);
      stream.takeInto(this.#output, size);
      stream.sendWindow -= size;
      this.window -= size;
      stream.progressed = true;
      this.#owner.onDataSent();
      if (stream.queued === 0) this.waiting -= 1;
      else this.add(stream);
      if (last) {
        this.#owner.onQueueEnd(stream, endStream);
      } else if (stream.wantsDrain && stream.queued <= lowWater) {
        stream.wantsDrain = false;
        stream.handler.onDrain();
      }
    }
  }
}
