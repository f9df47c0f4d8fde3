/** gRPC calls on our own HTTP/2 client (gRPC over HTTP/2): unary and server-streaming. */
import {
  create,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import type { Clock, Timer } from '@mesh/clock/clock';
import { getHeader } from '@mesh/http/headers';
import type {
  ClientConnection,
  ClientHandler,
  ClientStream,
  Headers,
  RequestHead,
  ResetReason,
  ResponseHead,
} from '@mesh/http/message';
import { LimitLedger } from '@mesh/limits/limits';
import { type GrpcLimit, grpcLimits } from './limits.ts';
import { frameMessage, MessageReader } from './message-reader.ts';
import {
  decodeGrpcMessage,
  GrpcError,
  grpcCode,
  type GrpcStatus,
  parseGrpcCode,
  statusOfHttp,
  statusOfReset,
} from './status.ts';
import { formatTimeout } from './timeout.ts';

export interface GrpcChannelOptions {
  /** Makes a connection, with TLS done. Rejections end the calls that waited for it with UNAVAILABLE. */
  connect: () => Promise<ClientConnection>;
  /** `:authority` of each call. */
  authority: string;
  clock: Clock;
  limits?: LimitLedger<GrpcLimit>;
}

export interface CallOptions {
  /** From now, connecting included; none when absent. */
  deadlineMs?: number;
  signal?: AbortSignal;
  /** Further request fields, name0, value0, …; lower-case names. */
  metadata?: Headers;
}

export interface StreamCallbacks<Output extends DescMessage> {
  onMessage(message: MessageShape<Output>): void;
  /** The last call; not made after `cancel`. */
  onEnd(status: GrpcStatus): void;
}

export interface RunningStream {
  /** Ends the stream; no callback is made any more. */
  cancel(): void;
}

/**
 * Calls to one server. Connects at the first call and again when a call finds no usable connection; waiting between
 * attempts is the caller's affair. Opens a further connection when the streams of the others are used up.
 */
export class GrpcChannel {
  readonly #options: GrpcChannelOptions;
  readonly #limits: LimitLedger<GrpcLimit>;
  readonly #connections: Set<ClientConnection> = new Set();
  #connecting: Promise<ClientConnection> | undefined;
  #closed = false;

  constructor(options: GrpcChannelOptions) {
    this.#options = options;
    this.#limits = options.limits ?? new LimitLedger(grpcLimits);
  }

  /** True while a usable connection is there. */
  get connected(): boolean {
    for (const connection of this.#connections) if (connection.usable) return true;
    return false;
  }

  /** Connects ahead of the first call; rejects with what connecting failed with. */
  async connect(): Promise<void> {
    await this.#connection();
  }

  /** Rejects with a GrpcError for any status other than OK. */
  unary<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodUnary<Input, Output>,
    input: MessageInitShape<Input>,
    options: CallOptions = {},
  ): Promise<MessageShape<Output>> {
    return new Promise((resolve, reject) => {
      let answer: MessageShape<Output> | undefined;
      let extra = false;
      this.#start(method, input, options, {
        onMessage(message) {
          extra = answer !== undefined;
          answer = message;
        },
        onEnd(status) {
          if (status.code !== grpcCode.ok) reject(new GrpcError(status.code, status.message));
          else if (answer === undefined || extra) {
            reject(new GrpcError(grpcCode.internal, 'a unary call must be answered by exactly one message'));
          } else resolve(answer);
        },
      });
    });
  }

  serverStream<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodServerStreaming<Input, Output>,
    input: MessageInitShape<Input>,
    callbacks: StreamCallbacks<Output>,
    options: CallOptions = {},
  ): RunningStream {
    return this.#start(method, input, options, callbacks);
  }

  /** Closes the connections; running calls end with UNAVAILABLE. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#connections) connection.destroy();
    this.#connections.clear();
  }

  #start<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodUnary<Input, Output> | DescMethodServerStreaming<Input, Output>,
    input: MessageInitShape<Input>,
    options: CallOptions,
    callbacks: StreamCallbacks<Output>,
  ): RunningStream {
    const body = frameMessage(toBinary(method.input, create(method.input, input)));
    const call = new Call(method.output, callbacks, options, this.#options.clock, this.#limits);
    const head = this.#head(`/${method.parent.typeName}/${method.name}`, options);
    this.#send(call, head, body).catch((thrown: unknown) => call.fail(connectStatus(thrown)));
    return call;
  }

  async #send(call: Call<DescMessage>, head: RequestHead, body: Buffer): Promise<void> {
    for (;;) {
      const connection = await this.#connection();
      // Calls that waited together may have used it up in the meantime.
      if (!call.waiting || (connection.usable && connection.capacity > 0)) {
        call.send(connection, head, body);
        return;
      }
    }
  }

  #head(path: string, { deadlineMs, metadata = [] }: CallOptions): RequestHead {
    const headers = ['te', 'trailers', 'content-type', 'application/grpc', ...metadata];
    if (deadlineMs !== undefined) headers.push('grpc-timeout', formatTimeout(deadlineMs));
    const { authority } = this.#options;
    return { method: 'POST', scheme: 'http', authority, path, headers, upgrade: '', version: 20 };
  }

  async #connection(): Promise<ClientConnection> {
    for (;;) {
      if (this.#closed) throw new GrpcError(grpcCode.unavailable, 'the channel is closed');
      for (const connection of this.#connections) {
        if (!connection.usable) this.#connections.delete(connection);
        else if (connection.capacity > 0) return connection;
      }
      if (this.#connections.size >= this.#limits.values.grpc_channel_connections) {
        this.#limits.hit('grpc_channel_connections');
        throw new GrpcError(
          grpcCode.resourceExhausted,
          'every connection of the channel is full (grpc_channel_connections)',
        );
      }
      this.#connecting ??= this.#connect();
      await this.#connecting;
    }
  }

  async #connect(): Promise<ClientConnection> {
    try {
      const connection = await this.#options.connect();
      if (this.#closed || !connection.usable) {
        connection.destroy();
        throw new GrpcError(grpcCode.unavailable, 'the connection ended at once');
      }
      // Who made the connection may watch it, too: the mirror leaves a gateway that drains.
      const { onChange } = connection;
      connection.onChange = () => {
        onChange();
        if (!connection.usable) this.#connections.delete(connection);
      };
      this.#connections.add(connection);
      return connection;
    } finally {
      this.#connecting = undefined;
    }
  }
}

function connectStatus(thrown: unknown): GrpcStatus {
  if (thrown instanceof GrpcError) return thrown.status;
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return { code: grpcCode.unavailable, message: `cannot connect: ${reason}` };
}

class Call<Output extends DescMessage> implements ClientHandler, RunningStream {
  readonly #output: Output;
  readonly #callbacks: StreamCallbacks<Output>;
  readonly #limits: LimitLedger<GrpcLimit>;
  readonly #reader: MessageReader;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => this.fail({ code: grpcCode.cancelled, message: 'the call was aborted' });
  #deadline: Timer | undefined;
  #stream: ClientStream | undefined;
  #done = false;

  constructor(
    output: Output,
    callbacks: StreamCallbacks<Output>,
    { deadlineMs, signal }: CallOptions,
    clock: Clock,
    limits: LimitLedger<GrpcLimit>,
  ) {
    this.#output = output;
    this.#callbacks = callbacks;
    this.#limits = limits;
    this.#reader = new MessageReader(limits.values.grpc_message_bytes);
    this.#signal = signal;
    if (deadlineMs !== undefined) {
      this.#deadline = clock.after(deadlineMs, () =>
        this.fail({ code: grpcCode.deadlineExceeded, message: `no answer within ${deadlineMs} ms` }),
      );
    }
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (signal?.aborted === true) queueMicrotask(this.#onAbort);
  }

  /** Neither sent nor ended. */
  get waiting(): boolean {
    return this.#stream === undefined && !this.#done;
  }

  send(connection: ClientConnection, head: RequestHead, body: Buffer): void {
    if (!this.waiting) return;
    this.#stream = connection.request(head, false, this);
    this.#stream.write(body);
    this.#stream.end(null);
  }

  cancel(): void {
    if (this.#done) return;
    this.#close();
    this.#stream?.reset('cancel');
  }

  /** Ends the call from our side. */
  fail(status: GrpcStatus): void {
    if (this.#done) return;
    this.cancel();
    this.#callbacks.onEnd(status);
  }

  onInform(): void {}
  onDrain(): void {}

  onResponse(head: ResponseHead, end: boolean): void {
    if (this.#done) return;
    const status = readStatus(head.headers);
    if (end) {
      this.#finish(status ?? statusOfHttp(head.status));
    } else if (head.status !== 200) {
      this.fail(status ?? statusOfHttp(head.status));
    } else if (!/^application\/grpc(?:$|[+;])/.test(getHeader(head.headers, 'content-type') ?? '')) {
      this.fail({ code: grpcCode.unknown, message: 'the answer is not gRPC' });
    }
  }

  onData(chunk: Buffer): void {
    this.#stream?.consume(chunk.length);
    if (this.#done) return;
    const result = this.#reader.push(chunk);
    if (result.kind === 'fault') {
      if (result.code === grpcCode.resourceExhausted) this.#limits.hit('grpc_message_bytes');
      this.fail(result);
      return;
    }
    for (const bytes of result.messages) {
      let message: MessageShape<Output>;
      try {
        message = fromBinary(this.#output, bytes);
      } catch {
        this.fail({ code: grpcCode.internal, message: 'a message of the answer could not be parsed' });
        return;
      }
      this.#callbacks.onMessage(message);
      if (this.#done) return;
    }
  }

  onEnd(trailers: Headers | null): void {
    if (this.#done) return;
    const status = readStatus(trailers ?? []);
    if (status?.code === grpcCode.ok && !this.#reader.atBoundary) {
      this.#finish({ code: grpcCode.internal, message: 'the answer ended within a message' });
      return;
    }
    this.#finish(status ?? { code: grpcCode.unknown, message: 'the answer ended without a gRPC status' });
  }

  onReset(reason: ResetReason): void {
    if (!this.#done) this.#finish(statusOfReset(reason));
  }

  #finish(status: GrpcStatus): void {
    this.#close();
    this.#callbacks.onEnd(status);
  }

  #close(): void {
    this.#done = true;
    this.#deadline?.cancel();
    this.#signal?.removeEventListener('abort', this.#onAbort);
  }
}

function readStatus(headers: Headers): GrpcStatus | undefined {
  const code = getHeader(headers, 'grpc-status');
  if (code === undefined) return undefined;
  return {
    code: parseGrpcCode(code),
    message: decodeGrpcMessage(getHeader(headers, 'grpc-message') ?? ''),
  };
}
