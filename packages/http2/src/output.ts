import { frameHeaderBytes, writeFrameHeader, writeUint32 } from './frames.ts';

/** Payloads up to this size are copied behind their frame header; larger ones travel as they are. */
const copyBytes = 4096;
const slabBytes = 16_384;

// What connections left of their slabs, each with the offset of its free end; connections that are idle hold none.
const spares: Buffer[] = [];
const spareEnds: number[] = [];
const mostSpares = 32;

/** Frames that wait for the end of the turn, to leave in one write. */
export class Output {
  #parts: Buffer[] = [];
  #slab: Buffer | undefined;
  #start = 0;
  #at = 0;
  #bytes = 0;

  /** Bytes that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A frame whose payload the caller then adds with `append`, `length` bytes in all. */
  header(type: number, flags: number, streamId: number, length: number): void {
    const slab = this.#room(frameHeaderBytes);
    writeFrameHeader(slab, this.#at, { length, type, flags, streamId });
    this.#advance(frameHeaderBytes);
  }

  /** Payload bytes; `source` must not change until they left, when there are more than 4096. */
  append(source: Buffer, start: number, end: number): void {
    const length = end - start;
    if (length <= copyBytes) {
      const slab = this.#room(length);
      source.copy(slab, this.#at, start, end);
      this.#advance(length);
      return;
    }
    this.#cut();
    this.#parts.push(start === 0 && end === source.length ? source : source.subarray(start, end));
    this.#bytes += length;
  }

  /** Payload bytes from a buffer that will be reused: always copied. */
  appendCopy(source: Buffer, start: number, end: number): void {
    for (let at = start; at < end; at += copyBytes) this.append(source, at, Math.min(end, at + copyBytes));
  }

  uint32(value: number): void {
    const slab = this.#room(4);
    writeUint32(slab, this.#at, value);
    this.#advance(4);
  }

  uint16(value: number): void {
    const slab = this.#room(2);
    slab[this.#at] = value >>> 8;
    slab[this.#at + 1] = value;
    this.#advance(2);
  }

  /** Everything that waits, in order; the output is empty afterwards. */
  take(): Buffer[] {
    this.#cut();
    if (this.#slab !== undefined && this.#slab.length - this.#at >= 1024 && spares.length < mostSpares) {
      spares.push(this.#slab);
      spareEnds.push(this.#at);
    }
    this.#slab = undefined;
    const parts = this.#parts;
    this.#parts = [];
    this.#bytes = 0;
    return parts;
  }

  #advance(bytes: number): void {
    this.#at += bytes;
    this.#bytes += bytes;
  }

  #room(bytes: number): Buffer {
    let slab = this.#slab;
    if (slab !== undefined && slab.length - this.#at >= bytes) return slab;
    this.#cut();
    slab = spares.pop();
    this.#at = spareEnds.pop() ?? 0;
    if (slab === undefined || slab.length - this.#at < bytes) {
      slab = Buffer.allocUnsafeSlow(slabBytes);
      this.#at = 0;
    }
    this.#slab = slab;
    this.#start = this.#at;
    return slab;
  }

  /** Closes the open stretch of the slab, so that what follows keeps its order. */
  #cut(): void {
    if (this.#slab === undefined || this.#at === this.#start) return;
    this.#parts.push(this.#slab.subarray(this.#start, this.#at));
    this.#start = this.#at;
  }
}
