import type { Socket } from 'node:net';
import type { RequestListener, ResetReason, ServerConnection, StreamHandler } from '@mesh/http/message';
import type { Timer } from '@mesh/clock/clock';
import type { ConnectionOptions } from './channel.ts';
import { Connection } from './connection.ts';
import { errorCode } from './error-codes.ts';
import { clientPreface, maxStreamId } from './frames.ts';
import { parseRequest } from './head-rules.ts';
import type { DecodeStatus } from './hpack/decoder.ts';
import { settingId } from './settings.ts';
import { Http2Stream } from './stream.ts';
import { SocketTransport, type Transport } from './transport.ts';

/** What a request counts for in `http2_turn_work`: it is forwarded, which costs as much as some frames. */
const requestWork = 24;

export interface Http2ServerOptions extends ConnectionOptions {}

/** Serves HTTP/2 on a socket whose first unread byte is the client's preface (prior knowledge, or ALPN `h2`). */
export function serveHttp2(
  socket: Socket,
  listener: RequestListener,
  options: Http2ServerOptions,
): ServerConnection {
  const transport = new SocketTransport(socket);
  const connection = new Http2Server(transport, listener, options);
  transport.attach(connection);
  return connection;
}

/** The server side of a connection (RFC 9113). */
export class Http2Server extends Connection implements ServerConnection {
  protected readonly pausesReading = true;
  protected readonly peerRole = 'client';
  readonly #listener: RequestListener;
  #prefaceMatched = 0;
  /** Highest stream of ours after the final GOAWAY; streams above it are ignored. */
  #acceptedTo = maxStreamId;
  #drain: 'no' | 'announced' | 'final' = 'no';
  #drainTimer: Timer | undefined;
  /** Since when no stream is open. The timer looks at it now and then: requests start and stop none. */
  #idleSince: number;
  #idleTimer: Timer;

  constructor(transport: Transport, listener: RequestListener, options: Http2ServerOptions) {
    super(transport, options);
    this.#listener = listener;
    this.#idleSince = this.clock.now();
    this.#idleTimer = this.#lookAgain(this.limits.values.http2_idle_ms);
    this.announce([
      [settingId.maxConcurrentStreams, this.limits.values.http2_streams],
      ...this.commonSettings(),
      [settingId.enableConnectProtocol, 1],
    ]);
  }

  /**
   * Graceful end (RFC 9113 §6.8): a GOAWAY that still accepts everything, a PING, and once that came back a
   * GOAWAY with the last stream; the connection closes behind its last stream.
   */
  drain(): void {
    if (this.state !== 'open' || this.#drain !== 'no') return;
    this.#drain = 'announced';
    this.writer.goaway(maxStreamId, errorCode.noError);
    this.writer.ping(0);
    this.#drainTimer = this.clock.after(
      this.limits.values.http2_drain_ping_ms,
      () => {
        this.limits.hit('http2_drain_ping_ms');
        this.#drainFinally();
      },
      true,
    );
  }

  handlers(): StreamHandler[] {
    return this.streams.all().map(({ handler }) => handler);
  }

