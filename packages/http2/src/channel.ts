import type { Clock, Timer } from '@mesh/clock/clock';
import { atTurnEnd, type TurnTask } from '@mesh/sockets/turn';
import { FloodGuard } from './flood-guard.ts';
import { FrameWriter, type FrameWriterOwner } from './frame-writer.ts';
import type { Http2Limits } from './limits.ts';
import { SendQueue, type SendQueueOwner } from './send-queue.ts';
import type { Http2Stream } from './stream.ts';
import type { Transport, TransportUser } from './transport.ts';
import type { WindowBudget } from './window-budget.ts';

export interface ConnectionOptions {
  clock: Clock;
  limits: Http2Limits;
  /** Receive window of each stream, bytes, to begin with. Default 64 KiB. */
  streamWindow?: number;
  /** Receive window of the connection, bytes, to begin with. Default 1 MiB. */
  connectionWindow?: number;
  /** The process's budget for larger windows; without it windows keep their size. */
  windowBudget?: WindowBudget;
  /** Queued bytes of a stream from which `write` returns false. Default 64 KiB. */
  writeHighWater?: number;
}

/** Bytes collected for one write to the socket before DATA waits for the next. */
const writeBytes = 131_072;

/**
 * The way out of a connection: frames queue, leave in one write at the end of the turn, wait while the socket is
 * full, and give up on a peer that takes nothing. Also the connection's life: open, closing, closed.
 */
export abstract class Channel implements FrameWriterOwner, SendQueueOwner, TransportUser, TurnTask {
  readonly writeHighWater: number;
  protected readonly clock: Clock;
  protected readonly limits: Http2Limits;
  protected readonly guard: FloodGuard;
  protected readonly writer: FrameWriter;
  protected readonly sending: SendQueue;
  /** `open`; `closing`: our last frame is queued, input is dropped; `closed`: the peer is gone. */
  protected state: 'open' | 'closing' | 'closed' = 'open';
  /** Writes to the transport so far. */
  protected flushes = 0;
  /** The socket is full. */
  protected blocked = false;
  readonly #transport: Transport;
  /** Units of `http2_turn_work` that input took in this turn. */
  #work = 0;
  /** The rest of the input waits for the next turn. */
  #yielding = false;
  #paused = false;
  #inTurnQueue = false;
  #ended = false;
  #blockedTicks = 0;
  #stallTimer: Timer | undefined;
  #lingerTimer: Timer | undefined;
  /** Until when a peer that still says something may take what the kernel holds for it; before our end undefined. */
  #lingerUntil: number | undefined;
  #patient = false;

  constructor(transport: Transport, options: ConnectionOptions) {
    this.clock = options.clock;
    this.limits = options.limits;
    this.writeHighWater = options.writeHighWater ?? 65_536;
    this.guard = new FloodGuard(options.limits, options.clock);
    this.#transport = transport;
    this.writer = new FrameWriter(this);
    this.sending = new SendQueue(this.writer.output, this);
  }

  abstract receive(chunk: Buffer, lent: boolean): void;
  abstract onQueueEnd(stream: Http2Stream, endStream: boolean): void;
  /** Streams that might stall. */
  protected abstract openStreams(): Http2Stream[];
  /** A stream gave nothing to its peer for too long. */
  protected abstract onStalled(stream: Http2Stream): void;
  /** The peer is gone: streams die, the owner is told. Called once. */
  protected abstract onGone(): void;
  /** A server stops reading from a peer that does not read its answers. */
  protected abstract readonly pausesReading: boolean;

  /** Ends everything at once: all streams are reset with `closed`. */
  destroy(): void {
    this.onClosed();
    this.#transport.destroy();
  }

  onDataSent(): void {
    this.guard.dataSent();
  }

