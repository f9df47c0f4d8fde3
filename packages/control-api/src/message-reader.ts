/**
 * Length-prefixed messages (gRPC over HTTP/2, Length-Prefixed-Message): flag byte, 4-byte big-endian length, bytes.
 * Compression is not offered by us, so a set flag is a fault.
 */
import { ChunkList, joined } from '@mesh/http/chunk-list';
import { type GrpcCode, grpcCode } from './status.ts';

const prefixBytes = 5;

export interface MessageFault {
  readonly kind: 'fault';
  readonly code: GrpcCode;
  readonly message: string;
}

export type MessageResult = MessageFault | { readonly kind: 'messages'; readonly messages: Buffer[] };

export class MessageReader {
  readonly #limitBytes: number;
  #held: ChunkList = new ChunkList();
  #heldBytes = 0;
  #needed = prefixBytes;
  #inBody = false;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** True between messages; false at the end of a stream means that one was cut off. */
  get atBoundary(): boolean {
    return this.#heldBytes === 0 && !this.#inBody;
  }

  /** Takes the next bytes and returns the messages that they complete. After a fault the reader is dead. */
  push(chunk: Buffer): MessageResult {
    const messages: Buffer[] = [];
    let rest = chunk;
    while (rest.length > 0 || this.#needed === 0) {
      const taken = Math.min(rest.length, this.#needed - this.#heldBytes);
      if (taken > 0) {
        this.#held.add(rest.subarray(0, taken));
        this.#heldBytes += taken;
        rest = rest.subarray(taken);
      }
      if (this.#heldBytes < this.#needed) break;
      const part = this.#take();
      if (this.#inBody) {
        messages.push(part);
        this.#expect(prefixBytes, false);
        continue;
      }
      const fault = this.#readPrefix(part);
      if (fault !== undefined) return fault;
    }
    return { kind: 'messages', messages };
  }

  #readPrefix(prefix: Buffer): MessageFault | undefined {
    if (prefix.readUInt8(0) !== 0) {
      return {
        kind: 'fault',
        code: grpcCode.unimplemented,
        message: 'compressed messages are not supported',
      };
    }
    const length = prefix.readUInt32BE(1);
    if (length > this.#limitBytes) {
      return {
        kind: 'fault',
        code: grpcCode.resourceExhausted,
        message: `message of ${length} bytes is over the limit of ${this.#limitBytes} (grpc_message_bytes)`,
      };
    }
    this.#expect(length, true);
    return undefined;
  }

  #expect(bytes: number, inBody: boolean): void {
    this.#needed = bytes;
    this.#inBody = inBody;
  }

  #take(): Buffer {
    const chunks = [...this.#held];
    const [first] = chunks;
    const whole = first !== undefined && chunks.length === 1 ? first : joined(chunks);
    this.#held = new ChunkList();
    this.#heldBytes = 0;
    return whole;
  }
}

/** One message with its prefix. */
export function frameMessage(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(prefixBytes + message.length);
  framed.writeUInt8(0, 0);
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, prefixBytes);
  return framed;
}
