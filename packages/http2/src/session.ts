import type { Timer } from '@mesh/clock/clock';
import { Channel, type ConnectionOptions } from './channel.ts';
import { errorCode } from './error-codes.ts';
import { frameFlag, frameType, maxWindow, readUint32 } from './frames.ts';
import type { Http2LimitName } from './limits.ts';
import { PeerSettings } from './settings.ts';
import type { Transport } from './transport.ts';

/**
 * What concerns a connection as a whole: the peer's SETTINGS, PING, priorities, and the end by GOAWAY.
 * Methods that take a frame answer whether reading goes on.
 */
export abstract class Session extends Channel {
  protected readonly peer: PeerSettings = new PeerSettings();
  /** Highest stream id the peer opened. */
  protected lastPeerId = 0;
  #settingsSeen = false;
  readonly #prefaceTimer: Timer;

  constructor(transport: Transport, options: ConnectionOptions) {
    super(transport, options);
    this.#prefaceTimer = this.clock.after(
      this.limits.values.http2_preface_ms,
      () => this.timedOut('http2_preface_ms', errorCode.settingsTimeout),
      true,
    );
  }

  protected abstract onPong(payload: number): void;
  /** The peer applied our SETTINGS. */
  protected abstract onSettingsAck(): void;
  /** The peer's SETTINGS were applied. False stops reading. */
  protected abstract onPeerSettings(): boolean;
  /** The connection takes no more streams; it is not gone yet. */
  protected abstract onUnusable(): void;
  /** Ends all streams for the end of the connection. */
  protected abstract killAll(): void;

  /** The first frame of a peer is SETTINGS (RFC 9113 §3.4). */
  protected mayBegin(type: number, flags: number): boolean {
    return this.#settingsSeen || (type === frameType.settings && (flags & frameFlag.ack) === 0);
  }

  protected onSettings(flags: number, streamId: number, source: Buffer, start: number, end: number): boolean {
    if (streamId !== 0) return this.fail(errorCode.protocolError);
    if ((flags & frameFlag.ack) !== 0) {
      if (end !== start) return this.fail(errorCode.frameSizeError);
      this.onSettingsAck();
      return true;
    }
    if ((end - start) % 6 !== 0) return this.fail(errorCode.frameSizeError);
    if (!this.guard.settings()) return this.fail(errorCode.enhanceYourCalm);
    const windowBefore = this.peer.initialWindowSize;
    const code = this.peer.apply(source, start, end);
    if (code !== errorCode.noError) return this.fail(code);
    this.#settingsSeen = true;
    this.#prefaceTimer.cancel();
    this.writer.encoder.setPeerTableSize(this.peer.headerTableSize);
    const delta = this.peer.initialWindowSize - windowBefore;
    if (delta !== 0) {
      for (const stream of this.openStreams()) {
        stream.sendWindow += delta;
        if (stream.sendWindow > maxWindow) return this.fail(errorCode.flowControlError);
        this.sending.add(stream);
      }
    }
    if (!this.mayAnswer()) return false;
    this.writer.settingsAck();
    return this.onPeerSettings();
  }

  protected onPing(flags: number, streamId: number, source: Buffer, start: number, end: number): boolean {
    if (streamId !== 0) return this.fail(errorCode.protocolError);
    if (end - start !== 8) return this.fail(errorCode.frameSizeError);
    if ((flags & frameFlag.ack) !== 0) {
      this.onPong(readUint32(source, start + 4));
      return this.state === 'open';
    }
    if (!this.guard.ping()) return this.fail(errorCode.enhanceYourCalm);
    if (!this.mayAnswer()) return false;
    this.writer.pingAck(source, start, end);
    return true;
  }

  /** Priorities mean nothing here (RFC 9113 §5.3); the frame must still be one. */
  protected onPriority(streamId: number, source: Buffer, start: number, end: number): boolean {
    if (streamId === 0) return this.fail(errorCode.protocolError);
    if (end - start !== 5) return this.fail(errorCode.frameSizeError);
    if ((readUint32(source, start) & maxWindow) === streamId) return this.fail(errorCode.protocolError);
    return this.guard.priority() || this.fail(errorCode.enhanceYourCalm);
  }

  /** A peer makes us queue an answer while it does not read. False: it made us queue too many. */
  protected mayAnswer(): boolean {
    return !this.blocked || this.guard.answerQueued() || this.fail(errorCode.enhanceYourCalm);
  }

  protected override onGone(): void {
    this.#prefaceTimer.cancel();
  }

  protected tooMuch(name: Http2LimitName): false {
    this.limits.hit(name);
    return this.fail(errorCode.enhanceYourCalm);
  }

  protected timedOut(name: Http2LimitName, code: number): void {
    this.limits.hit(name);
    this.fail(code);
  }

  /** A fault of the peer on the connection: GOAWAY, then close. Always false, for the caller to return. */
  protected fail(code: number): false {
    if (this.state !== 'open') return false;
    this.writer.goaway(this.lastPeerId, code);
    this.#prefaceTimer.cancel();
    this.close(false);
    this.killAll();
    this.onUnusable();
    this.flush();
    return false;
  }

  /** Closes behind what is queued; there are no streams left. */
  protected finish(): void {
    if (this.state !== 'open') return;
    this.#prefaceTimer.cancel();
    this.close(true);
  }
}
