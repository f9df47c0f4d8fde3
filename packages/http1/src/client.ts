/** HTTP/1.1 client on a socket (RFC 9112): one request at a time, the connection reused. */
import type { Socket } from 'node:net';
import type { Clock } from '@mesh/clock/clock';
import type {
  ClientConnection,
  ClientHandler,
  ClientStream,
  Headers,
  RequestHead,
  ResetReason,
} from '@mesh/http/message';
import type { LimitLedger } from '@mesh/limits/limits';
import { type ByteSink, readBeforeClose, sendBytesTo } from '@mesh/sockets/read-in-place';
import { resetSocket } from '@mesh/sockets/reset-socket';
import { type BodyFraming, BodyWriter } from './body-writer.ts';
import { ClientExchange, type ClientExchangeConnection } from './client-exchange.ts';
import { Deadline, type DeadlineOwner } from './deadline.ts';
import { type Http1Fault, http1Faults } from './faults.ts';
import { FieldFacts } from './field-facts.ts';
import { contentLengthOf, requestHeadText } from './head-writer.ts';
import type { Http1LimitName, Http1LimitValues } from './limits.ts';
import { MessageReader, type MessageSink } from './message-reader.ts';
import { parseResponseHead, responseBody } from './response-head.ts';
import type { Section } from './section.ts';
import { SocketOutput } from './socket-output.ts';

export interface Http1ClientOptions {
  clock: Clock;
  limits: LimitLedger<Http1LimitName>;
  /** Told of each response that was refused. */
  onFault?: (fault: Http1Fault) => void;
  /** Whether the other end reset this socket, though reads may not say so. Asked at the ends of a tunnel. */
  resetUnseen?: (socket: Socket) => boolean;
}

/**
 * Sends requests on `socket` and owns it from now on. The socket may still be connecting. How long a connection may stay
 * idle is the pool's decision: it calls `drain`.
 */
export function connectHttp1(socket: Socket, options: Http1ClientOptions): ClientConnection {
  const connection = new Http1ClientConnection(socket, options);
  connection.start();
  return connection;
}

const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

