import type { Headers } from '@mesh/http/message';
import { ChunkLine } from './chunk-line.ts';
import type { Http1Fault } from './faults.ts';
import { readTrailers } from './fields.ts';
import { HeadBuffer } from './head-buffer.ts';
import type { Http1LimitValues } from './limits.ts';
import { Section } from './section.ts';

/** Told by a `MessageReader` what it found, in order. */
export interface MessageSink {
  /**
   * A head is complete: all its lines with CR LF, without the empty line. The section is valid during the call. Must call
   * one `begin…` method of the reader, or return what is wrong.
   */
  onHead(section: Section): Http1Fault | undefined;
  onBody(chunk: Buffer): void;
  /** The message is complete; the reader rests until `next`. */
  onMessageEnd(trailers: Headers | null): void;
}

type ReaderState =
  | 'head'
  | 'length'
  | 'chunk-line'
  | 'chunk-data'
  | 'chunk-end'
  | 'trailers'
  /** Body until the connection ends. */
  | 'close'
  /** Tunnel bytes, until the connection ends. */
  | 'tunnel'
  /** Waiting for the decision whether a tunnel follows. */
  | 'held'
  | 'done'
  | 'stopped';

const emptyLine = '\r\n\r\n';
/** Most heads are shorter: they are looked for in a string of this length, which they need to become anyway. */
const usualHeadBytes = 1024;

/**
 * The incremental HTTP/1 parser, for both roles: bytes in, calls to the sink or a fault out. It knows framing and
 * nothing of sockets; the result does not depend on how the bytes were split.
 */
export class MessageReader {
  readonly #sink: MessageSink;
  readonly #limits: Http1LimitValues;
  readonly #partial: HeadBuffer = new HeadBuffer();
  readonly #section: Section = new Section();
  readonly #line: ChunkLine = new ChunkLine();
  #state: ReaderState = 'head';
  /** Bytes left of a body with length, or of a chunk. */
  #remaining = 0;
  #fault: Http1Fault | undefined = undefined;

  constructor(sink: MessageSink, limits: Http1LimitValues) {
    this.#sink = sink;
    this.#limits = limits;
  }

  get fault(): Http1Fault | undefined {
    return this.#fault;
  }

  /** The last message is complete and `next` was not called. */
  get done(): boolean {
    return this.#state === 'done';
  }

  /** Part of a head was read. One empty line is not a part (RFC 9112 §2.2). */
  get insideHead(): boolean {
    return this.#state === 'head' && this.#partial.begun;
  }

  /** The end of the connection is the regular end of the message. */
  get endsWithConnection(): boolean {
    return this.#state === 'close' || this.#state === 'tunnel';
  }

  beginLength(bytes: number): void {
    this.#remaining = bytes;
    this.#state = 'length';
  }

  beginChunked(): void {
    this.#line.beginBody();
    this.#state = 'chunk-line';
  }

  beginClose(): void {
    this.#state = 'close';
  }

  beginTunnel(): void {
    this.#state = 'tunnel';
  }

  /** No byte is taken until `beginTunnel` or `finish`. */
  hold(): void {
    this.#state = 'held';
  }

  /** The message has no (further) body; nothing is reported. */
  finish(): void {
    this.#state = 'done';
  }

  /** Ready for the next head. */
  next(): void {
    this.#state = 'head';
  }

  /** Takes nothing any more. */
  stop(): void {
    this.#state = 'stopped';
    this.#partial.clear();
  }

  /**
   * Reads `chunk` from `start`. Returns the offset of the first byte not taken: less than the length when a message is
   * complete, when the reader holds, was stopped or found a fault.
   */
  read(chunk: Buffer, start: number): number {
    let at = start;
    while (at < chunk.length) {
      switch (this.#state) {
        case 'head':
          at = this.#readHead(chunk, at);
          break;
        case 'length':
        case 'chunk-data':
          at = this.#readCounted(chunk, at);
          break;
        case 'chunk-line':
          at = this.#readChunkLine(chunk, at);
          break;
        case 'chunk-end':
          at = this.#readChunkEnd(chunk, at);
          break;
        case 'trailers':
          at = this.#readTrailers(chunk, at);
          break;
        case 'close':
        case 'tunnel':
          this.#sink.onBody(at === 0 ? chunk : chunk.subarray(at));
          return chunk.length;
        default:
          return at;
      }
    }
    return at;
  }

