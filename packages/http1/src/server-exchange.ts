import type {
  Headers,
  RequestHead,
  ResetReason,
  ResponseHead,
  ServerStream,
  StreamHandler,
} from '@mesh/http/message';
import { BodyWriter } from './body-writer.ts';
import { contentLengthOf, responseHeadText } from './head-writer.ts';
import type { SocketOutput } from './socket-output.ts';

/** What an exchange needs of its connection. */
export interface ExchangeConnection {
  readonly output: SocketOutput;
  /** False: this response is the last one, and has to say so. */
  readonly keepsAlive: boolean;
  /** The response turned the connection into a tunnel. */
  tunnelAccepted(): void;
  /** The request that asked for a tunnel is an ordinary one, and complete. */
  tunnelRefused(): void;
  /** Our half of the tunnel is over. */
  tunnelEnded(): void;
  /** Both halves are complete. */
  finished(): void;
  /** Cuts the exchange off. `answered`: the response is complete and should still reach the client. */
  abandoned(answered: boolean): void;
  creditReturned(): void;
  /** The client takes nothing more for now. */
  blocked(): void;
}

/** One request and its response on a served HTTP/1 connection. */
export class ServerExchange implements ServerStream {
  readonly #connection: ExchangeConnection;
  readonly #request: RequestHead;
  readonly #body: BodyWriter;
  #handler: StreamHandler | null = null;
  #state: 'waiting' | 'sending' | 'sent' = 'waiting';
  #requestDone: boolean;
  #dead = false;
  #drainWanted = false;
  #keepsAlive = true;
  /** Body bytes that the owner has not given back. */
  owed = 0;
  /** The client expects 100 (Continue) and did not get it yet. */
  #expects: boolean;

  constructor(connection: ExchangeConnection, request: RequestHead, requestDone: boolean, expects: boolean) {
    this.#connection = connection;
    this.#request = request;
    this.#requestDone = requestDone;
    this.#expects = expects;
    this.#body = new BodyWriter(connection.output);
  }

  get requestDone(): boolean {
    return this.#requestDone;
  }

  /** No byte of a final response was sent. */
  get unanswered(): boolean {
    return this.#state === 'waiting';
  }

  get handler(): StreamHandler | null {
    return this.#handler;
  }

  /** Who the exchange belongs to; set once the listener has said so. */
  attach(handler: StreamHandler): void {
    this.#handler = handler;
  }

