import type { Clock } from '@mesh/clock/clock';
import { TokenBucket } from '@mesh/limits/token-bucket';
import type { LimitLedger } from '@mesh/limits/limits';
import type { LogFields, Logger } from '@mesh/telemetry/log';
import type { DataplaneLimit } from './limits.ts';

interface PeerLogOptions {
  log: Logger;
  clock: Clock;
  limits: LimitLedger<DataplaneLimit>;
}

/**
 * Lines that anybody who reaches the port can cause, as many as he likes: a line is written to a pipe while nobody is served, and
 * stays on a disk. So many are written; the next one says how many were left out, and metrics count them all.
 */
export class PeerLog {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #limits: LimitLedger<DataplaneLimit>;
  readonly #lines: TokenBucket;
  #leftOut = 0;

  constructor({ log, clock, limits }: PeerLogOptions) {
    this.#log = log;
    this.#clock = clock;
    this.#limits = limits;
    this.#lines = new TokenBucket(limits.values.peer_log_lines, clock.now());
  }

  info(message: string, fields: LogFields): void {
    if (this.#mayWrite()) this.#log.info(message, this.#complete(fields));
  }

  warn(message: string, fields: LogFields): void {
    if (this.#mayWrite()) this.#log.warn(message, this.#complete(fields));
  }

  #mayWrite(): boolean {
    if (this.#lines.take(this.#clock.now())) return true;
    this.#limits.hit('peer_log_lines');
    this.#leftOut++;
    return false;
  }

  #complete(fields: LogFields): LogFields {
    if (this.#leftOut === 0) return fields;
    const leftOut = this.#leftOut;
    this.#leftOut = 0;
    return { ...fields, leftOut };
  }
}
