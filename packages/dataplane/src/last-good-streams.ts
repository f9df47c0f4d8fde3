/**
 * Control streams that remember over restarts of the program what was said on them (docs/decisions/0011). As long as the
 * control plane does not answer, a stream is served with what it said to the program's earlier life in the same pod; its
 * first word replaces that.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import type { Clock, Timer } from '@mesh/clock/clock';
import { InboundServerPolicies } from '@mesh/control-api/gen/linkerd/inbound_pb';
import { Gateway } from '@mesh/control-api/gen/mesh/gateway/v1/gateway_pb';
import type { LimitLedger } from '@mesh/limits/limits';
import type { Counter, Family } from '@mesh/telemetry/metrics';
import { type ControlStreams, methodName } from './control-channel.ts';
import { EarlierWords } from './earlier-words.ts';
import {
  fitting,
  type LastGood,
  type LastGoodFault,
  type LastGoodRead,
  readLastGood,
} from './last-good-file.ts';
import { LastGoodWriter, type LastGoodWriterOptions } from './last-good-writer.ts';
import type { DataplaneLimit } from './limits.ts';
import {
  type EarlierWord,
  type RememberedOptions,
  RememberedStream,
  type StreamMemory,
} from './remembered-stream.ts';

/** How often the file is looked after. */
const lookMs = 5000;
/** Without a change it is written again after so long, because its age is what tells how far to trust it. */
const refreshMs = 60_000;
/** These say who may do what. They are written down at once: what they took away must not come back with a restart. */
const permissions: ReadonlySet<string> = new Set([
  methodName(Gateway.method.watch),
  methodName(InboundServerPolicies.method.watchPort),
]);

export interface LastGoodOptions extends LastGoodWriterOptions {
  limits: LimitLedger<DataplaneLimit>;
  /** Of the file; undefined: nothing is remembered. */
  path: string | undefined;
  /** What is older is not used. */
  maxAgeMs: number;
}

/** What the streams of all channels of a program add up to, and the file that it lies in. */
export class LastGoodMemory implements StreamMemory {
  readonly #options: LastGoodOptions;
  readonly #kept: Map<string, RememberedStream> = new Map();
  readonly #earlier: EarlierWords;
  readonly #writer: LastGoodWriter;
  readonly #reads: Family<Counter>;
  #restored = false;
  #silent = false;
  #changed = false;
  /** What changed is not to wait for the next look. */
  #pressing = false;
  /** It was told that streams live on memory. */
  #recalling = false;
  #writing: Promise<boolean> | undefined;
  #timer: Timer | undefined;

