/** The application of the gRPC cases, on grpc-js: answers what the instruction of each message asks for. */
import type { TestContext } from 'node:test';
import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  ServerMetricRecorder,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type sendUnaryData,
  type StatusObject,
  type ServerWritableStream,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import { eventually } from '@mesh/testkit/eventually';
import { decodePayload, encodePayload, type Payload, payloadOf } from './grpc-payload.ts';

export const serviceName = 'mesh.interop.TestService';

/** Fields that the application sends back, in its first and its last header block. */
export const echoInitial = 'x-echo-initial';
export const echoTrailing = 'x-echo-trailing-bin';

const codec = {
  requestSerialize: encodePayload,
  requestDeserialize: decodePayload,
  responseSerialize: encodePayload,
  responseDeserialize: decodePayload,
};

const kinds = {
  Unary: { requestStream: false, responseStream: false },
  ClientStream: { requestStream: true, responseStream: false },
  ServerStream: { requestStream: false, responseStream: true },
  Duplex: { requestStream: true, responseStream: true },
} as const;

const pathOf = (method: keyof typeof kinds): string => `/${serviceName}/${method}`;

const definition: ServiceDefinition = Object.fromEntries(
  (Object.keys(kinds) as (keyof typeof kinds)[]).map((name) => [
    name,
    { path: pathOf(name), ...kinds[name], ...codec },
  ]),
);

export interface GrpcApplication {
  readonly port: number;
  /** Calls whose cancel reached the application. */
  cancelled(): number;
  /** Milliseconds that were left when the latest call with a deadline arrived. */
  deadlineMs(): number | undefined;
  /** Value of a field of the latest unary call. */
  latest(name: string): unknown;
}

