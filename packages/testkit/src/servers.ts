import { once } from 'node:events';
import type { Server as HttpServer } from 'node:http';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

export interface TestServer {
  readonly port: number;
  readonly server: Server;
}

/** A TCP server on a free loopback port that closes, with all its connections, when the test ends. */
export async function listen(test: TestContext, onSocket: (socket: Socket) => void): Promise<TestServer> {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    socket.on('error', () => {});
    onSocket(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  test.after(async () => {
    for (const socket of open) socket.destroy();
    server.close();
    await once(server, 'close').catch(() => {});
  });
  return { port: (server.address() as AddressInfo).port, server };
}

/** Listens on a free loopback port, which it returns; closes, with all connections, when the test ends. */
export async function listenHttp(test: TestContext, server: HttpServer): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  test.after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return (server.address() as AddressInfo).port;
}

/** A connected client socket that is destroyed when the test ends. */
export async function dialTcp(test: TestContext, port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  socket.on('error', () => {});
  test.after(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
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
