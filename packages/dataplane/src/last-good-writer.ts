/** Writes the file of what the control plane said last, and says when that fails. */
import type { Clock } from '@mesh/clock/clock';
import type { Logger } from '@mesh/telemetry/log';
import type { Counter, Family, MetricRegistry } from '@mesh/telemetry/metrics';
import { encodeLastGood, type FileCalls, type LastGood, writeLastGood } from './last-good-file.ts';

export interface LastGoodWriterOptions {
  clock: Clock;
  log: Logger;
  registry: MetricRegistry;
  /** Who reads and writes it. */
  owner: string;
  /** Default: the system's. */
  files?: FileCalls;
}

export class LastGoodWriter {
  readonly #options: LastGoodWriterOptions;
  readonly #writes: Family<Counter>;
  #lastFailure = '';
  /** On the clock of the program. */
  savedAt = 0;
  /** The file holds streams, which may be those that a stream has withdrawn. */
  holdsStreams = false;
  /** What changed who may do what may not be on the disk yet: the next write flushes it. */
  unflushed = false;

  constructor(options: LastGoodWriterOptions) {
    this.#options = options;
    this.#writes = options.registry.counter(
      'mesh_last_good_writes_total',
      'How often what the control plane said last was written down, by result.',
    );
  }

  /** One write at a time is the caller's affair. Resolves with whether it was written. */
  async write(path: string, known: ReadonlyMap<string, LastGood>): Promise<boolean> {
    const { clock, files, log, owner } = this.#options;
    const flush = this.unflushed;
    this.unflushed = false;
    try {
      await writeLastGood(path, encodeLastGood(known, owner), { flush, ...(files && { files }) });
      this.holdsStreams = known.size > 0;
      this.savedAt = clock.now();
      this.#lastFailure = '';
      this.#writes.with({ result: 'success' }).add();
      return true;
    } catch (thrown) {
      if (flush) this.unflushed = true;
      const detail = thrown instanceof Error ? thrown.message : String(thrown);
      this.#writes.with({ result: 'failure' }).add();
      if (detail !== this.#lastFailure) log.warn('last-good snapshot not written', { path, detail });
      this.#lastFailure = detail;
      return false;
    }
  }
}
