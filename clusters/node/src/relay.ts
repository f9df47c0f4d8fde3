import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** Ties two connections together until both have ended; an error on one ends both. */
export function joinSockets(one: Socket, other: Socket): void {
  one.pipe(other);
  other.pipe(one);
  const destroyBoth = (): void => {
    one.destroy();
    other.destroy();
  };
  for (const socket of [one, other]) socket.on('error', destroyBoth);
  one.on('close', () => other.destroySoon());
  other.on('close', () => one.destroySoon());
}

/** Listens inside the node's network and carries every connection to a unix socket of the host: the API server. */
export class ApiRelay {
  readonly #socketPath: string;
  readonly #servers: Server[] = [];
  readonly #open: Set<Socket> = new Set();

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** Resolves to the port, which is the given one unless that is 0. */
  async listen(address: string, port: number): Promise<number> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      const upstream = connect({ path: this.#socketPath, allowHalfOpen: true });
      for (const socket of [client, upstream]) {
        this.#open.add(socket);
        socket.on('close', () => this.#open.delete(socket));
      }
      joinSockets(client, upstream);
    });
    server.listen(port, address);
    await once(server, 'listening');
    this.#servers.push(server);
    const bound = server.address();
    return typeof bound === 'object' && bound !== null ? bound.port : port;
  }

  close(): void {
    for (const server of this.#servers) server.close();
    for (const socket of this.#open) socket.destroy();
  }
}
