/** HTTP/2 framing (RFC 9113 §4 and §6). */

export const frameType = {
  data: 0x0,
  headers: 0x1,
  priority: 0x2,
  rstStream: 0x3,
  settings: 0x4,
  pushPromise: 0x5,
  ping: 0x6,
  goaway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
} as const;

export const frameFlag = {
  endStream: 0x1,
  ack: 0x1,
  endHeaders: 0x4,
  padded: 0x8,
  priority: 0x20,
} as const;

export const frameHeaderBytes = 9;
/** The default SETTINGS_MAX_FRAME_SIZE, which is also the most we ever send. */
export const defaultMaxFrameBytes = 16_384;
export const maxStreamId = 0x7fffffff;
export const maxWindow = 0x7fffffff;

/** The client's connection preface (RFC 9113 §3.4). */
export const clientPreface: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

export interface FrameSink {
  /**
   * One complete frame; its payload is `source[start, end)`, valid as long as `source` is.
   * False stops reading.
   */
  onFrame(type: number, flags: number, streamId: number, source: Buffer, start: number, end: number): boolean;
  /** A frame header announced more than the size limit. Reading has stopped. */
  onOversizedFrame(): void;
}

/** Cuts a byte stream into frames. Payloads are passed in place unless a frame spans several reads. */
export class FrameReader {
  readonly #maxFrameBytes: number;
  readonly #header: Buffer = Buffer.alloc(frameHeaderBytes);
  #headerFilled = 0;
  #payload: Buffer | undefined;
  #payloadFilled = 0;

  constructor(maxFrameBytes: number = defaultMaxFrameBytes) {
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** Where reading stopped: the end of the chunk, unless the sink said so before. */
  read(chunk: Buffer, from: number, sink: FrameSink): number {
    let at = from;
    while (at < chunk.length || this.#headerFilled === frameHeaderBytes) {
      let header = chunk;
      let headerAt = at;
      if (this.#headerFilled > 0 || chunk.length - at < frameHeaderBytes) {
        const take = Math.min(frameHeaderBytes - this.#headerFilled, chunk.length - at);
        chunk.copy(this.#header, this.#headerFilled, at, at + take);
        this.#headerFilled += take;
        at += take;
        if (this.#headerFilled < frameHeaderBytes) return at;
        header = this.#header;
        headerAt = 0;
      } else {
        at += frameHeaderBytes;
      }
      const length =
        ((header[headerAt] as number) << 16) |
        ((header[headerAt + 1] as number) << 8) |
        (header[headerAt + 2] as number);
      if (length > this.#maxFrameBytes) {
        sink.onOversizedFrame();
        return at;
      }
      const type = header[headerAt + 3] as number;
      const flags = header[headerAt + 4] as number;
      const streamId =
        (((header[headerAt + 5] as number) & 0x7f) << 24) |
        ((header[headerAt + 6] as number) << 16) |
        ((header[headerAt + 7] as number) << 8) |
        (header[headerAt + 8] as number);
      let source = chunk;
      let start = at;
      if (this.#payload !== undefined || chunk.length - at < length) {
        if (header === chunk) {
          chunk.copy(this.#header, 0, headerAt, headerAt + frameHeaderBytes);
          this.#headerFilled = frameHeaderBytes;
        }
        this.#payload ??= Buffer.allocUnsafeSlow(length);
        const take = Math.min(length - this.#payloadFilled, chunk.length - at);
        chunk.copy(this.#payload, this.#payloadFilled, at, at + take);
        this.#payloadFilled += take;
        at += take;
        if (this.#payloadFilled < length) return at;
        source = this.#payload;
        start = 0;
        this.#payload = undefined;
        this.#payloadFilled = 0;
      } else {
        at += length;
      }
      this.#headerFilled = 0;
      if (!sink.onFrame(type, flags, streamId, source, start, start + length)) return at;
    }
    return at;
  }
}

/** Writes the nine bytes of a frame header at `at`. */
export function writeFrameHeader(
  target: Buffer,
  at: number,
  { length, type, flags, streamId }: { length: number; type: number; flags: number; streamId: number },
): void {
  target[at] = length >>> 16;
  target[at + 1] = length >>> 8;
  target[at + 2] = length;
  target[at + 3] = type;
  target[at + 4] = flags;
  writeUint32(target, at + 5, streamId);
}

export function writeUint32(target: Buffer, at: number, value: number): void {
  target[at] = value >>> 24;
  target[at + 1] = value >>> 16;
  target[at + 2] = value >>> 8;
  target[at + 3] = value;
}

/** An unsigned 32-bit number. */
export function readUint32(source: Buffer, at: number): number {
  return (
    (((source[at] as number) << 24) |
      ((source[at + 1] as number) << 16) |
      ((source[at + 2] as number) << 8) |
      (source[at + 3] as number)) >>>
    0
  );
}
