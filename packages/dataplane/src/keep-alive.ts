/**
 * Notices a peer that went silent: a PING each interval, and the connection is cut when too many in a row bring nothing.
 *
 * Misses are counted in ticks rather than in elapsed time: after a stall of our own loop one tick fires, not the several that
 * the clock says are due, so that our pause is not taken for the peer's death.
 */
import type { Clock, Timer } from '@mesh/clock/clock';
import type { ClientConnection } from '@mesh/http/message';

export interface PingableConnection extends ClientConnection {
  ping(onPong: (rttMs: number) => void): void;
}

export interface KeepAliveOptions {
  clock: Clock;
  intervalMs: number;
  /** PINGs that may go unanswered; one more cuts the connection. */
  missesAllowed: number;
  /** PING only while requests wait for the peer. */
  onlyBusy: boolean;
}

/** Runs until the connection ends. */
export function keepAlive(
  connection: PingableConnection,
  { clock, intervalMs, missesAllowed, onlyBusy }: KeepAliveOptions,
): Timer {
  let waiting = false;
  let misses = 0;
  const onPong = (): void => {
    waiting = false;
    misses = 0;
  };
  const timer = clock.every(
    intervalMs,
    () => {
      const busy = connection.activeStreams > 0;
      if (!connection.usable && !busy) {
        timer.cancel();
        return;
      }
      if (waiting) {
        if (++misses > missesAllowed) {
          timer.cancel();
          connection.destroy();
        }
        return;
      }
      if (onlyBusy && !busy) return;
      waiting = true;
      connection.ping(onPong);
    },
    true,
  );
  return timer;
}
