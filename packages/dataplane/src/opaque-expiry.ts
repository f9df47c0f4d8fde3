/**
 * Ends opaque connections with the certificates that proved their ends (docs/decisions/0012).
 *
 * Nothing in opaque bytes can ask an application to leave, as GOAWAY does in HTTP/2. So such a connection may grow older than
 * others, and in the last minutes of its certificates it is ended in a moment when nothing moves, which is when pools of
 * connections bear it; one that is never quiet is ended when the first of the certificates is over.
 */
import type { Socket } from 'node:net';
import type { Clock, Timer } from '@mesh/clock/clock';
import { isoTime } from '@mesh/clock/iso-time';
import type { LimitLedger } from '@mesh/limits/limits';
import { resetSocket } from '@mesh/sockets/reset-socket';
import type { Logger } from '@mesh/telemetry/log';
import type { Counter, Family, MetricRegistry } from '@mesh/telemetry/metrics';
import { endingFrom } from './http-expiry.ts';
import type { DataplaneLimit } from './limits.ts';

const lookMs = 1000;

/** A connection through this proxy. */
export interface ProvenConnection {
  /** What it goes to, for the log. */
  readonly name: string;
  readonly client: Socket;
  readonly upstream: Socket;
  /** When the first certificate expires that proved an end of it, wall-clock milliseconds. */
  readonly until: number;
  /** Lets what is under way arrive, then ends both directions. */
  readonly end: () => void;
}

interface Followed extends ProvenConnection {
  /** From when a quiet moment is looked for. */
  readonly endingAt: number;
  /** Bytes that both ends had sent, and since when it is that many. */
  moved: number;
  movedAt: number;
}

export interface OpaqueExpiryOptions {
  clock: Clock;
  log: Logger;
  registry: MetricRegistry;
  limits: LimitLedger<DataplaneLimit>;
}

export class OpaqueExpiry {
  readonly #options: OpaqueExpiryOptions;
  readonly #followed: Set<Followed> = new Set();
  readonly #ended: Family<Counter>;
  readonly #looking: Timer;

  constructor(options: OpaqueExpiryOptions) {
    this.#options = options;
    this.#ended = options.registry.counter(
      'mesh_opaque_expired_total',
      'Opaque connections ended because a certificate that proved one of their ends expires: quiet ones shortly before, busy ones then.',
    );
    this.#looking = options.clock.every(lookMs, () => this.#look(), true);
  }

  /** How many connections are watched. */
  get size(): number {
    return this.#followed.size;
  }

  /** Until either end closes. One that no certificate proved lives as long as its ends want. */
  follow(connection: ProvenConnection): void {
    const { client, upstream, until } = connection;
    if (!Number.isFinite(until)) return;
    const endingAt = endingFrom(until, this.#options);
    const followed = { ...connection, endingAt, moved: -1, movedAt: 0 };
    this.#followed.add(followed);
    const forget = (): void => void this.#followed.delete(followed);
    client.once('close', forget);
    upstream.once('close', forget);
  }

  close(): void {
    this.#looking.cancel();
    this.#followed.clear();
  }

  #look(): void {
    const { clock, limits } = this.#options;
    const now = clock.wall();
    for (const followed of this.#followed) {
      if (now < followed.endingAt) continue;
      const moved = followed.client.bytesRead + followed.upstream.bytesRead;
      if (moved !== followed.moved) {
        followed.moved = moved;
        followed.movedAt = now;
      }
      const quiet = now - followed.movedAt >= limits.values.opaque_quiet_ms;
      if (quiet || now >= followed.until) this.#end(followed, quiet ? 'quiet' : 'busy');
    }
  }

  #end(followed: Followed, moment: 'quiet' | 'busy'): void {
    const { clock, limits, log } = this.#options;
    const { client, upstream, name, until } = followed;
    this.#followed.delete(followed);
    this.#ended.with({ moment }).add();
    log.info('opaque connection ended with its certificate', {
      target: name,
      expires: isoTime(until),
      moment,
    });
    followed.end();
    clock.after(
      limits.values.opaque_linger_ms,
      () => {
        if (!client.destroyed || !upstream.destroyed) limits.hit('opaque_linger_ms');
        resetSocket(client);
        resetSocket(upstream);
      },
      true,
    );
  }
}
