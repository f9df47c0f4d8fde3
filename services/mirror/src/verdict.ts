/**
 * Whether a peer can be trusted to answer: alive, dead or unknown. Two signals are joined: the
 * federation stream, and a round trip through the peer's gateway. Only their agreement makes a peer dead; a control
 * path that is lost while the gateway answers makes it unknown.
 */
import type { PeerState } from '@mesh/multicluster/names';

interface VerdictOptions {
  /** Without an event for this long the stream counts as stale. Beats come each second. */
  staleMs: number;
  /** Failed probes in a row that make a gateway dead. */
  failureThreshold: number;
}

export class Verdict {
  readonly #options: VerdictOptions;
  #lastEvent: number | undefined;
  #lastAnswer: number | undefined;
  #failures = 0;

  constructor(options: VerdictOptions) {
    this.#options = options;
  }

  /** Monotonic milliseconds of the last sign of life, of either kind. */
  get lastSeen(): number | undefined {
    if (this.#lastEvent === undefined) return this.#lastAnswer;
    return this.#lastAnswer === undefined ? this.#lastEvent : Math.max(this.#lastEvent, this.#lastAnswer);
  }

  /** Monotonic milliseconds of the last event of the stream: how old what is known of its exports is. */
  get lastEvent(): number | undefined {
    return this.#lastEvent;
  }

  event(now: number): void {
    this.#lastEvent = now;
    this.#failures = 0;
  }

  /** We stood still ourselves for `lateMs`, until now: what was said meanwhile is still to be read. */
  excuse(lateMs: number, now: number): void {
    if (this.#lastEvent !== undefined) this.#lastEvent = Math.min(now, this.#lastEvent + lateMs);
  }

  answered(now: number): void {
    this.#lastAnswer = now;
    this.#failures = 0;
  }

  failed(): void {
    this.#failures++;
  }

  /** False while the stream is stale or was never open. */
  streamFresh(now: number): boolean {
    return this.#lastEvent !== undefined && now - this.#lastEvent <= this.#options.staleMs;
  }

  state(now: number): PeerState {
    if (this.streamFresh(now)) return 'alive';
    if (this.#failures >= this.#options.failureThreshold) return 'dead';
    return 'unknown';
  }
}
