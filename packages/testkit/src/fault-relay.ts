/**
 * A TCP relay in userspace that behaves like a bad network: delay, bandwidth, loss, slices, stalls, black holes, resets
 * and slow ends, for each direction apart and changeable while connections run. It needs no privilege and no kernel module.
 *
 * What it cannot do: the kernel accepts connections and acknowledges bytes on both sides by itself, so a TCP connect costs no
 * simulated round trip, and an unacknowledged segment (TCP_USER_TIMEOUT) cannot be made with it.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { Clock, Random } from '@mesh/clock/clock';
import { DelayLine, type Impairment, noImpairment, resetSocket } from './delay-line.ts';

export interface FaultRelayOptions {
  /** Where connections are passed on to. */
  host: string;
  port: number;
  clock: Clock;
  /** For loss. */
  random: Random;
  /** Address to listen on. Default 127.0.0.1. */
  listenHost?: string;
  /** Default 0: any free port. */
  listenPort?: number;
  /** Bytes held per direction of a connection; at least bandwidth × delay. Default 64 MiB. */
  bufferBytes?: number;
}

export type RelayDirection = 'toServer' | 'toClient';

interface Relayed {
  readonly client: Socket;
  /** Undefined: swallowed before it was passed on. */
  readonly server: Socket | undefined;
  readonly lines: readonly DelayLine[];
}

const defaultBufferBytes = 64 * 1024 * 1024;

export class FaultRelay {
  readonly #options: FaultRelayOptions;
  readonly #impairments: Readonly<Record<RelayDirection, Impairment>> = {
    toServer: { ...noImpairment },
    toClient: { ...noImpairment },
  };
  readonly #connections: Set<Relayed> = new Set();
  #server: Server | undefined;
  #port = 0;
  /** Connections accepted since the start. */
  accepted = 0;

  constructor(options: FaultRelayOptions) {
    this.#options = options;
  }

  /** Port to connect to. */
  get port(): number {
    return this.#port;
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#connections.size;
  }

  /** Bytes that wait inside. */
  get held(): number {
    let sum = 0;
    for (const { lines } of this.#connections) for (const line of lines) sum += line.held;
    return sum;
  }

  /** Listens; again on the same port after `kill`. */
  async start(): Promise<void> {
    const { listenHost = '127.0.0.1', listenPort = 0 } = this.#options;
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#onClient(socket));
    server.listen({ host: listenHost, port: this.#port === 0 ? listenPort : this.#port });
    await once(server, 'listening');
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
  }

  /** Changes both directions; the delay given is that of each, so a round trip takes twice as long. */
  set(changes: Partial<Impairment>): void {
    this.setDirection('toServer', changes);
    this.setDirection('toClient', changes);
  }

  setDirection(direction: RelayDirection, changes: Partial<Impairment>): void {
    Object.assign(this.#impairments[direction], changes);
    for (const { lines } of this.#connections) for (const line of lines) line.changed();
  }

  /** Resets every open connection at both ends, at once. */
  reset(): void {
    for (const { client, server } of this.#connections) {
      resetSocket(client);
      if (server !== undefined) resetSocket(server);
    }
  }

  /** As when the process behind it is killed: connections are reset and new ones refused. */
  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    server?.close();
    this.reset();
    if (server !== undefined) await once(server, 'close');
  }

  #onClient(client: Socket): void {
    this.accepted++;
    client.on('error', () => {});
    if (this.#impairments.toServer.blackHole) {
      client.resume();
      this.#keep({ client, server: undefined, lines: [] });
      return;
    }
    const { host, port, clock, random, bufferBytes = defaultBufferBytes } = this.#options;
    const server = connect({ host, port, allowHalfOpen: true, noDelay: true });
    server.on('error', () => {});
    const line = (from: Socket, to: Socket, direction: RelayDirection): DelayLine =>
      new DelayLine(from, to, {
        clock,
        random,
        impairment: this.#impairments[direction],
        bufferBytes,
      });
    this.#keep({
      client,
      server,
      lines: [line(client, server, 'toServer'), line(server, client, 'toClient')],
    });
  }

  #keep(relayed: Relayed): void {
    const { client, server, lines } = relayed;
    this.#connections.add(relayed);
    const onClose = (): void => {
      if (!client.destroyed || server?.destroyed === false) return;
      for (const line of lines) line.stop();
      this.#connections.delete(relayed);
    };
    client.on('close', onClose);
    server?.on('close', onClose);
  }
}