  schedule(): void {
    if (this.#inTurnQueue) return;
    this.#inTurnQueue = true;
    atTurnEnd(this);
  }

  onTurnEnd(): void {
    this.#inTurnQueue = false;
    this.#work = 0;
    this.flush();
  }

  onWritable(): void {
    this.blocked = false;
    this.#blockedTicks = 0;
    this.guard.answersLeft();
    this.flush();
    if (this.#paused && !this.blocked) {
      this.#paused = false;
      if (!this.#yielding) this.#transport.resume();
    }
  }

  onLost(): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.onGone();
    this.#linger('http2_linger_ms');
    this.#transport.end(() => {});
  }

  onClosed(): void {
    this.onLost();
    this.#lingerTimer?.cancel();
  }

  protected get yielding(): boolean {
    return this.#yielding;
  }

  /** Counts work of input. False: this turn's share is used up. */
  protected worked(units: number): boolean {
    if (this.#work === 0) this.schedule();
    this.#work += units;
    return this.#work < this.limits.values.http2_turn_work || this.#transport.yield === undefined;
  }

  /** Reads nothing until the turn is over, when `goOn` is called. */
  protected yieldTo(goOn: TurnTask): void {
    this.limits.hit('http2_turn_work');
    this.#yielding = true;
    this.#transport.pause();
    this.#transport.yield?.(goOn);
  }

  protected readAgain(): void {
    this.#yielding = false;
    if (!this.#paused) this.#transport.resume();
  }

  protected flush(): void {
    if (this.state === 'closed' || this.#ended) return;
    const { output } = this.writer;
    while (!this.blocked) {
      if (this.state === 'open') this.sending.pump(writeBytes, this.writeHighWater / 2);
      if (output.bytes === 0) break;
      this.flushes += 1;
      if (!this.#transport.write(output.take())) this.blocked = true;
    }
    if (this.state === 'closing' && output.bytes === 0 && !this.#ended) {
      this.#ended = true;
      this.#transport.end(() => {
        if (this.state !== 'closing') return;
        if (this.#patient) this.#lingerUntil = this.clock.now() + this.limits.values.http2_stall_ms;
        this.#linger('http2_linger_ms');
      });
    }
    if (this.state !== 'open') return;
    if (this.blocked) this.#pauseIfFull(output.bytes);
    this.#watchStall();
  }

  /** What was not handed to the socket is not sent at all. */
  protected dropUnsent(): void {
    this.writer.output.take();
  }

  /**
   * Input is dropped from here on; the socket closes behind what is queued, and is destroyed when the peer does not
   * close too. `patient`: what is queued matters, so that a slow reader gets the time of a stalled stream for it, and that
   * time once more for what the kernel holds as long as it says something (WINDOW_UPDATE): a socket that is closed answers that
   * with a reset, which takes away what is still under way.
   */
  protected close(patient: boolean): void {
    this.state = 'closing';
    this.#patient = patient;
    this.#linger(patient ? 'http2_stall_ms' : 'http2_linger_ms');
    this.schedule();
  }

  /** Input that is dropped shows that the peer is still there. */
  protected stillThere(): void {
    if (this.state !== 'closing' || this.#lingerUntil === undefined) return;
    if (this.clock.now() < this.#lingerUntil) this.#linger('http2_linger_ms');
  }

  #linger(name: 'http2_stall_ms' | 'http2_linger_ms'): void {
    this.#stallTimer?.cancel();
    this.#stallTimer = undefined;
    this.#lingerTimer?.cancel();
    this.#lingerTimer = this.clock.after(
      this.limits.values[name],
      () => {
        this.limits.hit(name);
        this.#transport.destroy();
      },
      true,
    );
  }

  #pauseIfFull(bytes: number): void {
    if (!this.pausesReading || this.#paused || bytes < this.limits.values.http2_queued_bytes) return;
    this.limits.hit('http2_queued_bytes');
    this.#paused = true;
    this.#transport.pause();
  }

  #watchStall(): void {
    if (this.#stallTimer !== undefined || (!this.blocked && this.sending.waiting === 0)) return;
    this.#stallTimer = this.clock.after(
      this.limits.values.http2_stall_ms / 2,
      () => this.#checkStall(),
      true,
    );
  }

  /** Two ticks of half the limit without a byte leaving: the peer holds our memory and gives nothing. */
  #checkStall(): void {
    this.#stallTimer = undefined;
    if (this.blocked) {
      this.#blockedTicks += 1;
      if (this.#blockedTicks >= 2) {
        this.limits.hit('http2_stall_ms');
        this.destroy();
      }
    } else {
      for (const stream of this.openStreams()) {
        stream.idleTicks = stream.queued === 0 || stream.progressed ? 0 : stream.idleTicks + 1;
        stream.progressed = false;
        if (stream.idleTicks < 2 || stream.dead) continue;
        this.limits.hit('http2_stall_ms');
        this.onStalled(stream);
      }
    }
    if (this.state === 'open') this.#watchStall();
  }
}
