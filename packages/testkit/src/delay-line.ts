/** One direction of a relayed connection: bytes wait in order until the simulated network would have delivered them. */
import type { Socket } from 'node:net';
import type { Clock, Random, Timer } from '@mesh/clock/clock';

/** What the network does to one direction. May be changed at any time; what is under way keeps its arrival. */
export interface Impairment {
  /** One-way delay, ms. */
  delayMs: number;
  /** Bytes per second; Infinity for no limit. */
  bandwidth: number;
  /** Bytes are delivered in pieces of at most this size, `sliceGapMs` apart. */
  sliceBytes: number;
  sliceGapMs: number;
  /** Share of segments, 0 to 1, that are lost and sent again: what is behind waits `recoveryMs` for them, as TCP makes it. */
  lossShare: number;
  recoveryMs: number;
  /** Holds everything; delivers it once this is false again. */
  stalled: boolean;
  /** Swallows everything, ends included. A connection that met it stays dead, as its peer's state would be gone. */
  blackHole: boolean;
  /** Extra delay of a FIN. */
  closeDelayMs: number;
  /** Both ends are reset once this many bytes of a connection have passed. */
  resetAfterBytes: number;
}

export const noImpairment: Readonly<Impairment> = {
  delayMs: 0,
  bandwidth: Infinity,
  sliceBytes: Infinity,
  sliceGapMs: 0,
  lossShare: 0,
  recoveryMs: 0,
  stalled: false,
  blackHole: false,
  closeDelayMs: 0,
  resetAfterBytes: Infinity,
};

export interface DelayLineOptions {
  clock: Clock;
  random: Random;
  /** Read anew for every piece. */
  impairment: Readonly<Impairment>;
  /** The source is not read while this much is held: the bound of memory, and the queue of the simulated bottleneck. */
  bufferBytes: number;
}

interface Held {
  /** Undefined: the end of the direction. */
  readonly chunk: Buffer | undefined;
  readonly dueAt: number;
}

const segmentBytes = 1460;
/** A slow line delivers in pieces of this much time, not in whole reads. */
const pieceMs = 10;
/** Node's timers have a grain of 1 ms; waiting once more for less than half of it would only add to the delay. */
const grainMs = 0.5;

export class DelayLine {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #options: DelayLineOptions;
  readonly #queue: Held[] = [];
  #head = 0;
  #held = 0;
  #passed = 0;
  /** When the line has put the last accepted byte on the wire. */
  #lineFreeAt = 0;
  #lastDueAt = 0;
  #timer: Timer | undefined;
  #congested = false;
  #swallowed = false;

  constructor(from: Socket, to: Socket, options: DelayLineOptions) {
    this.#from = from;
    this.#to = to;
    this.#options = options;
    from.on('data', (chunk: Buffer) => this.#accept(chunk));
    from.on('end', () => this.#accept(undefined));
    from.on('error', () => this.#swallows() || this.#cut());
    from.on('close', () => {
      if (!from.readableEnded && !this.#swallows()) this.#cut();
    });
    to.on('drain', () => {
      this.#congested = false;
      this.#release();
    });
  }

  /** Bytes that wait here. */
  get held(): number {
    return this.#held;
  }

  /** Call after `stalled` changed. */
  changed(): void {
    this.#release();
  }

  /** Forgets what is held. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#queue.length = 0;
    this.#head = 0;
    this.#held = 0;
  }

  #swallows(): boolean {
    if (this.#options.impairment.blackHole) {
      this.#swallowed = true;
      this.stop();
    }
    return this.#swallowed;
  }

  #accept(chunk: Buffer | undefined): void {
    if (this.#swallows()) return;
    if (chunk === undefined) {
      this.#push(undefined, this.#arrival(0) + this.#options.impairment.closeDelayMs);
    } else {
      const { bandwidth, sliceBytes } = this.#options.impairment;
      const piece = Math.max(1, Math.min(chunk.length, sliceBytes, Math.ceil((bandwidth * pieceMs) / 1000)));
      for (let at = 0; at < chunk.length; at += piece) {
        const part = piece >= chunk.length ? chunk : chunk.subarray(at, at + piece);
        this.#push(part, this.#arrival(part.length));
      }
    }
    this.#release();
    if (this.#held >= this.#options.bufferBytes) this.#from.pause();
  }

  #push(chunk: Buffer | undefined, dueAt: number): void {
    // Nothing overtakes: a shorter delay counts from what was sent before it.
    this.#lastDueAt = Math.max(dueAt, this.#lastDueAt);
    this.#held += chunk?.length ?? 0;
    this.#queue.push({ chunk, dueAt: this.#lastDueAt });
  }

  #arrival(bytes: number): number {
    const { clock, impairment, random } = this.#options;
    const { bandwidth, delayMs, lossShare, recoveryMs, sliceBytes, sliceGapMs } = impairment;
    this.#lineFreeAt = Math.max(this.#lineFreeAt, clock.now());
    if (bandwidth !== Infinity) this.#lineFreeAt += (bytes * 1000) / bandwidth;
    if (sliceBytes !== Infinity) this.#lineFreeAt += sliceGapMs;
    const lost = lossShare > 0 && random.next() > (1 - lossShare) ** Math.ceil(bytes / segmentBytes);
    return this.#lineFreeAt + delayMs + (lost ? recoveryMs : 0);
  }

  #release(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const { clock, impairment } = this.#options;
    while (this.#head < this.#queue.length && !this.#congested) {
      if (this.#swallows() || impairment.stalled) return;
      const { chunk, dueAt } = this.#queue[this.#head] as Held;
      const wait = dueAt - clock.now();
      if (wait > grainMs) {
        this.#timer = clock.after(wait, () => this.#release());
        break;
      }
      this.#head++;
      this.#deliver(chunk);
    }
    if (this.#head === this.#queue.length || this.#head > 1024) {
      this.#queue.splice(0, this.#head);
      this.#head = 0;
    }
    if (this.#held < this.#options.bufferBytes) this.#from.resume();
  }

  #deliver(chunk: Buffer | undefined): void {
    if (chunk === undefined) {
      this.#to.end();
      return;
    }
    this.#held -= chunk.length;
    this.#passed += chunk.length;
    if (!this.#to.destroyed && !this.#to.write(chunk)) this.#congested = true;
    if (this.#passed >= this.#options.impairment.resetAfterBytes) this.#cut();
  }

  /** Both ends are reset: the source broke, or is meant to. */
  #cut(): void {
    this.stop();
    resetSocket(this.#from);
    resetSocket(this.#to);
  }
}

/** RST now: Node's own method first waits until everything written is sent, and loses the handle while a FIN is. */
export function resetSocket(socket: Socket): void {
  if (!socket.writableEnded || socket.writableFinished) socket.resetAndDestroy();
  socket.destroy();
}
