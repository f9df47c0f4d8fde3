import type { Timer } from '@mesh/clock/clock';
import type { Headers, ResetReason } from '@mesh/http/message';
import { markNeverIndexed, neverIndexedIn } from '@mesh/http/never-indexed';
import type { ConnectionOptions } from './channel.ts';
import type { WindowBudget } from './window-budget.ts';
import { errorCode, reasonOfCode } from './error-codes.ts';
import { FrameReader, type FrameSink, frameFlag, frameType, maxWindow, readUint32 } from './frames.ts';
import { HeaderBlock } from './header-block.ts';
import { parseTrailers } from './head-rules.ts';
import { type DecodeStatus, HpackDecoder } from './hpack/decoder.ts';
import { ReceiveWindow } from './receive-window.ts';
import { ResetMemory } from './reset-memory.ts';
import { Session } from './session.ts';
import { settingId } from './settings.ts';
import type { TurnTask } from '@mesh/sockets/turn';
import { type Http2Stream, hasHandler } from './stream.ts';
import { StreamTable } from './stream-table.ts';
import { roundTripPing, StreamWindows } from './stream-windows.ts';
import type { Transport } from './transport.ts';

/**
 * One HTTP/2 connection in either role, apart from its socket: bytes go in by `receive`, frames collect in the
 * channel and leave at the end of the turn. The subclass knows what a header list means.
 */
export abstract class Connection extends Session implements FrameSink {
  protected readonly streams: StreamTable<Http2Stream> = new StreamTable();
  protected readonly resets: ResetMemory = new ResetMemory();
  protected readonly streamWindow: number;
  /** What a stream gives back before its window is looked at for the first time. */
  readonly firstUpdateAt: number;
  readonly #reader: FrameReader = new FrameReader();
  readonly #decoder: HpackDecoder;
  readonly #block: HeaderBlock = new HeaderBlock();
  readonly #receive: ReceiveWindow;
  readonly #windows: StreamWindows;
  #blockTimer: Timer | undefined;
  /** When our SETTINGS went out; undefined once they are acknowledged. */
  #announcedAt: number | undefined;
  /** Input that waits for the next turn. */
  #held: Buffer[] = [];
  /** Reading stopped for the turn's share of work. */
  #stopped = false;
  readonly #goOn: TurnTask = { onTurnEnd: () => this.#readHeld() };
  /** Of the header lists of all streams in the table. */
  #headBytes = 0;
  /** What of them is of the program's budget. */
  #borrowedHeads = 0;
  readonly #budget: WindowBudget | undefined;
  /** Bytes that are read now and change with the socket's next read. */
  #lent: Buffer | undefined;

