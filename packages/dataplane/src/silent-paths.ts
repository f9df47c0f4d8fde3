/**
 * Notices that the other end of a connection is gone where nobody can be asked, because bytes are opaque or the peer is no
 * proxy: bytes are under way and its kernel acknowledges none.
 *
 * TCP_USER_TIMEOUT will not do here, because the kernel applies it to a closed window too: it would cut off a reader that
 * pauses. One look per second at each connection that has something under way; an idle one costs nothing.
 */
import type { Socket } from 'node:net';
import type { LimitLedger } from '@mesh/limits/limits';
import { tcpPath, type TcpPath } from '@mesh/transport/socket-options';
import type { DataplaneLimit } from './limits.ts';

/** Where a round trip is long, so is the silence that means something. */
const roundTrips = 6;

interface Followed {
  readonly socket: Socket;
  /** `bytesWritten` when all of it was acknowledged. */
  settledAt: number;
}

export class SilentPaths {
  readonly #limits: LimitLedger<DataplaneLimit>;
  readonly #look: (socket: Socket) => TcpPath | undefined;
  readonly #followed: Set<Followed> = new Set();

  /** `look` is the kernel's, unless a test has another. */
  constructor(limits: LimitLedger<DataplaneLimit>, look: (socket: Socket) => TcpPath | undefined = tcpPath) {
    this.#limits = limits;
    this.#look = look;
  }

  /** How many connections are watched. */
  get size(): number {
    return this.#followed.size;
  }

  /** Until `socket` closes. */
  follow(socket: Socket): void {
    const followed: Followed = { socket, settledAt: 0 };
    this.#followed.add(followed);
    socket.once('close', () => this.#followed.delete(followed));
  }

  /** Call once per second or so. Destroys sockets whose other end is gone. */
  sweep(): void {
    for (const followed of this.#followed) {
      const { socket } = followed;
      if (socket.bytesWritten === followed.settledAt) continue;
      const path = this.#look(socket);
      if (path === undefined) continue;
      if (path.unacked === 0 && path.probes === 0) {
        if (socket.writableLength === 0) followed.settledAt = socket.bytesWritten;
      } else if (path.lastAckMs >= Math.max(this.#limits.values.tcp_silence_ms, roundTrips * path.rttMs)) {
        this.#limits.hit('tcp_silence_ms');
        socket.destroy();
      }
    }
  }
}