class Http1ClientConnection
  implements ClientConnection, MessageSink, ClientExchangeConnection, ByteSink, DeadlineOwner
{
  onChange: () => void = () => {};
  readonly output: SocketOutput;
  readonly #socket: Socket;
  readonly #ledger: LimitLedger<Http1LimitName>;
  readonly #limits: Http1LimitValues;
  readonly #onFault: ((fault: Http1Fault) => void) | undefined;
  readonly #resetUnseen: ((socket: Socket) => boolean) | undefined;
  readonly #reader: MessageReader;
  readonly #facts: FieldFacts = new FieldFacts();
  readonly #headDeadline: Deadline;
  #exchange: ClientExchange | null = null;
  /** The server will take another request after this one. */
  #persists = true;
  #draining = false;
  /** No further request, the socket is ended or gone. */
  #closing = false;
  #closed = false;
  #paused = false;
  #headDeadlineSet = false;
  #connected: boolean;
  /** `handovers` of the output when the current request began. */
  #handoversBefore = 0;
  /** The connection carried a request before the current one. */
  #reused = false;
  #reading = false;
  /** The bytes being read are the socket's next read's, too. */
  #lent = false;
  /** The exchange is complete; the connection is not yet free. */
  #settling = false;

  constructor(socket: Socket, { clock, limits, onFault, resetUnseen }: Http1ClientOptions) {
    this.#socket = socket;
    this.#connected = !socket.connecting;
    this.#ledger = limits;
    this.#limits = limits.values;
    this.#onFault = onFault;
    this.#resetUnseen = resetUnseen;
    this.output = new SocketOutput(socket);
    this.#reader = new MessageReader(this, this.#limits);
    this.#headDeadline = new Deadline(clock, this);
  }

  start(): void {
    const socket = this.#socket;
    socket.setNoDelay(true);
    socket.allowHalfOpen = true;
    if (!this.#connected) {
      socket.on('connect', () => {
        this.#connected = true;
      });
    }
    sendBytesTo(this, socket);
    readBeforeClose(socket);
    socket.on('drain', () => this.#exchange?.drained());
    socket.on('end', () => this.#onSocketEnd());
    // 'close' follows and is where the exchange learns of it.
    socket.on('error', () => {});
    socket.on('close', () => this.#onSocketClose());
    if (socket.destroyed) process.nextTick(() => this.#onSocketClose());
    else socket.resume();
  }

  get usable(): boolean {
    return this.#persists && !this.#draining && !this.#closing && !this.#closed && !this.#socket.destroyed;
  }

  get capacity(): number {
    return this.usable && this.#exchange === null && !this.#settling ? 1 : 0;
  }

  get activeStreams(): number {
    return this.#exchange === null ? 0 : 1;
  }

  request(head: RequestHead, end: boolean, handler: ClientHandler): ClientStream {
    const tunnel = head.upgrade !== '' || head.method === 'CONNECT';
    const length = contentLengthOf(head.headers);
    const body = new BodyWriter(this.output);
    const exchange = new ClientExchange({
      connection: this,
      handler,
      body,
      method: head.method,
      upgrade: head.upgrade,
      requestDone: end && !tunnel,
    });
    if (this.capacity === 0) {
      process.nextTick(() => exchange.cut('refused'));
      return exchange;
    }
    // Extended CONNECT is HTTP/2's own: over HTTP/1 it would need a handshake key that only the browser can check.
    const unfit = length === undefined || (head.method === 'CONNECT' && head.upgrade !== '');
    let framing: BodyFraming = 'none';
    let fields = '';
    if (head.upgrade !== '') {
      fields = `connection: upgrade\r\nupgrade: ${head.upgrade}\r\n`;
    } else if (!end && !tunnel) {
      framing = length !== undefined && length >= 0 ? 'length' : 'chunked';
      if (framing === 'chunked') fields = 'transfer-encoding: chunked\r\n';
    } else if (end && length === -1 && expectsContent(head.method)) {
      fields = 'content-length: 0\r\n';
    }
    const asHttp10 = head.version === 10 && head.authority === '' && framing !== 'chunked' && !tunnel;
    const text = unfit || (end && length > 0) ? undefined : requestHeadText(head, fields, asHttp10);
    if (text === undefined) {
      process.nextTick(() => exchange.cut('protocol'));
      return exchange;
    }
    body.begin(framing, Math.max(length ?? 0, 0));
    this.#exchange = exchange;
    this.#handoversBefore = this.output.handovers;
    this.output.text(text);
    if (end || tunnel) this.output.flush();
    return exchange;
  }

  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    if (this.#exchange === null) this.#end();
    this.onChange();
  }

  destroy(): void {
    this.#destroy('closed');
  }

  // --- from the socket

  onBytes(chunk: Buffer, lent: boolean): void {
    if (this.#closing) return;
    if (this.#exchange === null) {
      // Nobody asked: whatever this is, it must not become somebody's response.
      this.#destroy('closed');
      return;
    }
    this.#reading = true;
    this.#lent = lent;
    const at = this.#reader.read(chunk, 0);
    this.#reading = false;
    if (this.#reader.fault !== undefined) {
      this.#fault(this.#reader.fault);
      return;
    }
    if (this.#closing || this.#closed) return;
    // Bytes behind the response that nobody asked for: the response stands, the connection is not trusted with another.
    if (at < chunk.length) this.#persists = false;
    if (this.#settling) this.#settle();
    this.#watchHead();
    this.#updateReading();
  }

  #onSocketEnd(): void {
    const exchange = this.#exchange;
    const broken = exchange?.isTunnel === true && this.#resetUnseen?.(this.#socket) === true;
    if (exchange !== null && !broken && this.#reader.endsWithConnection && exchange.responded) {
      this.#persists = false;
      exchange.responseEnded(null);
      // A tunnel's other direction may go on; a request that is still being sent has lost its reader.
      if (!exchange.isTunnel && this.#exchange === exchange) this.#destroy('closed');
      return;
    }
    this.#destroy('closed');
  }

  #onSocketClose(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#destroy('closed');
    this.onChange();
  }

  // --- from the reader

  onHead(section: Section): Http1Fault | undefined {
    const exchange = this.#exchange;
    if (exchange === null) return 'bad-status-line';
    const facts = this.#facts;
    const parsed = parseResponseHead(section, facts, this.#limits);
    const { upgrade } = facts;
    facts.release();
    if (typeof parsed === 'string') return parsed;
    const { head, version } = parsed;
    const { status } = head;
    const body = responseBody(head, facts, exchange.method);
    const reader = this.#reader;
    switch (body) {
      case 'tunnel':
        if (status === 101 && (exchange.upgrade === '' || upgrade !== exchange.upgrade)) return 'bad-upgrade';
        this.#persists = false;
        reader.beginTunnel();
        exchange.respondTunnel(head);
        return undefined;
      case 'none':
        reader.finish();
        if (status < 200) {
          if (++exchange.informed > this.#limits.http1_informational_count) return 'too-many-informational';
          reader.next();
          exchange.inform(head);
          return undefined;
        }
        break;
      case 'length':
        reader.beginLength(facts.contentLength);
        break;
      case 'chunked':
        reader.beginChunked();
        break;
      case 'close':
        reader.beginClose();
        break;
      default:
        return body;
    }
    // A server that answers before it has read the request may take the rest of it for the next one; and after a refused
    // upgrade some (nghttpx) take the next request for bytes of the tunnel.
    this.#persists = facts.persists(version) && body !== 'close' && exchange.requestDone;
    exchange.respond(head, body === 'none');
    return undefined;
  }

  onBody(chunk: Buffer): void {
    this.#exchange?.deliver(this.#lent ? Buffer.from(chunk) : chunk);
  }

  onMessageEnd(trailers: Headers | null): void {
    this.#exchange?.responseEnded(trailers);
  }

  // --- from the exchange

  tunnelEnded(): void {
    if (this.#resetUnseen?.(this.#socket) === true) {
      this.#socket.destroy();
      return;
    }
    this.output.flush();
    this.#socket.end();
  }

  finished(): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    if (exchange?.isTunnel === true) {
      this.#closing = true;
      this.onChange();
      return;
    }
    this.#settling = true;
    // What else this read holds decides whether the connection is fit for another request.
    if (!this.#reading) this.#settle();
  }

  #settle(): void {
    this.#settling = false;
    this.#reused = true;
    if (!this.#persists || this.#draining) {
      this.#end();
    } else {
      this.#reader.next();
      this.#updateReading();
    }
    this.onChange();
  }

  abandoned(): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    this.#cut(exchange);
    this.#destroy('closed');
  }

  creditReturned(): void {
    this.#updateReading();
  }

  // --- flow, time, ending

  #updateReading(): void {
    const window = this.#limits.http1_body_window_bytes;
    const owed = this.#exchange?.owed ?? 0;
    const stop = this.#paused ? owed > window / 2 : owed >= window;
    if (stop === this.#paused) return;
    this.#paused = stop;
    if (stop) this.#socket.pause();
    else this.#socket.resume();
  }

  /** Set once per head, so that its bytes cannot move it. Waiting for the first byte is the owner's affair. */
  #watchHead(): void {
    const inside = this.#reader.insideHead;
    if (inside === this.#headDeadlineSet) return;
    this.#headDeadlineSet = inside;
    if (inside) this.#headDeadline.set(this.#limits.http1_head_ms);
    else this.#headDeadline.clear();
  }

  onDeadline(): void {
    this.#fault('head-timeout');
  }

  #fault(fault: Http1Fault): void {
    const { limit } = http1Faults[fault];
    if (limit !== undefined) this.#ledger.hit(limit);
    this.#onFault?.(fault);
    this.#destroy('protocol');
  }

  #end(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#headDeadline.close();
    this.#reader.stop();
    this.output.flush();
    // Nothing more is expected from the server: no reason to wait for its FIN.
    this.#socket.destroySoon();
  }

  #destroy(reason: ResetReason): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    const wasUsable = this.usable || exchange !== null;
    const repeatable =
      !this.#connected ||
      this.output.handovers === this.#handoversBefore ||
      (exchange !== null && this.#crossed(exchange));
    this.#closing = true;
    this.#headDeadline.close();
    this.#reader.stop();
    this.output.discard();
    this.#cut(exchange);
    exchange?.cut(repeatable && reason === 'closed' ? 'refused' : reason);
    if (wasUsable) this.onChange();
  }

  /** A tunnel that broke off may not look to the server as if it had come to its end (RFC 9113 §8.5). */
  #cut(exchange: ClientExchange | null): void {
    if (exchange?.isTunnel === true && !exchange.requestDone) resetSocket(this.#socket);
    else this.#socket.destroy();
  }

  /**
   * Request and end of an idle connection crossed on the way, as with every server that is restarted or has an idle
   * time: the server most likely never saw the request. It may be sent again when it is safe to (RFC 9112 §9.3.1,
   * RFC 9110 §9.2.1).
   */
  #crossed(exchange: ClientExchange): boolean {
    return (
      this.#reused &&
      safeMethods.has(exchange.method) &&
      !exchange.responded &&
      exchange.informed === 0 &&
      !this.#reader.insideHead
    );
  }
}

/** Methods whose requests say so when they have no content (RFC 9110 §8.6). */
function expectsContent(method: string): boolean {
  return method === 'POST' || method === 'PUT' || method === 'PATCH';
}