  constructor(transport: Transport, options: ConnectionOptions) {
    super(transport, options);
    const { values } = options.limits;
    this.streamWindow = options.streamWindow ?? 65_536;
    this.#budget = options.windowBudget;
    this.#receive = new ReceiveWindow({
      windowBytes: options.connectionWindow ?? 1_048_576,
      owedBytes: values.http2_owed_bytes,
      budget: options.windowBudget,
      limits: options.limits,
    });
    this.#windows = new StreamWindows({
      start: this.streamWindow,
      most: options.windowBudget === undefined ? this.streamWindow : values.http2_stream_window_bytes,
      connection: this.#receive,
      clock: options.clock,
      writer: this.writer,
    });
    this.firstUpdateAt = this.#windows.firstUpdateAt;
    this.#decoder = new HpackDecoder({
      headerListBytes: values.http2_header_list_bytes,
      headerCount: values.http2_header_count,
      decodedFields: values.http2_decoded_fields,
    });
  }

  get activeStreams(): number {
    return this.streams.size;
  }

  // ---- bytes in

  receive(chunk: Buffer, lent = false): void {
    this.receiveFrom(chunk, 0, lent);
  }

  protected receiveFrom(chunk: Buffer, from: number, lent: boolean): void {
    if (this.state !== 'open') {
      this.stillThere();
      return;
    }
    if (this.yielding) {
      this.#held.push(copyOf(chunk, from, chunk.length));
      return;
    }
    this.#lent = lent ? chunk : undefined;
    this.#stopped = false;
    const at = this.#reader.read(chunk, from, this);
    if (!this.#stopped || this.state !== 'open') return;
    if (at < chunk.length) this.#held.push(lent ? copyOf(chunk, at, chunk.length) : chunk.subarray(at));
    this.yieldTo(this.#goOn);
  }

  #readHeld(): void {
    const held = this.#held;
    this.#held = [];
    this.readAgain();
    for (const chunk of held) this.receiveFrom(chunk, 0, false);
  }

  onOversizedFrame(): void {
    this.fail(errorCode.frameSizeError);
  }

  onFrame(
    type: number,
    flags: number,
    streamId: number,
    source: Buffer,
    start: number,
    end: number,
  ): boolean {
    if (!this.#take(type, flags, streamId, source, start, end)) return false;
    if (this.worked(1)) return true;
    this.#stopped = true;
    return false;
  }

  /** Whether the connection goes on. */
  #take(type: number, flags: number, streamId: number, source: Buffer, start: number, end: number): boolean {
    if (!this.mayBegin(type, flags)) return this.fail(errorCode.protocolError);
    if (this.#block.streamId !== 0 && type !== frameType.continuation) {
      return this.fail(errorCode.protocolError);
    }
    switch (type) {
      case frameType.data:
        return this.#onData(flags, streamId, source, start, end);
      case frameType.headers:
        return this.#onHeaders(flags, streamId, source, start, end);
      case frameType.continuation:
        return this.#onContinuation(flags, streamId, source, start, end);
      case frameType.windowUpdate:
        return this.#onWindowUpdate(streamId, source, start, end);
      case frameType.rstStream:
        return this.#onRstStream(streamId, source, start, end);
      case frameType.settings:
        return this.onSettings(flags, streamId, source, start, end);
      case frameType.ping:
        return this.onPing(flags, streamId, source, start, end);
      case frameType.goaway:
        if (streamId !== 0) return this.fail(errorCode.protocolError);
        if (end - start < 8) return this.fail(errorCode.frameSizeError);
        this.onGoaway(readUint32(source, start) & maxWindow, readUint32(source, start + 4));
        return this.state === 'open';
      case frameType.priority:
        return this.onPriority(streamId, source, start, end);
      case frameType.pushPromise:
        return this.fail(errorCode.protocolError);
      default:
        return this.guard.unknownFrame() || this.fail(errorCode.enhanceYourCalm);
    }
  }

  // ---- what a role adds

  protected abstract readonly peerRole: 'client' | 'server';
  /** A complete header block. False stops reading. */
  protected abstract onHead(
    streamId: number,
    endStream: boolean,
    fields: string[],
    status: DecodeStatus,
  ): boolean;
  /** True for a stream id that nobody used yet. */
  protected abstract isIdle(streamId: number): boolean;
  protected abstract onGoaway(lastStreamId: number, code: number): void;
  /** A stream left the table. */
  protected abstract onStreamGone(): void;
  /** Why streams die when the connection does. */
  protected abstract lossReason(stream: Http2Stream): ResetReason;

  // ---- frames in

  #onData(flags: number, streamId: number, source: Buffer, start: number, end: number): boolean {
    if (streamId === 0) return this.fail(errorCode.protocolError);
    const length = end - start;
    if (!this.#receive.arrived(length)) return this.fail(errorCode.flowControlError);
    let from = start;
    let to = end;
    if ((flags & frameFlag.padded) !== 0) {
      const padding = length === 0 ? 0 : (source[start] as number);
      if (padding >= length) return this.fail(errorCode.protocolError);
      from += 1;
      to -= padding;
    }
    const body = to - from;
    const endStream = (flags & frameFlag.endStream) !== 0;
    if (!this.guard.payload(body > 0 || endStream)) return this.fail(errorCode.enhanceYourCalm);
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      this.#dropped(length);
      return this.lateFrame(streamId);
    }
    // Errors behind END_STREAM end the connection: a reset here would free a slot whose work goes on (CVE-2025-8671).
    if (stream.remoteEnd) return this.fail(errorCode.streamClosed);
    stream.receiveWindow -= length;
    const fault =
      stream.receiveWindow < 0
        ? errorCode.flowControlError
        : !this.mayReceiveBody(stream) || (stream.bodyLeft >= 0 && body > stream.bodyLeft)
          ? errorCode.protocolError
          : errorCode.noError;
    if (fault !== errorCode.noError) {
      this.#dropped(length);
      return this.streamFault(stream, fault);
    }
    if (stream.bodyLeft >= 0) stream.bodyLeft -= body;
    if (length > body) {
      this.#dropped(length - body);
      this.#returnToPeer(stream, length - body);
    }
    if (body > 0) {
      stream.owed += body;
      this.#receive.delivered(body);
      this.#announceWindow();
      stream.handler.onData(source === this.#lent ? copyOf(source, from, to) : bodyOf(source, from, to));
    }
    if (endStream && !stream.dead) return this.finishRemote(stream, null);
    return this.state === 'open';
  }

  /** False for DATA before the head of a response. */
  protected abstract mayReceiveBody(stream: Http2Stream): boolean;

  #onHeaders(flags: number, streamId: number, source: Buffer, start: number, end: number): boolean {
    if (streamId === 0) return this.fail(errorCode.protocolError);
    let from = start;
    let to = end;
    if ((flags & frameFlag.padded) !== 0) {
      if (from >= to) return this.fail(errorCode.frameSizeError);
      to -= source[from] as number;
      from += 1;
    }
    if ((flags & frameFlag.priority) !== 0) {
      if (to - from < 5) return this.fail(to < from ? errorCode.protocolError : errorCode.frameSizeError);
      if ((readUint32(source, from) & maxWindow) === streamId) return this.fail(errorCode.protocolError);
      from += 5;
    }
    if (to < from) return this.fail(errorCode.protocolError);
    const endStream = (flags & frameFlag.endStream) !== 0;
    if (!this.guard.payload(to > from || endStream)) return this.fail(errorCode.enhanceYourCalm);
    if ((flags & frameFlag.endHeaders) !== 0) return this.#onBlock(streamId, endStream, source, from, to);
    this.#block.open(streamId, endStream, source.subarray(from, to));
    this.#blockTimer = this.clock.after(
      this.limits.values.http2_header_block_ms,
      () => this.timedOut('http2_header_block_ms', errorCode.enhanceYourCalm),
      true,
    );
    return true;
  }

  #onContinuation(flags: number, streamId: number, source: Buffer, start: number, end: number): boolean {
    const block = this.#block;
    if (streamId === 0 || block.streamId !== streamId) return this.fail(errorCode.protocolError);
    if (!this.guard.payload(end > start)) return this.fail(errorCode.enhanceYourCalm);
    block.add(source.subarray(start, end));
    const { http2_continuation_frames, http2_header_block_bytes } = this.limits.values;
    if (block.continuations > http2_continuation_frames) {
      return this.tooMuch('http2_continuation_frames');
    }
    if (block.bytes > http2_header_block_bytes) return this.tooMuch('http2_header_block_bytes');
    if ((flags & frameFlag.endHeaders) === 0) return true;
    this.#blockTimer?.cancel();
    this.#blockTimer = undefined;
    const whole = block.close();
    return this.#onBlock(streamId, block.endStream, whole, 0, whole.length);
  }

  #onBlock(streamId: number, endStream: boolean, source: Buffer, start: number, end: number): boolean {
    const fields: string[] = [];
    const status = this.#decoder.decode(source, start, end, fields);
    this.worked(((end - start) >> 6) + (this.#decoder.listBytes >> 8));
    if (status === 'broken') return this.fail(errorCode.compressionError);
    if (status === 'endless') return this.tooMuch('http2_decoded_fields');
    if (status === 'too-large') {
      const { http2_header_count } = this.limits.values;
      this.limits.hit(
        fields.length / 2 >= http2_header_count ? 'http2_header_count' : 'http2_header_list_bytes',
      );
    }
    return this.onHead(streamId, endStream, fields, status);
  }

  /** Whether the list that was just decoded may be held beside those of the streams that are open; counted when not. */
  protected mayHoldHead(): boolean {
    const { http2_held_header_bytes: own } = this.limits.values;
    const missing = this.#headBytes + this.#decoder.listBytes - own - this.#borrowedHeads;
    if (missing <= 0) return true;
    if (this.#budget === undefined) {
      this.limits.hit('http2_held_header_bytes');
      return false;
    }
    if (!this.#budget.takeHeads(missing)) return false;
    this.#borrowedHeads += missing;
    return true;
  }

  #releaseHead(stream: Http2Stream): void {
    this.#headBytes -= stream.headBytes;
    if (this.#borrowedHeads === 0) return;
    const needed = Math.max(0, this.#headBytes - this.limits.values.http2_held_header_bytes);
    this.#budget?.giveHeads(this.#borrowedHeads - needed);
    this.#borrowedHeads = needed;
  }

  /** The list that was just decoded is held as long as the stream is open. */
  protected holdHead(stream: Http2Stream): void {
    stream.headBytes = this.#decoder.listBytes;
    this.#headBytes += stream.headBytes;
  }

  /** Trailers on a stream whose peer half is open. */
  /** What of the list that was just decoded came never-indexed goes on so. */
  protected keepMarks(headers: Headers): void {
    const { neverIndexed } = this.#decoder;
    if (neverIndexed !== undefined) markNeverIndexed(headers, neverIndexed);
  }

  protected onTrailers(
    stream: Http2Stream,
    endStream: boolean,
    fields: string[],
    status: DecodeStatus,
  ): boolean {
    if (status === 'too-large') return this.streamFault(stream, errorCode.enhanceYourCalm);
    if (status !== 'ok' || !endStream) return this.streamFault(stream, errorCode.protocolError);
    const trailers = parseTrailers(fields);
    if (typeof trailers === 'string') return this.streamFault(stream, errorCode.protocolError);
    this.keepMarks(trailers);
    return this.finishRemote(stream, trailers);
  }

  /** The peer's half ended behind its head. */
  protected finishRemote(stream: Http2Stream, trailers: Headers | null): boolean {
    if (stream.bodyLeft > 0) return this.streamFault(stream, errorCode.protocolError);
    this.remoteEnded(stream);
    stream.handler.onEnd(trailers);
    return this.state === 'open';
  }

  protected remoteEnded(stream: Http2Stream): void {
    stream.remoteEnd = true;
    this.#windows.release(stream);
    if (stream.localEnd) this.#completed(stream);
  }

  #onWindowUpdate(streamId: number, source: Buffer, start: number, end: number): boolean {
    if (end - start !== 4) return this.fail(errorCode.frameSizeError);
    if (!this.guard.windowUpdate()) return this.fail(errorCode.enhanceYourCalm);
    const increment = readUint32(source, start) & maxWindow;
    if (streamId === 0) {
      if (increment === 0) return this.fail(errorCode.protocolError);
      this.sending.window += increment;
      if (this.sending.window > maxWindow) return this.fail(errorCode.flowControlError);
      this.schedule();
      return true;
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) return this.isIdle(streamId) ? this.fail(errorCode.protocolError) : true;
    if (increment === 0) return this.streamFault(stream, errorCode.protocolError);
    stream.sendWindow += increment;
    if (stream.sendWindow > maxWindow) return this.streamFault(stream, errorCode.flowControlError);
    this.sending.add(stream);
    this.schedule();
    return true;
  }

  #onRstStream(streamId: number, source: Buffer, start: number, end: number): boolean {
    if (streamId === 0) return this.fail(errorCode.protocolError);
    if (end - start !== 4) return this.fail(errorCode.frameSizeError);
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (this.isIdle(streamId)) return this.fail(errorCode.protocolError);
    } else {
      const code = readUint32(source, start);
      // From a server NO_ERROR belongs after a whole response (§8.1); before that something is wrong.
      const cut = code === errorCode.noError && this.peerRole === 'server' && !stream.remoteEnd;
      this.kill(stream, cut ? 'internal' : reasonOfCode(code));
    }
    return this.onPeerReset(stream);
  }

  /** The peer reset a stream, which may have been over already. False stops reading. */
  protected abstract onPeerReset(stream: Http2Stream | undefined): boolean;

  /** A HEADERS or DATA frame on a stream that is not in the table. */
  protected lateFrame(streamId: number): boolean {
    if (this.isIdle(streamId)) return this.fail(errorCode.protocolError);
    return this.resets.has(streamId) || this.fail(errorCode.streamClosed);
  }

  // ---- frames out

  sendResponse(stream: Http2Stream, status: number, headers: Headers, end: boolean): void {
    if (this.state !== 'open') return;
    const { writer } = this;
    writer.encoder.begin(neverIndexedIn(headers));
    writer.encoder.field(':status', String(status));
    writer.fields(headers);
    writer.block(stream.id, end);
    if (end) this.#localEnded(stream);
  }

  /** Ends our half of a stream that has nothing queued. */
  sendEnd(stream: Http2Stream, trailers: Headers | null): void {
    if (this.state !== 'open') return;
    const { writer } = this;
    if (trailers === null || trailers.length === 0) {
      writer.endStream(stream.id);
    } else {
      writer.encoder.begin(neverIndexedIn(trailers));
      writer.fields(trailers);
      writer.block(stream.id, true);
    }
    this.#localEnded(stream);
  }

  dataQueued(stream: Http2Stream, first: boolean): void {
    if (first) this.sending.waiting += 1;
    this.sending.add(stream);
    this.schedule();
  }

  /** The owner of a stream gave it up. */
  protected tellReset(streamId: number, code: number, moreMayCome: boolean): void {
    this.sendReset(streamId, code, moreMayCome);
    this.onStreamGone();
  }

  onQueueEnd(stream: Http2Stream, endStream: boolean): void {
    if (endStream) this.#localEnded(stream);
    else this.sendEnd(stream, stream.trailers);
  }

  /** Sends RST_STREAM and forgets the stream; its handler hears nothing. */
  resetStream(stream: Http2Stream, code: number): void {
    this.#forget(stream);
    if (this.state !== 'open') return;
    this.tellReset(stream.id, code, !stream.remoteEnd);
  }

  protected sendReset(streamId: number, code: number, moreMayCome: boolean): boolean {
    if (moreMayCome) this.resets.add(streamId);
    if (!this.mayAnswer()) return false;
    this.writer.reset(streamId, code);
    return true;
  }

  /** Our SETTINGS, and the window of the connection. */
  protected announce(pairs: readonly (readonly [id: number, value: number])[]): void {
    this.writer.settings(pairs);
    this.#announcedAt = this.clock.now();
    const increment = this.#receive.takeAll();
    if (increment > 0) this.writer.windowUpdate(0, increment);
  }

  /** Settings that both roles announce. */
  protected commonSettings(): [id: number, value: number][] {
    return [
      [settingId.initialWindowSize, this.streamWindow],
      [settingId.maxHeaderListSize, this.limits.values.http2_header_list_bytes],
    ];
  }

  // ---- flow control in

  protected override onPong(payload: number): void {
    if (payload === roundTripPing) this.#windows.onPong();
    else this.onOwnPong(payload);
  }

  protected override onSettingsAck(): void {
    if (this.#announcedAt === undefined) return;
    this.#windows.onSettingsAck(this.clock.now() - this.#announcedAt);
    this.#announcedAt = undefined;
  }

  /** The answer to a PING that a role sent. */
  protected abstract onOwnPong(payload: number): void;

  consumed(stream: Http2Stream, bytes: number): void {
    this.#receive.consumed(bytes);
    if (this.state !== 'open') return;
    this.#announceWindow();
    if (!stream.dead && !stream.remoteEnd) this.#returnToPeer(stream, bytes);
  }

  #returnToPeer(stream: Http2Stream, bytes: number): void {
    stream.returnable += bytes;
    stream.taken += bytes;
    if (stream.returnable < stream.updateAt) return;
    // What is still to come has its window already.
    if (stream.bodyLeft >= 0 && stream.bodyLeft <= stream.receiveWindow) return;
    this.#windows.update(stream);
    this.#announceWindow();
  }

  #dropped(bytes: number): void {
    this.#receive.dropped(bytes);
    this.#announceWindow();
  }

  #announceWindow(): void {
    const increment = this.#receive.takeUpdate();
    if (increment > 0) this.writer.windowUpdate(0, increment);
  }

  /** Closes the account of a stream: what its owner did not give back is given back now. */
  settle(stream: Http2Stream): void {
    if (stream.owed === 0) return;
    this.#receive.consumed(stream.owed);
    stream.owed = 0;
    if (this.state === 'open') this.#announceWindow();
  }

  // ---- ends of streams

  #localEnded(stream: Http2Stream): void {
    stream.localEnd = true;
    if (stream.remoteEnd) this.#completed(stream);
  }

  #completed(stream: Http2Stream): void {
    stream.dead = true;
    this.streams.delete(stream.id);
    this.#releaseHead(stream);
    this.guard.streamCompleted();
    this.onStreamGone();
  }

  #forget(stream: Http2Stream): void {
    stream.dead = true;
    this.streams.delete(stream.id);
    this.#releaseHead(stream);
    if (stream.queued > 0) this.sending.waiting -= 1;
    this.sending.remove(stream);
    stream.dropQueue();
    this.#windows.release(stream);
    this.settle(stream);
  }

  /** The stream is over without our doing; its owner hears why. */
  protected kill(stream: Http2Stream, reason: ResetReason): void {
    this.#forget(stream);
    if (hasHandler(stream)) stream.handler.onReset(reason);
    else stream.earlyReset = reason;
    this.onStreamGone();
  }

  /** A fault of the peer on one stream: RST_STREAM while its half is open, the end of the connection after. */
  protected streamFault(stream: Http2Stream, code: number): boolean {
    if (stream.remoteEnd) return this.fail(code);
    if (!this.guard.provokedReset()) return this.fail(errorCode.enhanceYourCalm);
    if (!this.sendReset(stream.id, code, true)) return false;
    this.kill(stream, code === errorCode.enhanceYourCalm ? 'calm' : 'protocol');
    return this.state === 'open';
  }

  // ---- end of the connection

  protected override onGone(): void {
    super.onGone();
    this.killAll();
    this.#receive.close();
  }

  protected override openStreams(): Http2Stream[] {
    return this.streams.all();
  }

  protected override onStalled(stream: Http2Stream): void {
    if (this.sendReset(stream.id, errorCode.cancel, !stream.remoteEnd)) this.kill(stream, 'timeout');
  }

  protected override killAll(): void {
    this.#blockTimer?.cancel();
    for (const stream of this.openStreams()) {
      if (!stream.dead) this.kill(stream, this.lossReason(stream));
    }
  }
}

/** From the pool where it is small: it leaves again soon. */
function copyOf(source: Buffer, from: number, to: number): Buffer {
  const copy = Buffer.allocUnsafe(to - from);
  source.copy(copy, 0, from, to);
  return copy;
}

/** A slice of the read, or a copy where a few bytes would keep a large read alive as long as they wait. */
function bodyOf(source: Buffer, from: number, to: number): Buffer {
  const length = to - from;
  if (length === source.length) return source;
  const body = source.subarray(from, to);
  if (source.length <= 8192 || length * 8 >= source.length) return body;
  const copy = Buffer.allocUnsafeSlow(length);
  body.copy(copy);
  return copy;
}