  override receive(chunk: Buffer, lent = false): void {
    let at = 0;
    while (this.#prefaceMatched < clientPreface.length && at < chunk.length) {
      if (chunk[at] !== clientPreface[this.#prefaceMatched]) {
        this.fail(errorCode.protocolError);
        return;
      }
      at += 1;
      this.#prefaceMatched += 1;
    }
    this.receiveFrom(chunk, at, lent);
  }

  protected override onHead(
    streamId: number,
    endStream: boolean,
    fields: string[],
    status: DecodeStatus,
  ): boolean {
    const known = this.streams.get(streamId);
    if (known !== undefined) {
      if (known.remoteEnd) return this.fail(errorCode.streamClosed);
      return this.onTrailers(known, endStream, fields, status);
    }
    if (streamId % 2 === 0) return this.fail(errorCode.protocolError);
    if (streamId <= this.lastPeerId) return this.lateFrame(streamId);
    this.lastPeerId = streamId;
    this.guard.streamOpened();
    if (streamId > this.#acceptedTo) {
      this.resets.add(streamId);
      return true;
    }
    if (this.streams.size >= this.limits.values.http2_streams) {
      this.limits.hit('http2_streams');
      return this.#refuse(streamId, endStream, errorCode.refusedStream);
    }
    if (status === 'too-large') return this.#answerTooLarge(streamId, endStream);
    // No fault of the peer, who cannot know of this limit.
    if (!this.mayHoldHead()) return this.sendReset(streamId, errorCode.refusedStream, !endStream);
    const request = status === 'ok' ? parseRequest(fields) : status;
    if (typeof request === 'string') return this.#refuse(streamId, endStream, errorCode.protocolError);
    if (endStream && request.contentLength > 0) {
      return this.#refuse(streamId, endStream, errorCode.protocolError);
    }

    this.keepMarks(request.head.headers);
    this.worked(requestWork);
    const stream = this.#open(streamId, endStream);
    this.holdHead(stream);
    stream.bodyLeft = request.contentLength;
    stream.isUpgrade = request.head.upgrade !== '';
    stream.isTunnel = request.head.method === 'CONNECT';
    stream.handler = this.#listener.onRequest(stream, request.head, endStream);
    if (stream.earlyReset !== undefined) stream.handler.onReset(stream.earlyReset);
    return this.state === 'open';
  }

  protected override isIdle(streamId: number): boolean {
    return streamId % 2 === 0 || streamId > this.lastPeerId;
  }

  protected override mayReceiveBody(): boolean {
    return true;
  }

  protected override onPeerSettings(): boolean {
    return true;
  }

  protected override onGoaway(): void {}

  protected override onOwnPong(payload: number): void {
    if (payload === 0 && this.#drain === 'announced') this.#drainFinally();
  }

  protected override onPeerReset(stream: Http2Stream | undefined): boolean {
    if (stream !== undefined) {
      const livedMs = this.clock.now() - stream.openedAtMs;
      if (livedMs >= this.limits.values.http2_rapid_reset_ms) return true;
    }
    return this.guard.peerReset() || this.fail(errorCode.enhanceYourCalm);
  }

  protected override onStreamGone(): void {
    if (this.streams.size > 0) return;
    this.#idleSince = this.clock.now();
    if (this.#drain === 'final') this.finish();
  }

  protected override lossReason(): ResetReason {
    return 'closed';
  }

  protected override onUnusable(): void {}

  protected override onGone(): void {
    super.onGone();
    this.#drainTimer?.cancel();
    this.#idleTimer.cancel();
    this.#listener.onClose();
  }

  #open(streamId: number, endStream: boolean): Http2Stream {
    const stream = new Http2Stream(this, streamId, this.peer.initialWindowSize, this.streamWindow);
    stream.remoteEnd = endStream;
    stream.openedAtMs = Math.ceil(this.clock.now());
    this.streams.add(stream);
    return stream;
  }

  #refuse(streamId: number, endStream: boolean, code: number): boolean {
    if (!this.guard.provokedReset()) return this.fail(errorCode.enhanceYourCalm);
    return this.sendReset(streamId, code, !endStream);
  }

  /**
   * 431, and the rest of the request is not wanted. No reset that counts: a proxy passes on what its clients send, with a field of its
   * own that may be the one too many, and others share its connection. The work is counted as that of any request.
   */
  #answerTooLarge(streamId: number, endStream: boolean): boolean {
    this.worked(requestWork);
    const stream = this.#open(streamId, endStream);
    this.sendResponse(stream, 431, ['content-length', '0'], true);
    if (!endStream) this.resetStream(stream, errorCode.noError);
    return this.state === 'open';
  }

  #lookAgain(delayMs: number): Timer {
    return this.clock.after(delayMs, () => this.#checkIdle(), true);
  }

  #checkIdle(): void {
    const { http2_idle_ms: idleMs } = this.limits.values;
    const leftMs = this.streams.size > 0 ? idleMs : this.#idleSince + idleMs - this.clock.now();
    if (leftMs > 0) {
      this.#idleTimer = this.#lookAgain(leftMs);
      return;
    }
    if (this.state !== 'open' || this.#drain !== 'no') return;
    this.limits.hit('http2_idle_ms');
    this.drain();
  }

  #drainFinally(): void {
    this.#drainTimer?.cancel();
    this.#drainTimer = undefined;
    if (this.state !== 'open') return;
    this.#drain = 'final';
    this.#acceptedTo = this.lastPeerId;
    this.writer.goaway(this.lastPeerId, errorCode.noError);
    if (this.streams.size === 0) this.finish();
  }
}
