/** Everything a program serves, so that it can stop taking work and wait for what is in progress. */
import type { Server, Socket } from 'node:net';
import { once } from 'node:events';
import type { Clock } from '@mesh/clock/clock';
import type { ServerConnection } from '@mesh/http/message';

export class Drain {
  readonly #servers: Set<Server> = new Set();
  readonly #connections: Set<ServerConnection> = new Set();
  readonly #sockets: Set<Socket> = new Set();
  #draining = false;
  #idle: (() => void) | undefined;

  get draining(): boolean {
    return this.#draining;
  }

  /** Connections and opaque sockets that are still open. */
  get open(): number {
    return this.#connections.size + this.#sockets.size;
  }

  addServer(server: Server): void {
    this.#servers.add(server);
  }

  /** `connection` is drained with the rest; call `remove` once it is gone. */
  add(connection: ServerConnection): void {
    this.#connections.add(connection);
    if (this.#draining) connection.drain();
  }

  remove(connection: ServerConnection): void {
    this.#connections.delete(connection);
    this.#check();
  }

  /** A socket whose bytes nobody parses; only waited for. */
  addSocket(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#check();
    });
  }

  /** Stops accepting, asks connections to end, waits at most `graceMs`, then cuts the rest. */
  async drain(clock: Clock, graceMs: number): Promise<void> {
    this.#draining = true;
    for (const server of this.#servers) server.close();
    for (const connection of this.#connections) connection.drain();
    if (this.open > 0) {
      await new Promise<void>((resolve) => {
        const timer = clock.after(graceMs, resolve);
        this.#idle = () => {
          timer.cancel();
          resolve();
        };
      });
    }
    for (const connection of this.#connections) connection.destroy();
    for (const socket of this.#sockets) socket.destroy();
  }

  #check(): void {
    if (this.#draining && this.open === 0) this.#idle?.();
  }
}

/** Resolves with the port once `server` listens; rejects with the system error. */
export async function listenOn(
  server: Server,
  { host, port }: { host: string; port: number },
): Promise<number> {
  server.listen({ host, port });
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}