  constructor(options: LastGoodOptions) {
    this.#options = options;
    const { registry } = options;
    this.#reads = registry.counter(
      'mesh_last_good_reads_total',
      'Starts with a file for what the control plane said last, by what was found there: used, absent, damaged, foreign, too-large or stale.',
    );
    this.#earlier = new EarlierWords(options.limits);
    this.#writer = new LastGoodWriter(options);
    const served = registry.gauge(
      'mesh_last_good_streams',
      'Control streams that are served with what was said before the last restart, because the control plane did not answer since.',
    );
    registry.onCollect(() => served.with().set(this.#agesOfEarlier().length));
  }

  get clock(): Clock {
    return this.#options.clock;
  }

  get limits(): LimitLedger<DataplaneLimit> {
    return this.#options.limits;
  }

  /** Whether an earlier life left something that may still be used. */
  get restored(): boolean {
    return this.#restored;
  }

  /** For the person who asks whether the program is ready: what it goes by; empty when that is the control plane. */
  get note(): string {
    const ages = this.#agesOfEarlier();
    if (ages.length === 0) return '';
    const oldestS = Math.round(Math.max(...ages) / 1000);
    const text = `the control plane does not answer: ${ages.length} of its streams go by what it said up to ${oldestS} s ago`;
    const fault = this.#faultOfEarlier();
    return fault === '' ? text : `${text} (${fault})`;
  }

  get silent(): boolean {
    return this.#silent;
  }

  /** Reads the file; to be called before any stream is kept. */
  load(): void {
    const { clock, limits, log, maxAgeMs, owner, path } = this.#options;
    if (path === undefined) return;
    const read = readLastGood(path, { owner, maxBytes: limits.values.last_good_bytes });
    this.#timer = clock.every(lookMs, () => void this.#look(), true);
    const streams = 'fault' in read ? [] : [...read.streams];
    const ageMs = Math.min(...streams.map(([, { at }]) => this.#ageMs(at)));
    const fault = faultOf(read, { ageMs, maxAgeMs });
    this.#reads.with({ result: fault?.fault ?? 'used' }).add();
    if (fault !== undefined) {
      if (fault.fault !== 'absent')
        log.warn('last-good snapshot ignored', { reason: fault.fault, detail: fault.detail });
      return;
    }
    this.#restored = true;
    this.#writer.holdsStreams = true;
    for (const [key, entry] of streams) this.#earlier.remember(key, entry);
    log.info('last-good snapshot read', { streams: streams.length, ageS: Math.round(ageMs / 1000) });
  }

  /**
   * The streams of `channel`, which asks with `credentials`, remembered where there is a file. An answer is waited for before an
   * earlier one will do; with `meanwhile`, it does until then, too.
   */
  over(
    channel: ControlStreams,
    { credentials, meanwhile }: Pick<RememberedOptions, 'credentials' | 'meanwhile'>,
  ): ControlStreams {
    if (this.#options.path === undefined) return channel;
    return {
      keep: (method, input, handler) => {
        const encoded = toBinary(method.input, create(method.input, input));
        const key = `${methodName(method)} ${Buffer.from(encoded).toString('base64')}`;
        const stream = new RememberedStream(method, { memory: this, key, handler, credentials, meanwhile });
        this.#kept.set(key, stream);
        return stream.run(channel.keep(method, input, stream), () => {
          if (this.#kept.get(key) !== stream) return;
          this.#kept.delete(key);
          const entry = stream.lastGood();
          if (entry !== undefined) this.#earlier.remember(key, entry);
        });
      },
    };
  }

  earlier(key: string): EarlierWord | undefined {
    const entry = this.#earlier.get(key);
    if (entry === undefined) return undefined;
    const ageMs = this.#ageMs(entry.at);
    return ageMs <= this.#options.maxAgeMs ? { entry, ageMs } : undefined;
  }

  spoke(key: string, method: string, changed: boolean): void {
    this.#silent = false;
    if (changed) this.#changed = true;
    this.#earlier.forget(key);
    if (changed && permissions.has(method)) {
      this.#pressing = true;
      this.#writer.unflushed = true;
      void this.#look();
    }
    if (!this.#recalling || this.#agesOfEarlier().length > 0) return;
    this.#recalling = false;
    this.#options.log.info('the control plane answers: the last-good snapshot is no longer gone by');
  }

  unanswered(at: number, fault: string): void {
    if (this.#recalling) return;
    this.#recalling = true;
    this.#options.log.warn('the control plane does not answer: going by the last-good snapshot', {
      ageS: Math.round(this.#ageMs(at) / 1000),
      detail: fault,
    });
  }

  failed(): void {
    this.#silent = true;
  }

  unreadable(key: string, detail: string): void {
    this.#earlier.forget(key);
    this.#options.log.warn('last-good snapshot of a stream ignored', { key, detail });
  }

  /** Writes a last time; to be called before the streams end. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    if (this.#anyLive()) this.#changed = true;
    while (this.#writing !== undefined) await this.#writing;
    await this.#look();
  }

  #ageMs(at: number): number {
    return Math.max(0, this.#options.clock.wall() - at);
  }

  /** Of what is gone by though it was said before, ms. */
  #agesOfEarlier(): number[] {
    const ages: number[] = [];
    for (const { earlierAt } of this.#kept.values()) {
      if (earlierAt !== undefined) ages.push(this.#ageMs(earlierAt));
    }
    return ages;
  }

  /** Why one of them is, for a person; empty where nobody said so. */
  #faultOfEarlier(): string {
    for (const { earlierAt, fault } of this.#kept.values()) {
      if (earlierAt !== undefined && fault !== '') return fault;
    }
    return '';
  }

  /** Whether anything of what would be written is younger than what was. */
  #anyLive(): boolean {
    for (const { live } of this.#kept.values()) if (live) return true;
    return false;
  }

  /** Writes what is due, one write at a time. */
  async #look(): Promise<void> {
    const { clock, path } = this.#options;
    const due = this.#changed || (clock.now() - this.#writer.savedAt >= refreshMs && this.#anyLive());
    if (path === undefined || !due || this.#writing !== undefined) return;
    const known = this.#collect();
    if (known.size === 0 && !this.#writer.holdsStreams) return;
    this.#changed = false;
    this.#pressing = false;
    this.#writing = this.#writer.write(path, known);
    if (!(await this.#writing)) this.#changed = true;
    this.#writing = undefined;
    if (this.#pressing) await this.#look();
  }

  /** What is known, in the order of the streams' ages, as far as the file takes it: who may do what before anything else. */
  #collect(): ReadonlyMap<string, LastGood> {
    const { limits, maxAgeMs } = this.#options;
    const known = new Map<string, LastGood>();
    for (const [key, stream] of this.#kept) {
      const entry = stream.lastGood();
      if (entry !== undefined) known.set(key, entry);
    }
    for (const [key, entry] of this.#earlier.entries()) {
      if (!known.has(key) && this.#ageMs(entry.at) <= maxAgeMs) known.set(key, entry);
    }
    const { streams, leftOut } = fitting(known, {
      maxBytes: limits.values.last_good_bytes,
      first: (key) => permissions.has(key.slice(0, key.indexOf(' '))),
    });
    for (let count = 0; count < leftOut; count++) limits.hit('last_good_bytes');
    return streams;
  }
}

/** Why what was read may not be used. A file in which everything was withdrawn is as good as none. */
function faultOf(
  read: LastGoodRead,
  { ageMs, maxAgeMs }: { ageMs: number; maxAgeMs: number },
): { fault: LastGoodFault | 'stale'; detail: string } | undefined {
  if ('fault' in read) return read;
  if (read.streams.size === 0) return { fault: 'absent', detail: 'it has no streams' };
  if (ageMs <= maxAgeMs) return undefined;
  return { fault: 'stale', detail: `its newest word is ${Math.round(ageMs / 1000)} s old` };
}
