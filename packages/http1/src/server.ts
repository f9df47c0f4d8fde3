/** HTTP/1.1 and 1.0 server on a socket (RFC 9112). */
import type { Socket } from 'node:net';
import type { Clock } from '@mesh/clock/clock';
import type { Headers, RequestListener, ServerConnection, StreamHandler } from '@mesh/http/message';
import type { LimitLedger } from '@mesh/limits/limits';
import { resetSocket } from '@mesh/sockets/reset-socket';
import { type SocketUser, useSocket } from '@mesh/sockets/socket-user';
import { Deadline, type DeadlineOwner } from './deadline.ts';
import { type Http1Fault, http1Faults } from './faults.ts';
import { FieldFacts } from './field-facts.ts';
import { responseHeadText } from './head-writer.ts';
import { HeldBytes } from './held-bytes.ts';
import type { Http1LimitName, Http1LimitValues } from './limits.ts';
import { MessageReader, type MessageSink } from './message-reader.ts';
import { parseRequestHead } from './request-head.ts';
import type { Section } from './section.ts';
import { type ExchangeConnection, ServerExchange } from './server-exchange.ts';
import { SocketOutput } from './socket-output.ts';

export interface Http1ServerOptions {
  clock: Clock;
  limits: LimitLedger<Http1LimitName>;
  /** Told of each request that was refused before the listener saw it, and of each body that broke off. */
  onFault?: (fault: Http1Fault) => void;
  /** Whether the client reset the connection of this socket, which is paused and so does not say. Asked now and then. */
  isReset?: (socket: Socket) => boolean;
  /** Whether the other end reset this socket, though reads may not say so. Asked at the ends of a tunnel. */
  resetUnseen?: (socket: Socket) => boolean;
}

/**
 * Serves requests on `socket` and owns it from now on. The socket may hold unshifted bytes. Pipelined requests are
 * answered in order, one at a time.
 */
export function serveHttp1(
  socket: Socket,
  listener: RequestListener,
  options: Http1ServerOptions,
): ServerConnection {
  const connection = new Http1ServerConnection(socket, listener, options);
  connection.start();
  return connection;
}