export async function startGrpcApplication(test: TestContext): Promise<GrpcApplication> {
  let cancelled = 0;
  let deadlineMs: number | undefined;
  let latest = new Metadata();
  const server = new Server({
    'grpc.max_receive_message_length': -1,
    'grpc.server_call_metric_recording': 1,
  });
  const recorder = new ServerMetricRecorder();
  recorder.setCpuUtilizationMetric(0.25);
  recorder.addToServer(server);
  const open = (call: { metadata: Metadata; getDeadline(): Date | number }): Metadata => {
    latest = call.metadata;
    const deadline = Number(call.getDeadline());
    if (Number.isFinite(deadline)) deadlineMs = deadline - Date.now();
    const trailers = new Metadata();
    for (const value of call.metadata.get(echoTrailing)) trailers.add(echoTrailing, value);
    return trailers;
  };
  const initial = (metadata: Metadata): Metadata => {
    const sent = new Metadata();
    for (const value of metadata.get(echoInitial)) sent.add(echoInitial, value);
    return sent;
  };
  server.addService(definition, {
    Unary(call: ServerUnaryCall<Payload, Payload>, respond: sendUnaryData<Payload>) {
      const trailers = open(call);
      const { instruction } = call.request;
      call.on('cancelled', () => cancelled++);
      call.getMetricsRecorder().recordRequestCostMetric('bytes', call.request.body.length);
      if (instruction.status !== undefined) {
        respond({ ...instruction.status, metadata: trailers });
        return;
      }
      call.sendMetadata(initial(call.metadata));
      respond(null, payloadOf({}, instruction.answers?.[0] ?? 0), trailers);
    },
    ClientStream(call: ServerReadableStream<Payload, Payload>, respond: sendUnaryData<Payload>) {
      open(call);
      const sizes: number[] = [];
      call.on('cancelled', () => cancelled++);
      call.on('data', ({ body }: Payload) => sizes.push(body.length));
      call.on('end', () => respond(null, payloadOf({ answers: sizes })));
    },
    ServerStream(call: ServerWritableStream<Payload, Payload>) {
      open(call);
      call.on('cancelled', () => cancelled++);
      for (const size of call.request.instruction.answers ?? []) call.write(payloadOf({}, size));
      call.end();
    },
    Duplex(call: ServerDuplexStream<Payload, Payload>) {
      const trailers = open(call);
      const metadata = initial(call.metadata);
      if (metadata.get(echoInitial).length > 0) call.sendMetadata(metadata);
      call.on('cancelled', () => cancelled++);
      call.on('data', ({ instruction }: Payload) => {
        if (instruction.status !== undefined) {
          call.emit('error', { ...instruction.status, metadata: trailers });
          return;
        }
        for (const size of instruction.answers ?? []) call.write(payloadOf({}, size));
      });
      call.on('end', () => call.end(trailers));
      call.on('error', () => {});
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  test.after(() => server.forceShutdown());
  return {
    port,
    cancelled: () => cancelled,
    deadlineMs: () => deadlineMs,
    latest: (name) => latest.get(name)[0],
  };
}

interface Ended {
  readonly code: number;
  readonly details: string;
  readonly initial: Metadata;
  readonly trailers: Metadata;
}

export interface Answered extends Ended {
  readonly message: Payload | undefined;
}

export interface CallOptions {
  readonly metadata?: Metadata;
  readonly deadlineMs?: number;
  readonly path?: string;
}

/** A channel of grpc-js to what `port` leads to. Nothing is retried: each failure is to be seen. */
export class Caller {
  readonly client: Client;

  constructor(test: TestContext, port: number, options: Record<string, number> = {}) {
    this.client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
      'grpc.enable_retries': 0,
      'grpc.max_receive_message_length': -1,
      // Channels of one process share connections otherwise.
      'grpc.use_local_subchannel_pool': 1,
      ...options,
    });
    test.after(() => this.client.close());
  }

  unary(request: Payload, { metadata, deadlineMs, path }: CallOptions = {}): Promise<Answered> {
    return new Promise((resolve) => {
      let message: Payload | undefined;
      let initial = new Metadata();
      const call = this.client.makeUnaryRequest(
        path ?? pathOf('Unary'),
        encodePayload,
        decodePayload,
        request,
        metadata ?? new Metadata(),
        deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs },
        (_error, answer) => {
          message = answer;
        },
      );
      call.on('metadata', (received) => {
        initial = received;
      });
      call.on('status', ({ code, details, metadata: trailers }) =>
        // The answer comes after the status.
        setImmediate(() => resolve({ code, details, initial, trailers, message })),
      );
    });
  }

  clientStream(path = pathOf('ClientStream')): Conversation {
    const answered = (_error: unknown, answer?: Payload): void => {
      if (answer !== undefined) conversation.messages.push(answer);
    };
    const call = this.client.makeClientStreamRequest(path, encodePayload, decodePayload, answered);
    const conversation = new Conversation(call);
    return conversation;
  }

  serverStream(request: Payload, path = pathOf('ServerStream')): Conversation {
    const call = this.client.makeServerStreamRequest(path, encodePayload, decodePayload, request);
    return new Conversation(call);
  }

  duplex({ metadata, deadlineMs }: CallOptions = {}): Conversation {
    const call = this.client.makeBidiStreamRequest(
      pathOf('Duplex'),
      encodePayload,
      decodePayload,
      metadata ?? new Metadata(),
      deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs },
    );
    return new Conversation(call);
  }
}

interface Call {
  on(event: 'data', listener: (message: Payload) => void): unknown;
  on(event: 'metadata', listener: (metadata: Metadata) => void): unknown;
  on(event: 'status', listener: (status: StatusObject) => void): unknown;
  on(event: 'error', listener: () => void): unknown;
  cancel(): void;
  write?(message: Payload, flags?: number): unknown;
  end?(): unknown;
}

/** One streaming call seen from the client. */
export class Conversation {
  readonly messages: Payload[] = [];
  readonly ended: Promise<Ended>;
  readonly #call: Call;

  constructor(call: Call) {
    this.#call = call;
    let initial = new Metadata();
    call.on('error', () => {});
    call.on('data', (message) => this.messages.push(message));
    call.on('metadata', (metadata) => {
      initial = metadata;
    });
    this.ended = new Promise((resolve) => {
      // The last messages, and the answer to a client stream, come after the status.
      call.on('status', ({ code, details, metadata: trailers }) =>
        setImmediate(() => resolve({ code, details, initial, trailers })),
      );
    });
  }

  write(message: Payload, flags?: number): void {
    this.#call.write?.(message, flags);
  }

  end(): void {
    this.#call.end?.();
  }

  cancel(): void {
    this.#call.cancel();
  }

  /** Resolves with the bytes of each answer once there are `count`. */
  async answers(count: number): Promise<number[]> {
    await eventually(`${count} answers`, () => this.messages.length >= count);
    return this.messages.map(({ body }) => body.length);
  }
}
