/** Everything a program serves, so that it can stop taking work and wait for what is in progress. */
import type { Server, Socket } from 'node:net';
import { once } from 'node:events';
import type { Clock } from '@mesh/clock/clock';
import type { ServerConnection } from '@mesh/http/message';
import type { LimitLedger } from '@mesh/limits/limits';
import { capConnections } from '@mesh/sockets/connection-cap';
import { resetAtClose } from '@mesh/transport/socket-options';
import type { DataplaneLimit } from './limits.ts';

/** How long a connection on which nothing was said yet may still say something once the program stops. */
const silentMs = 100;

export class Drain {
  readonly #servers: Set<Server> = new Set();
  /** Every accepted socket that is open, whatever became of it: in a handshake, HTTP, opaque bytes. */
  readonly #sockets: Set<Socket> = new Set();
  readonly #connections: Set<ServerConnection> = new Set();
  #draining = false;
  #idle: (() => void) | undefined;

  get draining(): boolean {
    return this.#draining;
  }

  /** Accepted sockets that are open. */
  get open(): number {
    return this.#sockets.size;
  }

  /** `accepted_connections` bounds it. Whatever it accepts is waited for, also what is still in a handshake when the program is told to stop. */
  addServer(server: Server, limits: LimitLedger<DataplaneLimit>): void {
    this.#servers.add(server);
    capConnections(server, limits.values.accepted_connections, () => limits.hit('accepted_connections'));
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        if (this.open === 0) this.#idle?.();
      });
    });
  }

  /** The HTTP on one of those sockets, so that it can be asked to end; `remove` it once it is gone. */
  add(connection: ServerConnection): void {
    this.#connections.add(connection);
    if (this.#draining) connection.drain();
  }

  remove(connection: ServerConnection): void {
    this.#connections.delete(connection);
  }

  /** Stops accepting, asks connections to end, waits at most `graceMs`, then cuts the rest. */
  async drain(clock: Clock, graceMs: number): Promise<void> {
    this.#draining = true;
    for (const server of this.#servers) server.close();
    for (const connection of this.#connections) connection.drain();
    const silent = clock.after(Math.min(silentMs, graceMs), () => {
      for (const socket of this.#sockets) {
        if (socket.bytesRead === 0 && socket.bytesWritten === 0) socket.destroy();
      }
    });
    await this.#untilIdle(clock, graceMs);
    silent.cancel();
    this.#cut();
  }

  /** Serves on until every socket was closed by its client, at most `graceMs`, then stops. */
  async outlast(clock: Clock, graceMs: number): Promise<void> {
    await this.#untilIdle(clock, graceMs);
    for (const server of this.#servers) server.close();
    this.#cut();
  }

  async #untilIdle(clock: Clock, graceMs: number): Promise<void> {
    if (this.open === 0) return;
    await new Promise<void>((resolve) => {
      const timer = clock.after(graceMs, resolve);
      this.#idle = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  #cut(): void {
    for (const connection of this.#connections) connection.destroy();
    for (const socket of this.#sockets) {
      // Opaque bytes would end as if they were whole.
      resetAtClose(socket);
      socket.destroy();
    }
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