class Http1ServerConnection
  implements ServerConnection, MessageSink, ExchangeConnection, SocketUser, DeadlineOwner
{
  readonly output: SocketOutput;
  readonly #socket: Socket;
  readonly #listener: RequestListener;
  readonly #ledger: LimitLedger<Http1LimitName>;
  readonly #limits: Http1LimitValues;
  readonly #onFault: ((fault: Http1Fault) => void) | undefined;
  readonly #isReset: ((socket: Socket) => boolean) | undefined;
  readonly #resetUnseen: ((socket: Socket) => boolean) | undefined;
  readonly #reader: MessageReader;
  readonly #facts: FieldFacts = new FieldFacts();
  readonly #deadline: Deadline;
  #exchange: ServerExchange | null = null;
  /** Bytes behind the current request. */
  readonly #pipelined: HeldBytes = new HeldBytes();
  /** The client's wish for the current request. */
  #clientKeepsAlive = true;
  #draining = false;
  #reading = false;
  /** The bytes being read are the socket's next read's, too. */
  #lent = false;
  #paused = false;
  /** The last response was sent; the client may still read it. */
  #closing = false;
  #closed = false;
  #phase: 'idle' | 'head' | 'stall' | 'held' | 'linger' | 'none' = 'none';

  constructor(socket: Socket, listener: RequestListener, options: Http1ServerOptions) {
    const { clock, limits, onFault, isReset, resetUnseen } = options;
    this.#socket = socket;
    this.#listener = listener;
    this.#ledger = limits;
    this.#limits = limits.values;
    this.#onFault = onFault;
    this.#isReset = isReset;
    this.#resetUnseen = resetUnseen;
    this.output = new SocketOutput(socket);
    this.#reader = new MessageReader(this, this.#limits);
    this.#deadline = new Deadline(clock, this);
  }

  start(): void {
    const socket = this.#socket;
    socket.setNoDelay(true);
    // A tunnel's directions end one by one; for requests `#onSocketEnd` decides.
    socket.allowHalfOpen = true;
    useSocket(socket, this);
    this.#updateDeadline();
    if (socket.destroyed) process.nextTick(() => this.onSocketClose());
    else socket.resume();
  }

  get activeStreams(): number {
    return this.#exchange === null ? 0 : 1;
  }

  handlers(): StreamHandler[] {
    const handler = this.#exchange?.handler ?? null;
    return handler === null ? [] : [handler];
  }

  get keepsAlive(): boolean {
    return this.#clientKeepsAlive && !this.#draining;
  }

  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    // A request that was put back after a look at its first bytes counts as one that is there.
    const idle = this.#exchange === null && !this.#reader.insideHead && this.#socket.readableLength === 0;
    if (idle && !this.#closing) this.#closeGracefully();
  }

  destroy(): void {
    this.#destroy();
  }

  // --- from the socket

  onBytes(chunk: Buffer, lent: boolean): void {
    if (this.#closing || this.#closed) return;
    if (this.#pipelined.length > 0) {
      this.#pipelined.add(chunk);
      this.#updateReading();
      return;
    }
    this.#lent = lent;
    const at = this.#read(chunk);
    if (at < chunk.length) this.#pipelined.add(at === 0 ? chunk : chunk.subarray(at));
    this.#afterRead();
  }

  onSocketDrain(): void {
    this.#moved();
    this.#exchange?.drained();
    this.#updateDeadline();
  }

  onSocketEnd(): void {
    if (this.#closing) return;
    const exchange = this.#exchange;
    if (exchange?.isTunnel) {
      if (this.#resetUnseen?.(this.#socket) === true) {
        this.#destroy();
        return;
      }
      exchange.requestEnded(null);
      this.#updateDeadline();
      return;
    }
    if (exchange !== null && !exchange.answered) {
      // As other proxies do: a client that closes before its response has lost interest.
      exchange.cut('cancel');
      this.#destroy();
      return;
    }
    this.#closeGracefully();
  }

  /** Our FIN is out: from here on only the client's reading is waited for. */
  onSocketFinish(): void {
    // A socket that is ending does not say that it drained.
    this.#exchange?.drained();
    if (this.#closing && this.#phase === 'stall') this.#setPhase('linger', this.#limits.http1_linger_ms);
  }

  onSocketClose(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#deadline.close();
    this.#reader.stop();
    this.#pipelined.clear();
    const exchange = this.#exchange;
    this.#exchange = null;
    exchange?.cut('closed');
    this.#listener.onClose();
  }

  onDeadline(): void {
    switch (this.#phase) {
      case 'idle':
        this.#ledger.hit('http1_idle_ms');
        this.#closeGracefully();
        return;
      case 'head':
        this.#refuse('head-timeout');
        return;
      case 'stall': {
        this.#ledger.hit('http1_stall_ms');
        const exchange = this.#exchange;
        exchange?.cut('timeout');
        this.#destroy();
        return;
      }
      case 'held':
        if (this.#isReset?.(this.#socket) === true) {
          this.#ledger.hit('http1_held_ms');
          this.#destroy();
        } else {
          this.#setPhase('held', this.#limits.http1_held_ms);
        }
        return;
      case 'linger':
        this.#ledger.hit('http1_linger_ms');
        this.#destroy();
        return;
      case 'none':
      // Has no deadline: see `#setNoPhase`.
    }
  }

  // --- reading

  /** Returns the offset of the first byte that has to wait. */
  #read(chunk: Buffer): number {
    this.#reading = true;
    let at = 0;
    for (;;) {
      at = this.#reader.read(chunk, at);
      if (this.#closing || this.#closed || this.#reader.fault !== undefined) {
        at = chunk.length;
        break;
      }
      if (this.#exchange !== null || !this.#reader.done) break;
      this.#reader.next();
      if (at === chunk.length) break;
    }
    this.#reading = false;
    return at;
  }

  /** Reads on in what came behind the last request. */
  #readPipelined(): void {
    const chunk = this.#pipelined.peek();
    if (chunk !== undefined) {
      this.#lent = false;
      this.#pipelined.skip(this.#read(chunk));
    }
    this.#afterRead();
  }

  #afterRead(): void {
    const fault = this.#reader.fault;
    if (fault !== undefined && !this.#closing && !this.#closed) this.#refuse(fault);
    if (this.#closed) return;
    this.#updateReading();
    this.#moved();
    this.#updateDeadline();
  }

  static #resumePipelined(connection: Http1ServerConnection): void {
    if (connection.#exchange === null && !connection.#closing && !connection.#closed)
      connection.#readPipelined();
  }

  onHead(section: Section): Http1Fault | undefined {
    const facts = this.#facts;
    const head = parseRequestHead(section, facts, this.#limits);
    const expects = facts.expect === '100-continue';
    facts.release();
    if (typeof head === 'string') return head;
    const reader = this.#reader;
    const tunnel = head.upgrade !== '' || head.method === 'CONNECT';
    if (tunnel && (facts.chunked || facts.contentLength > 0)) return 'body-not-allowed';
    const end = !tunnel && !facts.chunked && facts.contentLength <= 0;
    if (tunnel) reader.hold();
    else if (facts.chunked) reader.beginChunked();
    else if (end) reader.finish();
    else reader.beginLength(facts.contentLength);
    this.#clientKeepsAlive = facts.persists(head.version === 10 ? 10 : 11);
    const exchange = new ServerExchange(this, head, end, expects);
    this.#exchange = exchange;
    exchange.attach(this.#listener.onRequest(exchange, head, end));
    return undefined;
  }

  onBody(chunk: Buffer): void {
    this.#exchange?.deliver(this.#owned(chunk));
  }

  #owned(bytes: Buffer): Buffer {
    return this.#lent ? Buffer.from(bytes) : bytes;
  }

  onMessageEnd(trailers: Headers | null): void {
    this.#exchange?.requestEnded(trailers);
  }

  // --- from the exchange

  tunnelAccepted(): void {
    this.#reader.beginTunnel();
    process.nextTick(() => {
      if (this.#closed || this.#closing) this.#afterRead();
      else this.#readPipelined();
    });
  }

  tunnelRefused(): void {
    this.#reader.finish();
    const exchange = this.#exchange;
    // The owner is inside `respond`.
    process.nextTick(() => exchange?.requestEnded(null));
  }

  tunnelEnded(): void {
    if (this.#resetUnseen?.(this.#socket) === true) {
      this.#socket.destroy();
      return;
    }
    this.output.flush();
    this.#socket.end();
    this.#updateDeadline();
  }

  finished(): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    if (exchange === null) return;
    if (!exchange.keepsAlive || this.#draining || !this.#clientKeepsAlive) {
      this.#closeGracefully();
      return;
    }
    if (this.#reading) return;
    this.output.flush();
    this.#reader.next();
    if (this.#pipelined.length > 0) process.nextTick(Http1ServerConnection.#resumePipelined, this);
    else this.#updateReading();
    this.#updateDeadline();
  }

  abandoned(answered: boolean): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    if (answered) {
      this.#closeGracefully();
      return;
    }
    this.#reader.stop();
    this.output.discard();
    this.#cut(exchange);
  }

  creditReturned(): void {
    this.#updateReading();
  }

  blocked(): void {
    this.#updateDeadline();
  }

  // --- flow and time

  #updateReading(): void {
    const window = this.#limits.http1_body_window_bytes;
    const owed = this.#exchange?.owed ?? 0;
    // Paused sockets do not tell that their client left, so a few bytes behind a request are no reason yet.
    const early = this.#pipelined.length >= this.#limits.http1_pipelined_bytes;
    const stop = !this.#closing && (early || (this.#paused ? owed > window / 2 : owed >= window));
    if (stop === this.#paused) return;
    this.#paused = stop;
    if (stop) this.#socket.pause();
    else this.#socket.resume();
    if (stop && early) this.#ledger.hit('http1_pipelined_bytes');
    this.#moved();
    this.#updateDeadline();
  }

  /** What was waited for came, at least in part: the next wait has its whole time. */
  #moved(): void {
    if (this.#phase === 'stall' && !this.#closing) this.#setNoPhase();
  }

  #updateDeadline(): void {
    const exchange = this.#exchange;
    if (this.#closed || this.#closing) return;
    const answered = exchange?.answered ?? false;
    if (exchange === null || (answered && !exchange.requestDone)) {
      if (this.#reader.insideHead) {
        // Set once: each further byte of the head may not move it.
        if (this.#phase !== 'head') this.#setPhase('head', this.#limits.http1_head_ms);
      } else {
        this.#setPhase('idle', this.#limits.http1_idle_ms);
      }
      return;
    }
    const waitsForBody = !exchange.requestDone && !this.#paused;
    // Complete both ways and not over: the client has to read. Before that a tunnel may be silent for days.
    if (answered || (!exchange.isTunnel && (waitsForBody || this.output.blocked))) {
      if (this.#phase !== 'stall') this.#setPhase('stall', this.#limits.http1_stall_ms);
    } else if (this.#paused && this.#isReset !== undefined) {
      if (this.#phase !== 'held') this.#setPhase('held', this.#limits.http1_held_ms);
    } else if (this.#phase !== 'none') {
      this.#setNoPhase();
    }
  }

  /** Nobody but the owner is waited for. */
  #setNoPhase(): void {
    this.#phase = 'none';
    this.#deadline.clear();
  }

  #setPhase(phase: 'idle' | 'head' | 'stall' | 'held' | 'linger', delayMs: number): void {
    this.#phase = phase;
    this.#deadline.set(delayMs);
  }

  // --- ending

  /** Answers what cannot be served, where an answer can still be understood, and closes. */
  #refuse(fault: Http1Fault): void {
    const { status, text, limit } = http1Faults[fault];
    if (limit !== undefined) this.#ledger.hit(limit);
    this.#onFault?.(fault);
    const exchange = this.#exchange;
    this.#exchange = null;
    exchange?.cut('protocol');
    if (exchange?.answered === true) {
      this.#closeGracefully();
      return;
    }
    if (exchange?.unanswered === false) {
      this.output.discard();
      this.#cut(exchange);
      return;
    }
    const body = `${text}\n`;
    const head = responseHeadText(status, ['content-type', 'text/plain', 'l5d-proxy-error', text], {
      framing: `content-length: ${body.length}\r\nconnection: close\r\n`,
      withLength: false,
    });
    if (head !== undefined) this.output.text(head + body);
    this.#closeGracefully();
  }

  /** Sends what is left and our FIN, then reads on for a moment, lest a reset destroys what the client has not read. */
  #closeGracefully(): void {
    if (this.#closing || this.#closed) return;
    this.#closing = true;
    this.#reader.stop();
    this.#pipelined.clear();
    this.output.flush();
    // At the end of a tunnel our FIN may be out already.
    if (this.#socket.writableFinished) this.#setPhase('linger', this.#limits.http1_linger_ms);
    else this.#setPhase('stall', this.#limits.http1_stall_ms);
    this.#socket.end();
    this.#updateReading();
  }

  #destroy(): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    exchange?.cut('closed');
    this.#reader.stop();
    this.output.discard();
    this.#cut(exchange);
  }

  /** What of a response reached the client may not look whole. */
  #cut(exchange: ServerExchange | null): void {
    if (exchange?.endsWithConnection === true) resetSocket(this.#socket);
    else this.#socket.destroy();
  }
}
