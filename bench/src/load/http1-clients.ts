/**
 * HTTP/1.1 on kept-alive connections, one request at a time on each, as browsers and wrk do. A connection that the server ends is
 * replaced.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { OpenLoopOrder } from './driver.ts';
import type { LoadClients } from './load-clients.ts';

const endOfHead = Buffer.from('\r\n\r\n');

class Client {
  readonly #socket: Socket;
  readonly #request: Buffer;
  readonly #done: (client: Client, dueMs: number, status: number, bodyBytes: number) => void;
  #head: Buffer = Buffer.alloc(0);
  #dueMs = 0;
  #busy = false;
  #status = 0;
  #length = 0;
  /** Of the body, still to come; -1 while the head is read. */
  #missing = -1;
  /** The server said that this response is its last. */
  #last = false;
  closed = false;

  constructor(socket: Socket, request: Buffer, done: Client['done'], gone: (client: Client) => void) {
    this.#socket = socket;
    this.#request = request;
    this.#done = done;
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
      if (this.#busy) this.#finish(0);
      gone(this);
    });
  }

  get done(): (client: Client, dueMs: number, status: number, bodyBytes: number) => void {
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
      this.#status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1] ?? 0);
      this.#last = /\r\nconnection:\s*close\r\n/i.test(text);
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
    if (this.#missing <= 0) this.#finish(this.#status);
  }

  #finish(status: number): void {
    this.#busy = false;
    this.#missing = -1;
    if (this.#last) {
      this.closed = true;
      this.#socket.end();
    }
    this.#done(this, this.#dueMs, status, this.#length);
  }
}

export class Http1Clients implements LoadClients {
  readonly #order: OpenLoopOrder;
  readonly #request: Buffer;
  readonly #idle: Client[] = [];
  /** Due times of requests that found no idle connection. */
  readonly #waiting: number[] = [];
  onAnswer: LoadClients['onAnswer'] = () => {};
  /** Asked when a request is sent: from when its latency counts. */
  countedFrom: (dueMs: number) => number = (dueMs) => dueMs;

  constructor(order: OpenLoopOrder) {
    this.#order = order;
    this.#request = Buffer.from(`GET ${order.path} HTTP/1.1\r\nhost: ${order.host}\r\n\r\n`);
  }

  async connect(): Promise<void> {
    for (let index = 0; index < this.#order.connections; index++) {
      const socket = this.#dial();
      await once(socket, 'connect');
      this.#idle.push(this.#client(socket));
    }
  }

  #dial(): Socket {
    const { host, port } = this.#order;
    return connect({ host, port, noDelay: true });
  }

  #client(socket: Socket): Client {
    return new Client(
      socket,
      this.#request,
      (client, dueMs, status, bodyBytes) => {
        this.onAnswer(dueMs, status, bodyBytes);
        if (!client.closed) this.#next(client);
      },
      (client) => {
        const at = this.#idle.indexOf(client);
        if (at >= 0) this.#idle.splice(at, 1);
        const fresh = this.#dial();
        fresh.on('error', () => {});
        fresh.once('connect', () => this.#next(this.#client(fresh)));
      },
    );
  }

  send(dueMs: number): void {
    const client = this.#order.shedding === true ? this.#idle.shift() : this.#idle.pop();
    if (client === undefined) this.#waiting.push(dueMs);
    else this.#send(client, dueMs);
  }

  #next(client: Client): void {
    const dueMs = this.#waiting.shift();
    if (dueMs === undefined) this.#idle.push(client);
    else this.#send(client, dueMs);
  }

  #send(client: Client, dueMs: number): void {
    client.send(this.countedFrom(dueMs));
  }
}
