/**
 * gRPC services on our own HTTP/2 server (gRPC over HTTP/2): unary and server-streaming calls of a protobuf service.
 * It needs neither ALPN nor a scheme, because the proxies that dial it send none (docs/decisions/0002).
 */
import {
  type DescMessage,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import type { Clock, Timer } from '@mesh/clock/clock';
import { getHeader } from '@mesh/http/headers';
import type { Headers, RequestHead, RequestListener, ServerStream, StreamHandler } from '@mesh/http/message';
import type { LimitLedger } from '@mesh/limits/limits';
import type { GrpcLimit } from './limits.ts';
import { MessageReader } from './message-reader.ts';
import { type GrpcSink, ResponseSink, trailersOnly } from './response-sink.ts';
import { type GrpcCode, grpcCode, statusOf } from './status.ts';
import { parseTimeout } from './timeout.ts';

/** What a handler knows about its call. `Peer` is what the owner of the connection learned about the client. */
export interface GrpcCall<Peer> {
  readonly peer: Peer;
  readonly headers: Headers;
  /** Aborted when the call has ended: answered, cancelled, past its deadline, or its connection gone. */
  readonly signal: AbortSignal;
}

type Handler<Method, Peer> =
  Method extends DescMethodUnary<infer Input, infer Output>
    ? (
        request: MessageShape<Input>,
        call: GrpcCall<Peer>,
      ) => MessageInitShape<Output> | Promise<MessageInitShape<Output>>
    : Method extends DescMethodServerStreaming<infer Input, infer Output>
      ? (request: MessageShape<Input>, sink: GrpcSink<Output>, call: GrpcCall<Peer>) => void | Promise<void>
      : never;

/** One function per method of `Service`; thrown GrpcErrors become the status of the call, others INTERNAL. */
export type GrpcHandlers<Service extends DescService, Peer> = {
  readonly [Name in keyof Service['method']]: Handler<Service['method'][Name], Peer>;
};

interface Route<Peer> {
  readonly method: DescMethod;
  readonly run: (
    request: MessageShape<DescMessage>,
    sink: ResponseSink,
    call: GrpcCall<Peer>,
  ) => void | Promise<void>;
}

/** `/package.Service/Method` to what runs it; made by `grpcService`. */
export type GrpcRoutes<Peer> = ReadonlyMap<string, Route<Peer>>;

export function grpcService<Service extends DescService, Peer>(
  service: Service,
  handlers: GrpcHandlers<Service, Peer>,
): GrpcRoutes<Peer> {
  const routes = new Map<string, Route<Peer>>();
  const byName = handlers as Readonly<Record<string, unknown>>;
  for (const method of service.methods) {
    const handler = byName[method.localName];
    if (typeof handler !== 'function') continue;
    routes.set(`/${service.typeName}/${method.name}`, {
      method,
      run:
        method.methodKind === 'unary'
          ? async (request, sink, call) => {
              sink.send(await handler(request, call));
              sink.end();
            }
          : async (request, sink, call) => {
              const running: unknown = handler(request, sink, call);
              sink.begin();
              await running;
            },
    });
  }
  return routes;
}

export interface GrpcServerOptions<Peer> {
  /** What is known about the client of this connection. */
  peer: Peer;
  clock: Clock;
  limits: LimitLedger<GrpcLimit>;
  /** Called with faults of handlers that are not GrpcErrors, for the log. */
  onFault?: (path: string, thrown: unknown) => void;
  /** Called when a call ended, for metrics. */
  onDone?: (path: string, code: GrpcCode) => void;
}

/** Bytes of requests of one connection that are not complete yet. */
interface Incomplete {
  bytes: number;
}

/** The listener of one connection. */
export function serveGrpc<Peer>(
  services: readonly GrpcRoutes<Peer>[],
  options: GrpcServerOptions<Peer>,
): RequestListener {
  const incomplete: Incomplete = { bytes: 0 };
  return {
    onRequest(stream, head, end) {
      const type = getHeader(head.headers, 'content-type') ?? '';
      if (!/^application\/grpc(?:$|[+;])/.test(type)) {
        stream.respond({ status: 415, headers: [] }, true);
        return new Drained(stream);
      }
      if (head.method !== 'POST') {
        stream.respond({ status: 405, headers: ['allow', 'POST'] }, true);
        return new Drained(stream);
      }
      for (const routes of services) {
        const route = routes.get(head.path);
        if (route === undefined) continue;
        const exchange = new Exchange({ stream, head, route, incomplete }, options);
        if (end) exchange.onEnd();
        return exchange;
      }
      stream.respond(trailersOnly({ code: grpcCode.unimplemented, message: `no method ${head.path}` }), true);
      options.onDone?.('unknown', grpcCode.unimplemented);
      return new Drained(stream);
    },
    onClose() {},
  };
}

/** The rest of a request that was answered already; it is read and dropped so that others keep their window. */
class Drained implements StreamHandler {
  readonly #stream: ServerStream;

  constructor(stream: ServerStream) {
    this.#stream = stream;
  }

  onData(chunk: Buffer): void {
    this.#stream.consume(chunk.length);
  }

  onEnd(): void {}
  onReset(): void {}
  onDrain(): void {}
}

interface Asked<Peer> {
  readonly stream: ServerStream;
  readonly head: RequestHead;
  readonly route: Route<Peer>;
  readonly incomplete: Incomplete;
}

/** The reading half of one call, and what its handler is told about it. */
class Exchange<Peer> implements StreamHandler, GrpcCall<Peer> {
  readonly headers: Headers;
  readonly sink: ResponseSink;
  readonly #stream: ServerStream;
  readonly #path: string;
  readonly #route: Route<Peer>;
  readonly #options: GrpcServerOptions<Peer>;
  readonly #incomplete: Incomplete;
  /** Undefined once the request is complete, or of no more use. */
  #reader: MessageReader | undefined;
  /** What it was given. */
  #heldBytes = 0;
  readonly #abort = new AbortController();
  #request: Buffer | undefined;
  #deadline: Timer | undefined;
  #done = false;

  constructor({ stream, head, route, incomplete }: Asked<Peer>, options: GrpcServerOptions<Peer>) {
    this.#incomplete = incomplete;
    this.headers = head.headers;
    this.#stream = stream;
    this.#path = head.path;
    this.#route = route;
    this.#options = options;
    this.#reader = new MessageReader(options.limits.values.grpc_message_bytes);
    const { output } = route.method;
    this.sink = new ResponseSink({
      stream,
      output,
      limits: options.limits,
      onFinished: ({ code }) => this.#finished(code),
    });
    const timeout = getHeader(head.headers, 'grpc-timeout');
    const timeoutMs = timeout === undefined ? undefined : parseTimeout(timeout);
    if (timeoutMs !== undefined) {
      this.#deadline = options.clock.after(timeoutMs, () =>
        this.sink.abandon({ code: grpcCode.deadlineExceeded, message: 'the deadline of the caller passed' }),
      );
    }
  }

  get peer(): Peer {
    return this.#options.peer;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  onData(chunk: Buffer): void {
    this.#stream.consume(chunk.length);
    if (this.#done || this.#reader === undefined) return;
    const { limits } = this.#options;
    this.#heldBytes += chunk.length;
    this.#incomplete.bytes += chunk.length;
    if (this.#incomplete.bytes > limits.values.grpc_request_bytes) {
      limits.hit('grpc_request_bytes');
      const message = 'requests of this connection that are not complete hold too much (grpc_request_bytes)';
      this.sink.abandon({ code: grpcCode.resourceExhausted, message });
      return;
    }
    const result = this.#reader.push(chunk);
    if (result.kind === 'fault') {
      if (result.code === grpcCode.resourceExhausted) limits.hit('grpc_message_bytes');
      this.sink.abandon(result);
      return;
    }
    for (const message of result.messages) {
      if (this.#request !== undefined) {
        this.#refuse('more than one request message');
        return;
      }
      this.#request = message;
    }
  }

  onEnd(): void {
    if (this.#done) return;
    const message = this.#request;
    const whole = this.#reader?.atBoundary === true;
    this.#letGo();
    if (message === undefined || !whole) {
      this.#refuse('the request ended before its message was complete');
      return;
    }
    let request: MessageShape<DescMessage>;
    try {
      request = fromBinary(this.#route.method.input, message);
    } catch {
      this.#refuse('the request message could not be parsed');
      return;
    }
    void this.#run(request);
  }

  onReset(): void {
    this.sink.cancelled();
  }

  onDrain(): void {
    this.sink.drained();
  }

  async #run(request: MessageShape<DescMessage>): Promise<void> {
    try {
      await this.#route.run(request, this.sink, this);
    } catch (thrown) {
      const status = statusOf(thrown);
      if (status.code === grpcCode.internal) this.#options.onFault?.(this.#path, thrown);
      this.sink.end(status);
    }
  }

  #refuse(message: string): void {
    this.sink.abandon({ code: grpcCode.internal, message });
  }

  #letGo(): void {
    this.#request = undefined;
    this.#reader = undefined;
    this.#incomplete.bytes -= this.#heldBytes;
    this.#heldBytes = 0;
  }

  #finished(code: GrpcCode): void {
    this.#done = true;
    this.#letGo();
    this.#deadline?.cancel();
    this.#abort.abort();
    this.#options.onDone?.(this.#path, code);
  }
}
