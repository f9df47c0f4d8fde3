/**
 * Ends HTTP connections with the certificates that proved their ends.
 *
 * Unlike at its age a connection is not left to what is open on it: a stream, a WebSocket or a tunnel may never end. So it is
 * asked to leave while there is time, and cut when the first of the certificates is over.
 */
import type { Clock, Timer } from '@mesh/clock/clock';
import type { ServerConnection } from '@mesh/http/message';
import type { LimitLedger } from '@mesh/limits/limits';
import type { DataplaneLimit } from './limits.ts';

/** Of the time that certificates are valid for still, the last part in which a connection is ended. */
const lastShare = 0.1;
/** How late it is noticed at most that the wall clock was set; timers take 24 days at most, certificates may last longer. */
const lookMs = 60_000;

export interface ExpiryOptions {
  clock: Clock;
  limits: LimitLedger<DataplaneLimit>;
}

/** From when on a connection is to end whose first certificate expires at `until`; both wall-clock milliseconds. */
export function endingFrom(until: number, { clock, limits }: ExpiryOptions): number {
  const leftMs = Math.max(0, until - clock.wall());
  return until - Math.min(limits.values.expiry_lead_ms, leftMs * lastShare);
}

/** Cancel it once the connection is gone. `until`: wall-clock milliseconds. */
export function endAtExpiry(connection: ServerConnection, until: number, options: ExpiryOptions): Timer {
  const { clock, limits } = options;
  const drainAt = endingFrom(until, options);
  const look = (): void => {
    const now = clock.wall();
    if (now >= until) {
      limits.hit('expiry_lead_ms');
      connection.destroy();
      return;
    }
    timer = wait(now);
    if (now >= drainAt) connection.drain();
  };
  const wait = (now: number): Timer =>
    clock.after(Math.max(0, Math.min(lookMs, (now < drainAt ? drainAt : until) - now)), look, true);
  let timer = wait(clock.wall());
  return { cancel: () => timer.cancel() };
}