  #fail(fault: Http1Fault, at: number): number {
    this.#fault = fault;
    this.stop();
    return at;
  }

  #readHead(chunk: Buffer, start: number): number {
    if (this.#partial.length > 0) return this.#readPartial(chunk, start);
    const text = chunk.toString('latin1', start, Math.min(chunk.length, start + usualHeadBytes));
    const end = text.indexOf(emptyLine);
    if (end !== -1) {
      this.#section.set(chunk, start, text, end + 2);
      return this.#headRead(start + end + 4);
    }
    if (chunk.length - start <= usualHeadBytes) return this.#readPartial(chunk, start);
    const longEnd = chunk.indexOf(emptyLine, start, 'latin1');
    if (longEnd === -1) return this.#readPartial(chunk, start);
    const at = longEnd + 4;
    if (at - start > this.#limits.http1_head_bytes) return this.#fail('head-too-large', start);
    this.#section.set(chunk, start, chunk.toString('latin1', start, longEnd + 2), longEnd + 2 - start);
    return this.#headRead(at);
  }

  /** A head that comes in pieces. */
  #readPartial(chunk: Buffer, start: number): number {
    const taken = this.#partial.take(chunk, start, this.#limits.http1_head_bytes);
    if (typeof taken === 'string') return this.#fail(taken, start);
    if (!this.#partial.complete) return taken;
    this.#partial.releaseTo(this.#section, 0);
    return this.#headRead(taken);
  }

  #headRead(at: number): number {
    const fault = this.#sink.onHead(this.#section);
    this.#section.clear();
    return fault === undefined ? at : this.#fail(fault, at);
  }

  #readCounted(chunk: Buffer, start: number): number {
    const available = chunk.length - start;
    const size = Math.min(available, this.#remaining);
    this.#remaining -= size;
    const counted = this.#state;
    const last = this.#remaining === 0;
    if (last && counted === 'chunk-data') {
      this.#remaining = 2;
      this.#state = 'chunk-end';
    }
    this.#sink.onBody(size === chunk.length ? chunk : chunk.subarray(start, start + size));
    if (last && counted === 'length' && this.#state === 'length') {
      this.#state = 'done';
      this.#sink.onMessageEnd(null);
    }
    return start + size;
  }

  #readChunkLine(chunk: Buffer, start: number): number {
    const taken = this.#line.take(chunk, start, this.#limits);
    if (typeof taken === 'string') return this.#fail(taken, start);
    if (!this.#line.done) return taken;
    if (this.#line.size === 0) {
      if (chunk[taken] === 0x0d && chunk[taken + 1] === 0x0a) {
        this.#state = 'done';
        this.#sink.onMessageEnd(null);
        return taken + 2;
      }
      this.#partial.beginAfterLine();
      this.#state = 'trailers';
    } else {
      this.#remaining = this.#line.size;
      this.#state = 'chunk-data';
    }
    return taken;
  }

  #readChunkEnd(chunk: Buffer, start: number): number {
    if (chunk[start] !== (this.#remaining === 2 ? 0x0d : 0x0a)) return this.#fail('bad-chunk-end', start);
    if (--this.#remaining === 0) {
      this.#line.begin();
      this.#state = 'chunk-line';
    }
    return start + 1;
  }

  #readTrailers(chunk: Buffer, start: number): number {
    const taken = this.#partial.take(chunk, start, this.#limits.http1_trailer_bytes);
    if (typeof taken === 'string') {
      return this.#fail(taken === 'head-too-large' ? 'trailer-too-large' : taken, start);
    }
    if (!this.#partial.complete) return taken;
    this.#partial.releaseTo(this.#section, 2);
    const trailers = readTrailers(this.#section, this.#limits.http1_header_count);
    this.#section.clear();
    if (typeof trailers === 'string') return this.#fail(trailers, start);
    this.#state = 'done';
    this.#sink.onMessageEnd(trailers);
    return taken;
  }
}
