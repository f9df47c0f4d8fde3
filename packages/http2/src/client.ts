import type { Socket } from 'node:net';
import type { Timer } from '@mesh/clock/clock';
import type {
  ClientConnection,
  ClientHandler,
  ClientStream,
  RequestHead,
  ResetReason,
} from '@mesh/http/message';
import { neverIndexedIn } from '@mesh/http/never-indexed';
import { readBeforeClose } from '@mesh/sockets/read-in-place';
import { removeHeader } from '@mesh/http/headers';
import type { ConnectionOptions } from './channel.ts';
import { Connection } from './connection.ts';
import { errorCode } from './error-codes.ts';
import { clientPreface, maxStreamId } from './frames.ts';
import { parseResponse } from './head-rules.ts';
import type { DecodeStatus } from './hpack/decoder.ts';
import { settingId } from './settings.ts';
import { Http2Stream } from './stream.ts';
import { SocketTransport, type Transport } from './transport.ts';

export interface Http2ClientOptions extends ConnectionOptions {
  /** `:scheme` of requests that do not state one. Default `http`. */
  scheme?: 'http' | 'https';
  /**
   * Streams to assume the server to allow until its SETTINGS say so: what it said on an earlier connection. Default 100,
   * which RFC 9113 §6.5.2 recommends to servers as the least.
   */
  streamsBeforeSettings?: number;
}

export interface Http2ClientConnection extends ClientConnection {
  /** Streams that the server allows at once, as far as is known. */
  readonly maxStreams: number;
  /** Measures a round trip on the connection; not called when the connection ends first. */
  ping(onPong: (rttMs: number) => void): void;
  /**
   * The server accepts extended CONNECT (RFC 8441); undefined until its SETTINGS arrived, which `onChange` tells.
   * A request with `upgrade` is reset with `http11` when this is false, with `refused` while it is not known.
   */
  readonly extendedConnect: boolean | undefined;
}

/** Speaks HTTP/2 with prior knowledge on a connected socket (ALPN `h2`, where it is TLS). */
export function connectHttp2(socket: Socket, options: Http2ClientOptions): Http2ClientConnection {
  const transport = new SocketTransport(socket);
  const connection = new Http2Client(transport, options);
  transport.attach(connection);
  readBeforeClose(socket);
  return connection;
}

interface LateReset {
  readonly streamId: number;
  readonly code: number;
  readonly moreMayCome: boolean;
  readonly dueAt: number;
}

/** The client side of a connection (RFC 9113). */
export class Http2Client extends Connection implements Http2ClientConnection {
  onChange: () => void = () => {};
  protected readonly pausesReading = false;
  protected readonly peerRole = 'server';
  readonly #scheme: string;
  readonly #pings: { sentAt: number; onPong: (rttMs: number) => void }[] = [];
  #pingsAnswered = 0;
  protected nextId = 1;
  #draining = false;
  #mostStreams: number;
  #settingsSeen = false;
  /** Resets that wait, first those that are due first; their streams still count as open with the server. */
  readonly #lateResets: LateReset[] = [];
  #lateTimer: Timer | undefined;
  /** Requests that were never sent; their owners hear so at the end of the turn. */
  #rejected: Http2Stream[] = [];

  constructor(transport: Transport, options: Http2ClientOptions) {
    super(transport, options);
    this.#scheme = options.scheme ?? 'http';
    this.#mostStreams = options.streamsBeforeSettings ?? 100;
    // A server's SETTINGS must not turn push on (§6.5.2).
    this.peer.enablePush = 0;
    this.writer.output.appendCopy(clientPreface, 0, clientPreface.length);
    this.announce([[settingId.enablePush, 0], ...this.commonSettings()]);
  }

  get maxStreams(): number {
    return this.#mostStreams;
  }

  get usable(): boolean {
    return this.state === 'open' && !this.#draining && this.nextId <= maxStreamId;
  }

  get capacity(): number {
    return this.usable ? Math.max(0, this.#mostStreams - this.#taken) : 0;
  }

  get #taken(): number {
    return this.streams.size + this.#lateResets.length;
  }

