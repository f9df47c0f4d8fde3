import type { Clock } from '@mesh/clock/clock';
import { TokenBucket } from '@mesh/limits/token-bucket';
import type { Http2LimitName, Http2Limits } from './limits.ts';

/**
 * Counts what a peer makes one connection do. Every method answers whether the connection may go on; a false was
 * counted in the ledger and calls for ENHANCE_YOUR_CALM.
 */
export class FloodGuard {
  readonly #limits: Http2Limits;
  readonly #clock: Clock;
  readonly #pings: TokenBucket;
  readonly #settings: TokenBucket;
  readonly #unknown: TokenBucket;
  readonly #peerResets: TokenBucket;
  readonly #provokedResets: TokenBucket;
  /** Our own, that a peer with the same limits would count. */
  readonly #ownResets: TokenBucket;
  #empty = 0;
  #priorityLeft: number;
  #windowUpdatesLeft: number;
  #answersQueued = 0;

  constructor(limits: Http2Limits, clock: Clock) {
    const now = clock.now();
    const { values } = limits;
    this.#limits = limits;
    this.#clock = clock;
    this.#pings = new TokenBucket(values.http2_pings, now);
    this.#settings = new TokenBucket(values.http2_settings, now);
    this.#unknown = new TokenBucket(values.http2_unknown_frames, now);
    this.#peerResets = new TokenBucket(values.http2_peer_resets, now);
    this.#provokedResets = new TokenBucket(values.http2_provoked_resets, now);
    this.#ownResets = new TokenBucket(values.http2_peer_resets >> 1, now);
    this.#priorityLeft = values.http2_priority_frames;
    this.#windowUpdatesLeft = values.http2_window_updates * 10;
  }

  ping(): boolean {
    return this.#take(this.#pings, 'http2_pings');
  }

  settings(): boolean {
    return this.#take(this.#settings, 'http2_settings');
  }

  unknownFrame(): boolean {
    return this.#take(this.#unknown, 'http2_unknown_frames');
  }

  peerReset(): boolean {
    return this.#take(this.#peerResets, 'http2_peer_resets');
  }

  provokedReset(): boolean {
    return this.#take(this.#provokedResets, 'http2_provoked_resets');
  }

  /** Whether a peer would bear that we reset a stream at once, however young it is: half of what we bear ourselves. */
  mayReset(): boolean {
    return this.#ownResets.take(this.#clock.now());
  }

  /** A HEADERS, CONTINUATION or DATA frame that does (not) carry anything. */
  payload(carries: boolean): boolean {
    if (carries) {
      this.#empty = 0;
      this.#pings.give();
      return true;
    }
    this.#empty += 1;
    return this.#empty <= this.#limits.values.http2_empty_frames || this.#over('http2_empty_frames');
  }

  priority(): boolean {
    this.#priorityLeft -= 1;
    return this.#priorityLeft >= 0 || this.#over('http2_priority_frames');
  }

  windowUpdate(): boolean {
    this.#windowUpdatesLeft -= 1;
    return this.#windowUpdatesLeft >= 0 || this.#over('http2_window_updates');
  }

  /** An answer was queued while the peer does not read. */
  answerQueued(): boolean {
    this.#answersQueued += 1;
    return (
      this.#answersQueued <= this.#limits.values.http2_queued_control_frames ||
      this.#over('http2_queued_control_frames')
    );
  }

  answersLeft(): void {
    this.#answersQueued = 0;
  }

  streamOpened(): void {
    this.#priorityLeft += this.#limits.values.http2_priority_frames;
    this.#windowUpdatesLeft += this.#limits.values.http2_window_updates;
  }

  streamCompleted(): void {
    this.#peerResets.give();
    this.#ownResets.give();
  }

  dataSent(): void {
    this.#windowUpdatesLeft += this.#limits.values.http2_window_updates;
    // Peers measure bandwidth with a PING per round trip while data flows, whoever sends it.
    this.#pings.give();
  }

  #take(bucket: TokenBucket, name: Http2LimitName): boolean {
    return bucket.take(this.#clock.now()) || this.#over(name);
  }

  #over(name: Http2LimitName): false {
    this.#limits.hit(name);
    return false;
  }
}
