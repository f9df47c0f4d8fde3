/**
 * Notices a peer that went silent: while requests wait for it and nothing arrives, PINGs ask for a sign of life, and the
 * connection is cut when none comes.
 *
 * Any byte is a sign of life, so a busy connection is never asked. Silence is counted in ticks rather than in elapsed
 * time: after a stall of our own loop one tick fires, not the many that the clock says are due, so that our pause is not taken
 * for the peer's death.
 */
import type { Socket } from 'node:net';
import type { Timer } from '@mesh/clock/clock';
import type { ClientConnection } from '@mesh/http/message';
import { tcpPath, type TcpPath } from '@mesh/transport/socket-options';
import type { SharedTicker } from './shared-ticker.ts';

export interface PingableConnection extends ClientConnection {
  ping(onPong: (rttMs: number) => void): void;
}

export interface KeepAliveOptions {
  /** How often to look. Every second tick of silence sends a PING. */
  ticker: SharedTicker;
  /** Bytes received on the connection so far. */
  received: () => number;
  /** What the kernel knows of the way to the peer. */
  path: () => TcpPath | undefined;
  /** The connection is cut before this much silence, ms, or `roundTrips` round trips where that is longer. */
  silenceMs: number;
  roundTrips: number;
  /** The connection is about to be cut. */
  onSilence: () => void;
  /** Ask only while requests wait for the peer. */
  onlyBusy: boolean;
  /** The connections to the same peer that are followed; where one fell silent, those that brought nothing since fall with it. */
  siblings?: Siblings;
}

export type Siblings = Set<{ suspect(ticks: number, rttMs: number): void }>;

/** How often peers in the data plane are looked at, ms. */
export const peerTickMs = 50;
export const peerKeepAlive = { roundTrips: 6, onlyBusy: true } as const;

/** Of a connection over this socket. */
export function signsOfLife(socket: Socket): Pick<KeepAliveOptions, 'received' | 'path'> {
  return { received: () => socket.bytesRead, path: () => tcpPath(socket) };
}

/**
 * What a silent connection may have had acknowledged, in half the allowed time, by PINGs alone. More than this is a long
 * upload on a slow path, with our PINGs still behind it.
 */
const progressBytes = 4096;

/** Runs until the connection ends. */
export function keepAlive(connection: PingableConnection, options: KeepAliveOptions): void {
  new KeepAlive(connection, options);
}

class KeepAlive {
  readonly #connection: PingableConnection;
  readonly #options: KeepAliveOptions;
  readonly #timer: Timer;
  /** Bytes received when we last looked. */
  #seen: number;
  /** Ticks of silence while requests wait, and with or without them. */
  #silent = 0;
  #quiet = 0;
  /** A sibling fell silent, and nothing came since. */
  #suspected = false;
  /** Longest time without an acknowledgement during the silence, ms. */
  #quietMs = 0;
  #acknowledgedHalfway = 0;
  #spared = false;
  /** Shortest round trip so far: what a pong takes when nothing holds it up. */
  #rttMs = 0;
  readonly #onPong = (tookMs: number): void => {
    this.#rttMs = this.#rttMs === 0 ? tookMs : Math.min(this.#rttMs, tookMs);
  };

  constructor(connection: PingableConnection, options: KeepAliveOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#seen = options.received();
    this.#timer = options.ticker.add(() => this.#tick());
    options.siblings?.add(this);
  }

  /** A sibling brought nothing for so many ticks. A request that is younger than two round trips may still be answered. */
  suspect(ticks: number, rttMs: number): void {
    // One less: whose tick comes first in a period is by chance.
    if (this.#quiet < ticks - 1) return;
    this.#suspected = true;
    if (this.#rttMs === 0) this.#rttMs = rttMs;
    if (this.#connection.activeStreams === 0 || this.#silent >= this.#suspectedTicks()) this.#cut();
  }

  #tick(): void {
    const { onlyBusy, received, roundTrips, silenceMs, ticker } = this.#options;
    const connection = this.#connection;
    const busy = connection.activeStreams > 0;
    if (!connection.usable && !busy) {
      this.#stop();
      return;
    }
    const now = received();
    this.#quiet++;
    if (now !== this.#seen) {
      this.#quiet = 0;
      this.#suspected = false;
    }
    if (now !== this.#seen || (onlyBusy && !busy)) {
      this.#seen = now;
      this.#silent = 0;
      return;
    }
    this.#silent++;
    if (this.#suspected && this.#silent >= this.#suspectedTicks()) {
      this.#cut();
      return;
    }
    // One less: the last byte may have come right after a tick.
    const allowed = Math.floor(Math.max(silenceMs, roundTrips * this.#rttMs) / ticker.periodMs) - 1;
    if (!this.#outOfPatience(allowed)) {
      if (this.#silent % 2 === 1) connection.ping(this.#onPong);
      return;
    }
    // First, so that nothing is sent on them instead.
    for (const sibling of this.#options.siblings ?? [])
      if (sibling !== this) sibling.suspect(this.#silent, this.#rttMs);
    this.#cut();
  }

  #suspectedTicks(): number {
    const { silenceMs, ticker } = this.#options;
    const enoughMs = this.#rttMs === 0 ? silenceMs / 2 : 2 * this.#rttMs;
    return Math.ceil(enoughMs / ticker.periodMs) + 2;
  }

  #cut(): void {
    this.#stop();
    this.#options.onSilence();
    this.#connection.destroy();
  }

  #stop(): void {
    this.#timer.cancel();
    this.#options.siblings?.delete(this);
  }

  /**
   * The other kernel may speak for a peer that is silent. While it acknowledges what we sent, the path is merely slow. Where
   * its acknowledgements stopped later than the peer's bytes, the path was alive that much longer. And where they stopped and
   * came back, an answer may be waiting for a lost segment: half the time once more. A kernel that acknowledged all along is no
   * excuse, because then the process is gone.
   */
  #outOfPatience(allowed: number): boolean {
    if (this.#silent === 1) {
      this.#quietMs = 0;
      this.#acknowledgedHalfway = 0;
      this.#spared = false;
    }
    // Few silences last long enough for the kernel to be asked.
    if (this.#silent * 4 < allowed) return false;
    const path = this.#options.path();
    const half = allowed >> 1;
    if (path !== undefined) {
      this.#quietMs = Math.max(this.#quietMs, path.lastAckMs);
      if (this.#silent === half) this.#acknowledgedHalfway = path.acknowledgedBytes;
    }
    if (this.#silent < allowed) return false;
    if (path === undefined) return true;
    const allowedMs = allowed * this.#options.ticker.periodMs;
    const pausedMs = allowedMs / 4;
    if (path.lastAckMs >= pausedMs) return path.lastAckMs >= allowedMs;
    const slow = path.acknowledgedBytes > this.#acknowledgedHalfway + progressBytes;
    const resumed = this.#quietMs >= pausedMs && !this.#spared;
    if (!slow && !resumed) return true;
    this.#spared ||= resumed;
    this.#silent = half;
    this.#acknowledgedHalfway = path.acknowledgedBytes;
    return false;
  }
}