  get extendedConnect(): boolean | undefined {
    return this.#settingsSeen ? this.peer.enableConnectProtocol === 1 : undefined;
  }

  request(head: RequestHead, end: boolean, handler: ClientHandler): ClientStream {
    const stream = new Http2Stream(this, this.nextId, this.peer.initialWindowSize, this.streamWindow);
    stream.handler = handler;
    stream.clientHandler = handler;
    stream.isHead = head.method === 'HEAD';
    stream.isUpgrade = head.upgrade !== '';
    stream.isTunnel = stream.isUpgrade || head.method === 'CONNECT';
    if (!this.usable) return this.#reject(stream, 'refused');
    if (stream.isUpgrade && this.extendedConnect !== true) {
      return this.#reject(stream, this.extendedConnect === undefined ? 'refused' : 'http11');
    }
    stream.openedInFlush = this.flushes;
    this.nextId += 2;
    // The last id there is: the connection goes on until its streams are done.
    if (this.nextId > maxStreamId) this.#draining = true;
    this.streams.add(stream);
    this.guard.streamOpened();
    const { encoder } = this.writer;
    encoder.begin(neverIndexedIn(head.headers));
    encoder.field(':method', stream.isUpgrade ? 'CONNECT' : head.method);
    if (head.method !== 'CONNECT' || stream.isUpgrade) {
      encoder.field(':scheme', head.scheme === '' ? this.#scheme : head.scheme);
      encoder.field(':path', head.path === '' ? '/' : head.path);
    }
    if (head.authority !== '') encoder.field(':authority', head.authority);
    if (stream.isUpgrade) encoder.field(':protocol', head.upgrade);
    this.writer.fields(head.headers);
    this.writer.block(stream.id, end);
    stream.localEnd = end;
    return stream;
  }

  override onTurnEnd(): void {
    const rejected = this.#rejected;
    if (rejected.length > 0) {
      this.#rejected = [];
      for (const { earlyReset, handler } of rejected) {
        if (earlyReset !== undefined) handler.onReset(earlyReset);
      }
    }
    super.onTurnEnd();
  }

  ping(onPong: (rttMs: number) => void): void {
    if (this.state !== 'open') return;
    this.#pings.push({ sentAt: this.clock.now(), onPong });
    this.writer.ping(this.#pingsAnswered + this.#pings.length);
  }

  drain(): void {
    if (this.state !== 'open' || this.#draining) return;
    this.#draining = true;
    this.writer.goaway(0, errorCode.noError);
    if (this.streams.size === 0) this.finish();
  }

  protected override onHead(
    streamId: number,
    endStream: boolean,
    fields: string[],
    status: DecodeStatus,
  ): boolean {
    const stream = this.streams.get(streamId);
    if (stream === undefined) return this.lateFrame(streamId);
    if (stream.remoteEnd) return this.fail(errorCode.streamClosed);
    if (stream.responded) return this.onTrailers(stream, endStream, fields, status);
    const response = status === 'ok' ? parseResponse(fields) : status;
    if (typeof response === 'string') return this.streamFault(stream, errorCode.protocolError);
    const { head, contentLength } = response;
    this.keepMarks(head.headers);
    if (head.status < 200) {
      if (endStream) return this.streamFault(stream, errorCode.protocolError);
      if (++stream.informed > this.limits.values.http2_informational_count) {
        this.limits.hit('http2_informational_count');
        return this.streamFault(stream, errorCode.enhanceYourCalm);
      }
      stream.clientHandler.onInform(head);
      return this.state === 'open';
    }
    // RFC 9110 §9.3.6: a tunnel has no content, whatever its answer says.
    const opensTunnel = stream.isTunnel && head.status < 300;
    if (opensTunnel && contentLength >= 0) removeHeader(head.headers, 'content-length');
    const bodiless = stream.isHead || head.status === 204 || head.status === 304;
    if (endStream && contentLength > 0 && !bodiless && !opensTunnel) {
      return this.streamFault(stream, errorCode.protocolError);
    }
    stream.responded = true;
    stream.bodyLeft = bodiless ? 0 : opensTunnel ? -1 : contentLength;
    if (endStream) {
      stream.bodyLeft = 0;
      this.remoteEnded(stream);
    }
    stream.clientHandler.onResponse(head, endStream);
    return this.state === 'open';
  }

  protected override isIdle(streamId: number): boolean {
    return streamId % 2 === 0 || streamId >= this.nextId;
  }

  protected override mayReceiveBody(stream: Http2Stream): boolean {
    return stream.responded;
  }

  protected override onPeerSettings(): boolean {
    if (this.peer.enablePush !== 0) return this.fail(errorCode.protocolError);
    const changed = !this.#settingsSeen || this.#mostStreams !== this.peer.maxConcurrentStreams;
    this.#settingsSeen = true;
    this.#mostStreams = this.peer.maxConcurrentStreams;
    if (changed) this.onChange();
    return this.state === 'open';
  }

  protected override onGoaway(lastStreamId: number): void {
    const wasUsable = this.usable;
    this.#draining = true;
    for (const stream of this.streams.all()) {
      if (stream.id > lastStreamId && !stream.dead) this.kill(stream, 'refused');
    }
    if (this.streams.size === 0) this.finish();
    if (wasUsable) this.onChange();
  }

  protected override onOwnPong(payload: number): void {
    if (payload !== this.#pingsAnswered + 1) return;
    const ping = this.#pings.shift();
    if (ping === undefined) return;
    this.#pingsAnswered += 1;
    ping.onPong(this.clock.now() - ping.sentAt);
  }

  protected override onPeerReset(): boolean {
    return true;
  }

  protected override onStreamGone(): void {
    if (this.#draining && this.streams.size === 0) this.finish();
    else if (this.#taken === this.#mostStreams - 1) this.onChange();
  }

  /**
   * Clients of ours that ask and leave at once must not have the server take us for a rapid reset and end the connection, which
   * others share. So most resets wait until their stream is old enough to be none, where there are many.
   */
  protected override tellReset(streamId: number, code: number, moreMayCome: boolean): void {
    if (this.guard.mayReset()) {
      super.tellReset(streamId, code, moreMayCome);
      return;
    }
    if (moreMayCome) this.resets.add(streamId);
    // Twice: the server may have been late to see the request, and be quick to see the reset.
    const delayMs = 2 * this.limits.values.http2_rapid_reset_ms;
    this.#lateResets.push({ streamId, code, moreMayCome, dueAt: this.clock.now() + delayMs });
    this.#lateTimer ??= this.clock.after(delayMs, () => this.#sendLateResets(), true);
    this.onStreamGone();
  }

  #sendLateResets(): void {
    this.#lateTimer = undefined;
    const late = this.#lateResets;
    const now = this.clock.now();
    for (let next = late[0]; next !== undefined && this.state === 'open'; next = late[0]) {
      if (next.dueAt > now) {
        this.#lateTimer = this.clock.after(next.dueAt - now, () => this.#sendLateResets(), true);
        return;
      }
      late.shift();
      super.tellReset(next.streamId, next.code, next.moreMayCome);
    }
  }

  /** With nobody else left on the connection there is no reason to wait. */
  protected override finish(): void {
    for (const { streamId, code, moreMayCome } of this.#lateResets.splice(0)) {
      if (this.state === 'open') this.sendReset(streamId, code, moreMayCome);
    }
    super.finish();
  }

  /** Requests whose owners hear that they were refused, so that they may go elsewhere, must not go out behind that. */
  protected override fail(code: number): false {
    if (this.state === 'open') this.dropUnsent();
    return super.fail(code);
  }

  protected override lossReason(stream: Http2Stream): ResetReason {
    return stream.openedInFlush === this.flushes ? 'refused' : 'closed';
  }

  protected override onUnusable(): void {
    this.onChange();
  }

  protected override onGone(): void {
    super.onGone();
    this.#lateTimer?.cancel();
    this.onChange();
  }

  #reject(stream: Http2Stream, reason: ResetReason): Http2Stream {
    stream.dead = true;
    stream.earlyReset = reason;
    this.#rejected.push(stream);
    this.schedule();
    return stream;
  }
}