  inform(head: ResponseHead): void {
    if (this.#dead || this.#state !== 'waiting' || this.#request.version === 10) return;
    if (head.status < 100 || head.status > 199 || head.status === 101) return this.#fail();
    const text = responseHeadText(head.status, head.headers, { framing: '', withLength: false });
    if (text === undefined) return this.#fail();
    if (head.status === 100) this.#expects = false;
    this.#connection.output.text(text);
  }

  respond(head: ResponseHead, end: boolean): void {
    if (this.#dead || this.#state !== 'waiting') return;
    const { status, headers } = head;
    if (this.#wantsTunnel() && this.#acceptsTunnel(status)) return this.#respondTunnel(head, end);
    if (status < 200 || status > 599) return this.#fail();

    const bodiless = status === 204 || status === 304 || this.#request.method === 'HEAD';
    const length = contentLengthOf(headers);
    if (length === undefined || (end && length > 0 && !bodiless)) return this.#fail();
    // What the client will do with a body it holds back is open (RFC 9110 §10.1.1): the connection ends here.
    let keepsAlive = this.#connection.keepsAlive && !(this.#expects && !this.#requestDone);
    // What follows a refused CONNECT may be tunnel bytes of a client that did not wait: never a request.
    if (this.#request.method === 'CONNECT' || head.closes === true) keepsAlive = false;
    let framing = '';
    if (bodiless) {
      this.#body.begin('none', 0);
    } else if (end || length >= 0) {
      if (length === -1) framing = 'content-length: 0\r\n';
      this.#body.begin('length', Math.max(length, 0));
    } else if (this.#request.version === 11) {
      framing = 'transfer-encoding: chunked\r\n';
      this.#body.begin('chunked', 0);
    } else {
      keepsAlive = false;
      this.#body.begin('close', 0);
    }
    if (!keepsAlive) framing += 'connection: close\r\n';
    else if (this.#request.version === 10) framing += 'connection: keep-alive\r\n';
    const text = responseHeadText(status, headers, { framing, withLength: status !== 204 });
    if (text === undefined) return this.#fail();
    this.#keepsAlive = keepsAlive;
    this.#state = 'sending';
    this.#connection.output.text(text);
    if (this.#wantsTunnel()) this.#connection.tunnelRefused();
    if (end) this.end(null);
  }

  /** Whether another request may follow this one. */
  get keepsAlive(): boolean {
    return this.#keepsAlive && this.#body.framing !== 'close';
  }

  /** The response, or the tunnel, ends with the connection, so that only a reset tells that it is incomplete. */
  get endsWithConnection(): boolean {
    return this.#state === 'sending' && (this.#body.framing === 'close' || this.isTunnel);
  }

  get isTunnel(): boolean {
    return this.#body.framing === 'tunnel';
  }

  /** All of the response is with the socket, which may still wait for the client to take it. */
  get answered(): boolean {
    return this.#state === 'sent';
  }

  write(chunk: Buffer): boolean {
    if (this.#dead || this.#state === 'sent') return true;
    if (this.#state === 'waiting' || !this.#body.write(chunk)) {
      this.#fail();
      return true;
    }
    if (!this.#connection.output.blocked) return true;
    this.#drainWanted = true;
    this.#connection.blocked();
    return false;
  }

  end(trailers: Headers | null): void {
    if (this.#dead || this.#state === 'sent') return;
    if (this.#state === 'waiting' || !this.#body.end(trailers)) return this.#fail();
    this.#state = 'sent';
    if (this.isTunnel) this.#connection.tunnelEnded();
    if (this.#expects && !this.#requestDone) this.#breakOff('cancel', true);
    else this.#finishIfDone();
  }

  consume(bytes: number): void {
    if (this.#dead) return;
    this.owed -= bytes;
    this.#connection.creditReturned();
  }

  reset(_reason: ResetReason): void {
    if (this.#dead) return;
    this.#dead = true;
    this.#connection.abandoned(this.#state === 'sent');
  }

  /** Request body, or tunnel bytes. */
  deliver(chunk: Buffer): void {
    if (this.#dead) return;
    this.owed += chunk.length;
    this.#handler?.onData(chunk);
  }

  requestEnded(trailers: Headers | null): void {
    if (this.#dead || this.#requestDone) return;
    this.#requestDone = true;
    this.#handler?.onEnd(trailers);
    this.#finishIfDone();
  }

  drained(): void {
    if (this.#dead || !this.#drainWanted) return;
    this.#drainWanted = false;
    this.#handler?.onDrain();
    this.#finishIfDone();
  }

  /** The connection cannot go on. */
  cut(reason: ResetReason): void {
    if (this.#dead) return;
    this.#dead = true;
    this.#handler?.onReset(reason);
  }

  /** Whoever waits for the client to take what it was sent is told before the exchange is over. */
  #finishIfDone(): void {
    if (this.#dead || !this.#requestDone || this.#state !== 'sent' || this.#drainWanted) return;
    this.#dead = true;
    this.#connection.finished();
  }

  #wantsTunnel(): boolean {
    return this.#request.upgrade !== '' || this.#request.method === 'CONNECT';
  }

  #acceptsTunnel(status: number): boolean {
    return this.#request.method === 'CONNECT' ? status >= 200 && status <= 299 : status === 101;
  }

  #respondTunnel(head: ResponseHead, end: boolean): void {
    const framing =
      this.#request.method === 'CONNECT'
        ? ''
        : `connection: upgrade\r\nupgrade: ${this.#request.upgrade}\r\n`;
    const text = responseHeadText(head.status, head.headers, { framing, withLength: false });
    if (text === undefined) return this.#fail();
    this.#state = 'sending';
    this.#keepsAlive = false;
    this.#body.begin('tunnel', 0);
    this.#connection.output.text(text);
    this.#connection.tunnelAccepted();
    if (end) this.end(null);
  }

  /** The owner asked for something that cannot be sent. */
  #fail(): void {
    this.#breakOff('internal', false);
  }

  /** The handler is told later: the owner is in the middle of a call to us. */
  #breakOff(reason: ResetReason, answered: boolean): void {
    this.#dead = true;
    this.#connection.abandoned(answered);
    process.nextTick(() => this.#handler?.onReset(reason));
  }
}
