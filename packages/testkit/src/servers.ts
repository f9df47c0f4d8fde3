import { type EventEmitter, once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

export interface TestServer {
  readonly port: number;
  readonly server: Server;
}

/** What all servers of Node have in common, HTTP/2 included. */
type AnyServer = EventEmitter &
  Pick<Server, 'address' | 'listening'> & {
    listen(port: number, host: string): unknown;
    close(): unknown;
  };

/** Puts `server` on a free loopback port, which it returns; it ends with all its connections when the test ends. */
export async function listening(test: TestContext, server: AnyServer): Promise<number> {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  test.after(async () => {
    for (const socket of open) socket.destroy();
    if (!server.listening) return;
    server.close();
    await once(server, 'close');
  });
  return (server.address() as AddressInfo).port;
}

/** A TCP server on a free loopback port that closes, with all its connections, when the test ends. */
export async function listen(test: TestContext, onSocket: (socket: Socket) => void): Promise<TestServer> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    onSocket(socket);
  });
  return { port: await listening(test, server), server };
}

/** A connected client socket that is destroyed when the test ends. */
export async function dialTcp(test: TestContext, port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  socket.on('error', () => {});
  test.after(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** Client sockets, thousands perhaps, one after the other; those that are still open are destroyed when the test ends. */
export class ClientSockets {
  readonly #open: Set<Socket> = new Set();

  constructor(test: TestContext) {
    test.after(() => {
      for (const socket of this.#open) socket.destroy();
    });
  }

  /** How many are open. */
  get size(): number {
    return this.#open.size;
  }

  /** A connected one. Its errors are of no interest. */
  async connect(port: number): Promise<Socket> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    this.#open.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#open.delete(socket));
    await once(socket, 'connect');
    return socket;
  }
}

/** Two ends of one real TCP connection. */
export async function socketPair(test: TestContext): Promise<[client: Socket, server: Socket]> {
  let accepted: (socket: Socket) => void = () => {};
  const server = new Promise<Socket>((resolve) => {
    accepted = resolve;
  });
  const { port } = await listen(test, (socket) => accepted(socket));
  const client = await dialTcp(test, port);
  return [client, await server];
}
