/** The answering half of a gRPC exchange: head, messages with back-pressure, status. */
import { create, type DescMessage, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import type { Headers, ServerStream } from '@mesh/http/message';
import type { LimitLedger } from '@mesh/limits/limits';
import type { GrpcLimit } from './limits.ts';
import { frameMessage } from './message-reader.ts';
import { encodeGrpcMessage, grpcCode, type GrpcStatus, okStatus } from './status.ts';

/** The sending end of a server stream. */
export interface GrpcSink<Output extends DescMessage> {
  /** False once ended or cancelled; further sends are dropped. */
  readonly open: boolean;
  /**
   * Sends one message. False: the client is slower than us, hold back until `onDrain`. Messages sent nevertheless
   * are queued up to `grpc_queued_messages`; beyond it the stream ends with RESOURCE_EXHAUSTED.
   */
  send(message: MessageInitShape<Output>): boolean;
  /** As `send`, of messages of `frameMessage`, one or more, that several streams send: they keep the same bytes. */
  sendFramed(framed: Buffer): boolean;
  /** Ends the stream, by default with OK, after what is queued. */
  end(status?: GrpcStatus): void;
  /** Called when there is room again after a `send` that returned false. */
  onDrain(task: () => void): void;
  /** Called once when the stream ends for any reason other than `end`. */
  onCancel(task: () => void): void;
}

interface ResponseSinkOptions {
  stream: ServerStream;
  output: DescMessage;
  limits: LimitLedger<GrpcLimit>;
  /** The status is on its way; the last call. */
  onFinished: (status: GrpcStatus) => void;
}

export class ResponseSink implements GrpcSink<DescMessage> {
  readonly #stream: ServerStream;
  readonly #output: DescMessage;
  readonly #limits: LimitLedger<GrpcLimit>;
  readonly #onFinished: (status: GrpcStatus) => void;
  readonly #queue: Buffer[] = [];
  #responded = false;
  #writable = true;
  #ending: GrpcStatus | undefined;
  #dead = false;
  #drainTask: (() => void) | undefined;
  #cancelTask: (() => void) | undefined;

  constructor({ stream, output, limits, onFinished }: ResponseSinkOptions) {
    this.#stream = stream;
    this.#output = output;
    this.#limits = limits;
    this.#onFinished = onFinished;
  }

  get open(): boolean {
    return !this.#dead && this.#ending === undefined;
  }

  send(message: MessageInitShape<DescMessage>): boolean {
    if (!this.open) return false;
    return this.sendFramed(frameMessage(toBinary(this.#output, create(this.#output, message))));
  }

  sendFramed(framed: Buffer): boolean {
    if (!this.open) return false;
    this.begin();
    if (this.#writable && this.#queue.length === 0) {
      this.#writable = this.#stream.write(framed);
      return this.#writable;
    }
    this.#queue.push(framed);
    if (this.#queue.length > this.#limits.values.grpc_queued_messages) {
      this.#limits.hit('grpc_queued_messages');
      this.abandon({
        code: grpcCode.resourceExhausted,
        message: 'the client reads too slowly (grpc_queued_messages)',
      });
    }
    return false;
  }

  end(status: GrpcStatus = okStatus): void {
    if (!this.open) return;
    this.#ending = status;
    this.#flush();
  }

  onDrain(task: () => void): void {
    this.#drainTask = task;
  }

  onCancel(task: () => void): void {
    this.#cancelTask = task;
  }

  /** Sends the response head, so that a client sees that its stream was accepted. */
  begin(): void {
    if (this.#responded || !this.open) return;
    this.#responded = true;
    this.#stream.respond({ status: 200, headers: ['content-type', 'application/grpc'] }, false);
  }

  /** The stream has room again. */
  drained(): void {
    if (this.#dead) return;
    this.#writable = true;
    this.#flush();
    if (this.open && this.#writable) this.#drainTask?.();
  }

  /** Ends the stream at once, dropping what is queued, and tells the writer. */
  abandon(status: GrpcStatus): void {
    if (this.#dead) return;
    this.#queue.length = 0;
    this.#finish(status);
    this.#cancelTask?.();
  }

  /** The stream is gone. */
  cancelled(): void {
    if (this.#dead) return;
    this.#dead = true;
    this.#onFinished({ code: grpcCode.cancelled, message: '' });
    this.#cancelTask?.();
  }

  #flush(): void {
    while (this.#writable) {
      const next = this.#queue.shift();
      if (next === undefined) break;
      this.#writable = this.#stream.write(next);
    }
    if (this.#ending !== undefined && this.#queue.length === 0 && !this.#dead) this.#finish(this.#ending);
  }

  #finish(status: GrpcStatus): void {
    this.#dead = true;
    this.#onFinished(status);
    if (this.#responded) this.#stream.end(statusHeaders(status));
    else this.#stream.respond(trailersOnly(status), true);
  }
}

function statusHeaders(status: GrpcStatus): Headers {
  const headers = ['grpc-status', String(status.code)];
  if (status.message !== '') headers.push('grpc-message', encodeGrpcMessage(status.message));
  return headers;
}

/** The head of an answer without messages. */
export function trailersOnly(status: GrpcStatus): { status: number; headers: Headers } {
  return { status: 200, headers: ['content-type', 'application/grpc', ...statusHeaders(status)] };
}
