/** gRPC unary calls over `node:http2` sessions with prior knowledge, in turn. */
import { once } from 'node:events';
import { type ClientHttp2Session, connect, type OutgoingHttpHeaders } from 'node:http2';
import type { OpenLoopOrder } from './driver.ts';
import { grpcMessage } from './grpc-message.ts';
import type { LoadClients } from './load-clients.ts';

export class GrpcClients implements LoadClients {
  readonly #order: OpenLoopOrder;
  readonly #sessions: ClientHttp2Session[] = [];
  readonly #headers: OutgoingHttpHeaders;
  #turn = 0;
  onAnswer: LoadClients['onAnswer'] = () => {};

  constructor(order: OpenLoopOrder) {
    this.#order = order;
    this.#headers = {
      ':method': 'POST',
      ':path': order.path,
      'content-type': 'application/grpc',
      te: 'trailers',
    };
  }

  async connect(): Promise<void> {
    const { host, port, connections } = this.#order;
    for (let index = 0; index < connections; index++) {
      const session = connect(`http://${host}:${port}`);
      session.on('error', () => {});
      await once(session, 'connect');
      this.#sessions.push(session);
    }
  }

  send(dueMs: number): void {
    const session = this.#sessions[this.#turn++ % this.#sessions.length];
    if (session === undefined) return;
    const stream = session.request(this.#headers);
    let received = 0;
    let status: unknown;
    stream.on('data', (chunk: Buffer) => (received += chunk.length));
    stream.on('trailers', (trailers) => (status = trailers['grpc-status']));
    stream.on('error', () => {});
    stream.on('close', () =>
      this.onAnswer(dueMs, status === '0' && received === grpcMessage.length ? 200 : 0, received),
    );
    stream.end(grpcMessage);
  }
}
