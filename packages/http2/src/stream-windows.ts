import type { Clock } from '@mesh/clock/clock';
import type { FrameWriter } from './frame-writer.ts';
import type { ReceiveWindow } from './receive-window.ts';
import { RoundTrip } from './round-trip.ts';
import type { Http2Stream } from './stream.ts';

export interface StreamWindowsOptions {
  /** Size that every stream begins with, and never goes below; bytes. */
  start: number;
  /** Size up to which one may grow, bytes. */
  most: number;
  connection: ReceiveWindow;
  clock: Clock;
  writer: FrameWriter;
}

/** Payload of the PING that measures the round trip; the roles count theirs from 0. */
export const roundTripPing = 0xffffffff;

/**
 * A window holds so many times what its reader takes in a round trip. Up to half of it waits here for its
 * WINDOW_UPDATE, so that twice would only just keep its size.
 */
const roundTripsAhead = 3;

/**
 * What a path is taken to carry until it was measured, bytes per millisecond: a window that began at 64 KiB on a path of
 * 200 ms would need seconds to become large enough.
 */
const presumedRate = 20_000;

/** More does not wait for its WINDOW_UPDATE once a window has grown: what waits here is not on the way. */
const mostWaiting = 131_072;

/**
 * Sizes the receive windows of a connection's streams (docs/flow-control.md) by what each reader takes in one round trip.
 * While the window is what holds the peer back, that makes it grow; where the path or the reader is slower, it settles.
 * Looked at only when a stream gave back a good part of its window: small messages never come here.
 */
export class StreamWindows {
  /** What a stream gives back before its window is looked at for the first time. */
  readonly firstUpdateAt: number;
  readonly #start: number;
  readonly #most: number;
  readonly #connection: ReceiveWindow;
  readonly #clock: Clock;
  readonly #writer: FrameWriter;
  readonly #roundTrip: RoundTrip = new RoundTrip();
  /** What the stream that was measured last came to; the next one begins its growth there. */
  #lastWanted = 0;

  constructor({ start, most, connection, clock, writer }: StreamWindowsOptions) {
    this.#start = start;
    this.#most = most;
    this.#connection = connection;
    this.#clock = clock;
    this.#writer = writer;
    this.firstUpdateAt = most > start ? start / 4 : start / 2;
  }

  /** A stream gave back `updateAt`: sends the WINDOW_UPDATE that is due, if one is. */
  update(stream: Http2Stream): void {
    const extra = this.#most > this.#start ? this.#resize(stream) : 0;
    stream.updateAt =
      stream.window > this.#start ? Math.min(stream.window / 4, mostWaiting) : this.#start / 2;
    const increment = stream.returnable + extra;
    if (extra === 0 && increment < stream.updateAt) return;
    stream.returnable = 0;
    stream.receiveWindow += increment;
    this.#writer.windowUpdate(stream.id, increment);
  }

  /** The peer answered the PING. */
  onPong(): void {
    this.#roundTrip.end(this.#clock.now());
  }

  /** The peer acknowledged our SETTINGS after `ms`. */
  onSettingsAck(ms: number): void {
    this.#roundTrip.observe(ms);
  }

  /** The peer sends no more on this stream. */
  release(stream: Http2Stream): void {
    const grown = stream.window - this.#start;
    if (grown <= 0) return;
    stream.window = this.#start;
    this.#connection.shrink(grown);
  }

  /** Returns by how much the window became larger; a smaller one is taken from what the stream gave back. */
  #resize(stream: Http2Stream): number {
    const now = this.#clock.now();
    if (this.#roundTrip.begin(now)) this.#writer.ping(roundTripPing);
    const rtt = this.#roundTrip.ms;
    if (stream.measuredAt < 0) {
      // The first round trip brings only what the window of the start allowed.
      stream.measuredAt = now + rtt;
      stream.taken = 0;
      const presumed = Math.floor(presumedRate * rtt);
      return this.#grow(stream, Math.min(this.#most, Math.max(this.#lastWanted, presumed)));
    }
    const elapsed = now - stream.measuredAt;
    if (rtt === 0 || elapsed < rtt) return 0;
    const wanted = Math.min(this.#most, Math.floor((roundTripsAhead * stream.taken * rtt) / elapsed));
    stream.measuredAt = now;
    stream.taken = 0;
    this.#lastWanted = wanted;
    if (wanted > stream.window) return this.#grow(stream, wanted);
    // Halving for less than a quarter leaves room between the two rules, so that a window does not swing.
    if (wanted < stream.window / 4) this.#halve(stream);
    return 0;
  }

  #grow(stream: Http2Stream, wanted: number): number {
    if (wanted <= stream.window) return 0;
    const extra = this.#connection.grow(wanted - stream.window);
    stream.window += extra;
    return extra;
  }

  #halve(stream: Http2Stream): void {
    const target = Math.max(this.#start, stream.window >>> 1);
    const less = Math.min(stream.returnable, stream.window - target);
    stream.window -= less;
    stream.returnable -= less;
    this.#connection.shrink(less);
  }
}
