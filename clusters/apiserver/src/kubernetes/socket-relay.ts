import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** Carries connections of a unix socket to a TCP port, byte for byte: TLS stays between the ends. */
export class SocketRelay {
  readonly #server: Server;
  readonly #open: Set<Socket> = new Set();

  private constructor(to: { address: string; port: number }) {
    this.#server = createServer({ allowHalfOpen: true }, (client) => {
      const upstream = connect({ host: to.address, port: to.port, allowHalfOpen: true, noDelay: true });
      for (const [socket, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        this.#open.add(socket);
        socket.pipe(other);
        socket.on('error', () => {
          client.destroy();
          upstream.destroy();
        });
        socket.on('close', () => {
          this.#open.delete(socket);
          other.destroySoon();
        });
      }
    });
  }

  static async listen(path: string, to: { address: string; port: number }): Promise<SocketRelay> {
    const relay = new SocketRelay(to);
    rmSync(path, { force: true });
    relay.#server.listen(path);
    await once(relay.#server, 'listening');
    return relay;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#open) socket.destroy();
  }
}
