/**
 * Notices that the other end of a connection is gone where nobody can be asked, because bytes are opaque or the peer is no
 * proxy: bytes are under way and its kernel acknowledges none.
 *
 * TCP_USER_TIMEOUT will not do here, because the kernel applies it to a closed window too: it would cut off a reader that
 * pauses. One look per second at each connection that has something under way; an idle one costs nothing.
 */
import type { Socket } from 'node:net';
import type { Clock } from '@mesh/clock/clock';
import type { LimitLedger } from '@mesh/limits/limits';
import { resetSocket } from '@mesh/sockets/reset-socket';
import { tcpPath, type TcpPath } from '@mesh/transport/socket-options';
import type { DataplaneLimit } from './limits.ts';

/** Where a round trip is long, so is the silence that means something. */
const roundTrips = 6;

interface Followed {
  readonly socket: Socket;
  /** `bytesWritten` when all of it was acknowledged. */
  settledAt: number;
  /** Since when each look found something under way, monotonic milliseconds; undefined when the last one found nothing. */
  since: number | undefined;
}

export class SilentPaths {
  readonly #limits: LimitLedger<DataplaneLimit>;
  readonly #clock: Clock;
  readonly #look: (socket: Socket) => TcpPath | undefined;
  readonly #followed: Set<Followed> = new Set();

  /** `look` is the kernel's, unless a test has another. */
  constructor(
    limits: LimitLedger<DataplaneLimit>,
    clock: Clock,
    look: (socket: Socket) => TcpPath | undefined = tcpPath,
  ) {
    this.#limits = limits;
    this.#clock = clock;
    this.#look = look;
  }

  /** How many connections are watched. */
  get size(): number {
    return this.#followed.size;
  }

  /** Until `socket` closes. */
  follow(socket: Socket): void {
    const followed: Followed = { socket, settledAt: 0, since: undefined };
    this.#followed.add(followed);
    socket.once('close', () => this.#followed.delete(followed));
  }

  /** Call once per second or so. Resets sockets whose other end is gone. */
  sweep(): void {
    const now = this.#clock.now();
    for (const followed of this.#followed) {
      const { socket } = followed;
      if (socket.bytesWritten === followed.settledAt) continue;
      const path = this.#look(socket);
      if (path === undefined) continue;
      if (path.unacked === 0 && path.probes === 0) {
        followed.since = undefined;
        if (socket.writableLength === 0) followed.settledAt = socket.bytesWritten;
        continue;
      }
      // The last acknowledgement may be of long before: while a connection is idle there is nothing to acknowledge.
      followed.since ??= now;
      const silenceMs = Math.max(this.#limits.values.tcp_silence_ms, roundTrips * path.rttMs);
      if (path.lastAckMs < silenceMs || now - followed.since < silenceMs) continue;
      this.#limits.hit('tcp_silence_ms');
      // An end would reach it once the path is back, behind a part of the bytes.
      resetSocket(socket);
    }
  }
}
