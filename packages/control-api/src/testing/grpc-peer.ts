/** grpc-js as the other side of our gRPC, over the same messages. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import {
  Client,
  credentials,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Server,
  ServerCredentials,
} from '@grpc/grpc-js';
import { systemClock } from '@mesh/clock/system';
import { connectHttp2 } from '@mesh/http2/client';
import { http2Limits } from '@mesh/http2/limits';
import { serveHttp2 } from '@mesh/http2/server';
import type { ServerConnection } from '@mesh/http/message';
import { LimitLedger } from '@mesh/limits/limits';
import { listen } from '@mesh/testkit/servers';
import { GrpcChannel } from '../grpc-client.ts';
import { type GrpcRoutes, serveGrpc } from '../grpc-server.ts';
import { type GrpcLimit, grpcLimits } from '../limits.ts';

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function codec<Schema extends DescMessage>(schema: Schema) {
  return {
    serialize: (value: MessageShape<Schema>) => Buffer.from(toBinary(schema, value)),
    deserialize: (bytes: Buffer) => fromBinary(schema, bytes),
  };
}

/** A grpc-js client that ends with the test. */
export function foreignClient(test: TestContext, port: number): Client {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  test.after(() => client.close());
  return client;
}

/** Collects what a server-streaming call of grpc-js brings. */
export function foreignStream<Input extends DescMessage, Output extends DescMessage>(
  client: Client,
  method: { input: Input; output: Output } & DescMethod,
  input: MessageInitShape<Input>,
) {
  const call = client.makeServerStreamRequest(
    pathOf(method),
    codec(method.input).serialize,
    codec(method.output).deserialize,
    create(method.input, input),
  );
  const messages: MessageShape<Output>[] = [];
  const ended = new Promise<{ code: number; details: string }>((resolve) => {
    call.on('error', () => {});
    call.on('status', resolve);
  });
  call.on('data', (message: MessageShape<Output>) => messages.push(message));
  return { call, messages, ended };
}

export function foreignUnary<Input extends DescMessage, Output extends DescMessage>(
  client: Client,
  method: { input: Input; output: Output } & DescMethod,
  { input, deadlineMs }: { input: MessageInitShape<Input>; deadlineMs?: number },
): Promise<MessageShape<Output>> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      pathOf(method),
      codec(method.input).serialize,
      codec(method.output).deserialize,
      create(method.input, input),
      deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs },
      (error, value) => {
        if (error !== null) reject(error);
        else if (value === undefined) reject(new Error('no answer'));
        else resolve(value);
      },
    );
  });
}

function definitionOf<Input extends DescMessage, Output extends DescMessage>(
  method: DescMethod & { input: Input; output: Output },
) {
  const input = codec(method.input);
  const output = codec(method.output);
  return {
    call: {
      path: pathOf(method),
      requestStream: false,
      responseStream: method.methodKind === 'server_streaming',
      requestSerialize: input.serialize,
      requestDeserialize: input.deserialize,
      responseSerialize: output.serialize,
      responseDeserialize: output.deserialize,
    },
  };
}

export function addUnary<Input extends DescMessage, Output extends DescMessage>(
  server: Server,
  method: DescMethodUnary<Input, Output>,
  handler: handleUnaryCall<MessageShape<Input>, MessageShape<Output>>,
): void {
  server.addService(definitionOf(method), { call: handler });
}

export function addStream<Input extends DescMessage, Output extends DescMessage>(
  server: Server,
  method: DescMethodServerStreaming<Input, Output>,
  handler: handleServerStreamingCall<MessageShape<Input>, MessageShape<Output>>,
): void {
  server.addService(definitionOf(method), { call: handler });
}

/** A grpc-js server on a free port that ends with the test. */
export async function foreignServer(
  test: TestContext,
  addServices: (server: Server) => void,
): Promise<number> {
  const server = new Server();
  addServices(server);
  test.after(() => server.forceShutdown());
  return await new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port);
      else reject(error);
    });
  });
}

export interface OwnServerOptions {
  http2_streams?: number;
  limits?: Partial<Record<GrpcLimit, number>>;
  onDone?: (path: string, code: number) => void;
}

export interface OwnServer {
  readonly port: number;
  readonly connections: ServerConnection[];
  readonly serve: (socket: Socket) => void;
}

/** Our server on a free port; `serve` takes further sockets, such as TLS ones. */
export async function ownServer(
  test: TestContext,
  services: readonly GrpcRoutes<string>[],
  { http2_streams = 100, limits = {}, onDone }: OwnServerOptions = {},
): Promise<OwnServer> {
  const connections: ServerConnection[] = [];
  const serve = (socket: Socket): void => {
    const listener = serveGrpc(services, {
      peer: 'somebody',
      clock: systemClock,
      limits: new LimitLedger(grpcLimits, limits),
      ...(onDone === undefined ? {} : { onDone }),
    });
    connections.push(
      serveHttp2(socket, listener, {
        clock: systemClock,
        limits: new LimitLedger(http2Limits, { http2_streams }),
      }),
    );
  };
  const { port } = await listen(test, serve);
  return { port, connections, serve };
}

/** Our channel to a plaintext port, closed when the test ends. */
export function ownChannel(
  test: TestContext,
  port: number,
  limits: Partial<Record<GrpcLimit, number>> = {},
): GrpcChannel {
  return channelOver(
    test,
    async () => {
      const socket = connect({ host: '127.0.0.1', port, noDelay: true });
      await once(socket, 'connect');
      return socket;
    },
    limits,
  );
}

/** Our channel over sockets that `dial` makes. */
export function channelOver(
  test: TestContext,
  dial: () => Promise<Socket>,
  limits: Partial<Record<GrpcLimit, number>> = {},
): GrpcChannel {
  const channel = new GrpcChannel({
    connect: async () =>
      connectHttp2(await dial(), { clock: systemClock, limits: new LimitLedger(http2Limits) }),
    authority: 'server.test',
    clock: systemClock,
    limits: new LimitLedger(grpcLimits, limits),
  });
  test.after(() => channel.close());
  return channel;
}
