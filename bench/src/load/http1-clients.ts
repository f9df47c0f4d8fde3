/** HTTP/1.1 on kept-alive connections, one request at a time on each, as browsers and wrk do. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { OpenLoopOrder } from './driver.ts';
import type { LoadClients } from './load-clients.ts';

const endOfHead = Buffer.from('\r\n\r\n');

class Client {
  readonly #socket: Socket;
  readonly #request: Buffer;
  readonly #done: (client: Client, dueMs: number, ok: boolean, bodyBytes: number) => void;
  #head: Buffer = Buffer.alloc(0);
  #dueMs = 0;
  #busy = false;
  #ok = false;
  #length = 0;
  /** Of the body, still to come; -1 while the head is read. */
  #missing = -1;
  closed = false;

  constructor(socket: Socket, request: Buffer, done: Client['done']) {
    this.#socket = socket;
    this.#request = request;
    this.#done = done;
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
      if (this.#busy) this.#finish(false);
    });
  }

  get done(): (client: Client, dueMs: number, ok: boolean, bodyBytes: number) => void {
    return this.#done;
  }

  send(dueMs: number): void {
    this.#dueMs = dueMs;
    this.#busy = true;
    this.#socket.write(this.#request);
  }

  #onData(chunk: Buffer): void {
    let body = chunk.length;
    if (this.#missing < 0) {
      const head = this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk]);
      const end = head.indexOf(endOfHead);
      if (end < 0) {
        this.#head = head;
        return;
      }
      this.#head = Buffer.alloc(0);
      const text = head.toString('latin1', 0, end + 2);
      this.#ok = text.startsWith('HTTP/1.1 200');
      this.#length = Number(/\r\ncontent-length:\s*(\d+)\r\n/i.exec(text)?.[1] ?? Number.NaN);
      if (Number.isNaN(this.#length)) {
        // Nothing measured here is chunked.
        this.#socket.destroy();
        return;
      }
      this.#missing = this.#length;
      body = head.length - end - endOfHead.length;
    }
    this.#missing -= body;
    if (this.#missing <= 0) this.#finish(this.#ok);
  }

  #finish(ok: boolean): void {
    this.#busy = false;
    this.#missing = -1;
    this.#done(this, this.#dueMs, ok, this.#length);
  }
}

export class Http1Clients implements LoadClients {
  readonly #order: OpenLoopOrder;
  readonly #idle: Client[] = [];
  /** Due times of requests that found no idle connection. */
  readonly #waiting: number[] = [];
  onAnswer: LoadClients['onAnswer'] = () => {};

  constructor(order: OpenLoopOrder) {
    this.#order = order;
  }

  async connect(): Promise<void> {
    const { host, port, path, connections } = this.#order;
    const request = Buffer.from(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
    for (let index = 0; index < connections; index++) {
      const socket = connect({ host, port, noDelay: true });
      await once(socket, 'connect');
      this.#idle.push(
        new Client(socket, request, (client, dueMs, ok, bodyBytes) => {
          this.onAnswer(dueMs, ok, bodyBytes);
          if (!client.closed) this.#next(client);
        }),
      );
    }
  }

  send(dueMs: number): void {
    const client = this.#idle.pop();
    if (client === undefined) this.#waiting.push(dueMs);
    else client.send(dueMs);
  }

  #next(client: Client): void {
    const dueMs = this.#waiting.shift();
    if (dueMs === undefined) this.#idle.push(client);
    else client.send(dueMs);
  }
}
