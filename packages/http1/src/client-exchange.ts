import type { ClientHandler, ClientStream, Headers, ResetReason, ResponseHead } from '@mesh/http/message';
import type { BodyWriter } from './body-writer.ts';
import type { SocketOutput } from './socket-output.ts';

/** What an exchange needs of its connection. */
export interface ClientExchangeConnection {
  readonly output: SocketOutput;
  /** Our half of the tunnel is over. */
  tunnelEnded(): void;
  /** Both halves are complete. */
  finished(): void;
  /** The exchange was given up; the connection cannot be used any more. */
  abandoned(): void;
  creditReturned(): void;
}

export interface ClientExchangeOptions {
  connection: ClientExchangeConnection;
  handler: ClientHandler;
  body: BodyWriter;
  method: string;
  /** Token in lower case, empty for none. */
  upgrade: string;
  /** Nothing of the request follows its head. */
  requestDone: boolean;
}

/** One request and its response on a client's HTTP/1 connection. */
export class ClientExchange implements ClientStream {
  readonly method: string;
  readonly upgrade: string;
  readonly #connection: ClientExchangeConnection;
  readonly #handler: ClientHandler;
  readonly #body: BodyWriter;
  #requestDone: boolean;
  #responded = false;
  #responseDone = false;
  #dead = false;
  #drainWanted = false;
  /** What the owner sent before the tunnel was confirmed. Not a byte of it may reach a server that refuses. */
  #held: Buffer[] | null;
  #heldEnd = false;
  /** Body bytes that the owner has not given back. */
  owed = 0;
  /** 1xx heads so far. */
  informed = 0;

  constructor(options: ClientExchangeOptions) {
    this.#connection = options.connection;
    this.#handler = options.handler;
    this.#body = options.body;
    this.method = options.method;
    this.upgrade = options.upgrade;
    this.#requestDone = options.requestDone;
    this.#held = this.wantsTunnel ? [] : null;
  }

  get wantsTunnel(): boolean {
    return this.upgrade !== '' || this.method === 'CONNECT';
  }

  get isTunnel(): boolean {
    return this.#body.framing === 'tunnel';
  }

  get responded(): boolean {
    return this.#responded;
  }

  get responseDone(): boolean {
    return this.#responseDone;
  }

  get requestDone(): boolean {
    return this.#requestDone;
  }

  write(chunk: Buffer): boolean {
    if (this.#dead || this.#requestDone) return true;
    if (this.#held !== null) {
      this.#held.push(chunk);
      this.#drainWanted = true;
      return false;
    }
    if (!this.#body.write(chunk)) {
      this.#fail();
      return true;
    }
    if (!this.#connection.output.blocked) return true;
    this.#drainWanted = true;
    return false;
  }

  end(trailers: Headers | null): void {
    if (this.#dead || this.#requestDone) return;
    if (this.#held !== null) {
      this.#heldEnd = true;
      return;
    }
    if (!this.#body.end(trailers)) return this.#fail();
    this.#requestDone = true;
    if (this.isTunnel) this.#connection.tunnelEnded();
    else this.#connection.output.flush();
    this.#finishIfDone();
  }

  consume(bytes: number): void {
    if (this.#dead) return;
    this.owed -= bytes;
    this.#connection.creditReturned();
  }

  reset(_reason: ResetReason): void {
    if (this.#dead) return;
    this.#dead = true;
    this.#connection.abandoned();
  }

  inform(head: ResponseHead): void {
    if (!this.#dead) this.#handler.onInform(head);
  }

  /** `end`: no body follows. */
  respond(head: ResponseHead, end: boolean): void {
    if (this.#dead) return;
    this.#responded = true;
    if (this.#held !== null) {
      // Refused: the request was complete with its head.
      this.#held = null;
      this.#requestDone = true;
    }
    if (end) this.#responseDone = true;
    this.#handler.onResponse(head, end);
    // What was held has no reader any more, and nobody should wait for it.
    this.drained();
    this.#finishIfDone();
  }

  respondTunnel(head: ResponseHead): void {
    if (this.#dead) return;
    this.#responded = true;
    const held = this.#held ?? [];
    this.#held = null;
    this.#body.begin('tunnel', 0);
    this.#handler.onResponse(head, false);
    for (const chunk of held) this.#body.write(chunk);
    if (this.#heldEnd) this.end(null);
    else if (!this.#connection.output.blocked) this.drained();
  }

  /** Response body, or tunnel bytes. */
  deliver(chunk: Buffer): void {
    if (this.#dead) return;
    this.owed += chunk.length;
    this.#handler.onData(chunk);
  }

  responseEnded(trailers: Headers | null): void {
    if (this.#dead || this.#responseDone) return;
    this.#responseDone = true;
    this.#handler.onEnd(trailers);
    this.#finishIfDone();
  }

  drained(): void {
    if (this.#dead || !this.#drainWanted || this.#held !== null) return;
    this.#drainWanted = false;
    this.#handler.onDrain();
  }

  /** The connection cannot go on. */
  cut(reason: ResetReason): void {
    if (this.#dead) return;
    this.#dead = true;
    this.#handler.onReset(reason);
  }

  #finishIfDone(): void {
    if (this.#dead || !this.#requestDone || !this.#responseDone) return;
    // Nobody should wait for what the server leaves unread after its answer.
    this.drained();
    this.#dead = true;
    this.#connection.finished();
  }

  /** The owner did not keep to the length it announced. It is told later: it is in the middle of a call to us. */
  #fail(): void {
    this.#dead = true;
    this.#connection.abandoned();
    process.nextTick(() => this.#handler.onReset('internal'));
  }
}
