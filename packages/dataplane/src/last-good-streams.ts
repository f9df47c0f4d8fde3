/**
 * Control streams that remember over restarts of the program what was said on them (docs/decisions/0011). As long as the
 * control plane does not answer, a stream is served with what it said to the program's earlier life in the same pod; its
 * first word replaces that.
 */
import {
  create,
  type DescMessage,
  type DescMethodServerStreaming,
  fromBinary,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import type { Clock, Timer } from '@mesh/clock/clock';
import type { RunningStream } from '@mesh/control-api/grpc-client';
import type { GrpcStatus } from '@mesh/control-api/status';
import type { LimitLedger } from '@mesh/limits/limits';
import type { Logger } from '@mesh/telemetry/log';
import type { Counter, Family, MetricRegistry } from '@mesh/telemetry/metrics';
import { type ControlStreams, type KeptStreamHandler, methodName } from './control-channel.ts';
import { encodeLastGood, type LastGood, readLastGood, sizeOf, writeLastGood } from './last-good-file.ts';
import type { DataplaneLimit } from './limits.ts';
import { snapshotOf, type StreamSnapshot } from './stream-snapshot.ts';

/** How often the file is looked after. */
const lookMs = 5000;
/** Without a change it is written again after so long, because its age is what tells how far to trust it. */
const refreshMs = 60_000;

export interface LastGoodOptions {
  clock: Clock;
  log: Logger;
  registry: MetricRegistry;
  limits: LimitLedger<DataplaneLimit>;
  /** Of the file; undefined: nothing is remembered. */
  path: string | undefined;
  /** Who reads and writes it. */
  owner: string;
  /** What is older is not used. */
  maxAgeMs: number;
}

/** What the streams of all channels of a program add up to, and the file that it lies in. */
export class LastGoodMemory {
  readonly #options: LastGoodOptions;
  readonly #kept: Map<string, RememberedStream> = new Map();
  /** What streams said that are not open now: of the earlier life, and idle ones of this. Oldest first. */
  readonly #earlier: Map<string, LastGood> = new Map();
  #earlierBytes = 0;
  readonly #writes: Family<Counter>;
  readonly #reads: Family<Counter>;
  #restored = false;
  #silent = false;
  #changed = false;
  #savedAt = 0;
  #writing = false;
  #lastFailure = '';
  #timer: Timer | undefined;

  constructor(options: LastGoodOptions) {
    this.#options = options;
    const { registry } = options;
    this.#reads = registry.counter(
      'mesh_last_good_reads_total',
      'Starts with a file for what the control plane said last, by what was found there: used, absent, damaged, foreign, too-large or stale.',
    );
    this.#writes = registry.counter(
      'mesh_last_good_writes_total',
      'How often what the control plane said last was written down, by result.',
    );
    const served = registry.gauge(
      'mesh_last_good_streams',
      'Control streams that are served with what was said before the last restart, because the control plane did not answer since.',
    );
    registry.onCollect(() => {
      let count = 0;
      for (const stream of this.#kept.values()) if (stream.earlier) count++;
      served.with().set(count);
    });
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

  /** Whether a stream failed and none has spoken since: then nobody waits for an answer first. */
  get silent(): boolean {
    return this.#silent;
  }

  /** Reads the file; to be called before any stream is kept. */
  async load(): Promise<void> {
    const { clock, limits, log, maxAgeMs, owner, path } = this.#options;
    if (path === undefined) return;
    const read = await readLastGood(path, { owner, maxBytes: limits.values.last_good_bytes });
    this.#timer = clock.every(lookMs, () => void this.#look(), true);
    const streams = 'fault' in read ? [] : [...read.streams];
    const ageMs = Math.min(...streams.map(([, { at }]) => this.#ageMs(at)));
    const fault = 'fault' in read ? read : ageMs > maxAgeMs ? stale(ageMs) : undefined;
    this.#reads.with({ result: fault?.fault ?? 'used' }).add();
    if (fault !== undefined) {
      if (fault.fault !== 'absent')
        log.warn('last-good snapshot ignored', { reason: fault.fault, detail: fault.detail });
      return;
    }
    this.#restored = true;
    for (const [key, entry] of streams) this.#remember(key, entry);
    log.info('last-good snapshot read', { streams: streams.length, ageS: Math.round(ageMs / 1000) });
  }

  /**
   * The streams of `channel`, remembered where there is a file. `waitMs`: how long an answer is waited for before an earlier one
   * will do.
   */
  over(channel: ControlStreams, waitMs: number): ControlStreams {
    if (this.#options.path === undefined) return channel;
    return {
      keep: (method, input, handler) => {
        const encoded = toBinary(method.input, create(method.input, input));
        const key = `${methodName(method)} ${Buffer.from(encoded).toString('base64')}`;
        const stream = new RememberedStream(method, { memory: this, key, handler, waitMs });
        this.#kept.set(key, stream);
        return stream.run(channel.keep(method, input, stream), () => {
          if (this.#kept.get(key) !== stream) return;
          this.#kept.delete(key);
          const entry = stream.lastGood();
          if (entry !== undefined) this.#remember(key, entry);
        });
      },
    };
  }

  /** Of the earlier life, with its age in ms; undefined when there is nothing, or nothing that may be used. */
  earlier(key: string): { readonly entry: LastGood; readonly ageMs: number } | undefined {
    const entry = this.#earlier.get(key);
    if (entry === undefined) return undefined;
    const ageMs = this.#ageMs(entry.at);
    return ageMs <= this.#options.maxAgeMs ? { entry, ageMs } : undefined;
  }

  /** A stream spoke. */
  spoke(key: string): void {
    this.#silent = false;
    this.#changed = true;
    this.#forget(key);
  }

  /** A stream failed. */
  failed(): void {
    this.#silent = true;
  }

  /** What was remembered of a stream is of no use. */
  unreadable(key: string, detail: string): void {
    this.#forget(key);
    this.#options.log.warn('last-good snapshot of a stream ignored', { key, detail });
  }

  /** Writes a last time; to be called before the streams end. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    if (this.#anyLive()) this.#changed = true;
    await this.#look();
  }

  #remember(key: string, entry: LastGood): void {
    this.#forget(key);
    this.#earlier.set(key, entry);
    this.#earlierBytes += sizeOf(key, entry);
    const { limits } = this.#options;
    for (const [oldest] of this.#earlier) {
      if (this.#earlierBytes <= limits.values.last_good_bytes) return;
      limits.hit('last_good_bytes');
      this.#forget(oldest);
    }
  }

  #forget(key: string): void {
    const entry = this.#earlier.get(key);
    if (entry === undefined) return;
    this.#earlier.delete(key);
    this.#earlierBytes -= sizeOf(key, entry);
  }

  #ageMs(at: number): number {
    return Math.max(0, this.#options.clock.wall() - at);
  }

  /** Whether anything of what would be written is younger than what was. */
  #anyLive(): boolean {
    for (const { live } of this.#kept.values()) if (live) return true;
    return false;
  }

  async #look(): Promise<void> {
    const { clock, log, owner, path } = this.#options;
    const due = this.#changed || (clock.now() - this.#savedAt >= refreshMs && this.#anyLive());
    if (path === undefined || !due || this.#writing) return;
    const known = this.#collect();
    if (known.size === 0) return;
    this.#writing = true;
    this.#changed = false;
    try {
      await writeLastGood(path, encodeLastGood(known, owner));
      this.#savedAt = clock.now();
      this.#lastFailure = '';
      this.#writes.with({ result: 'success' }).add();
    } catch (thrown) {
      this.#changed = true;
      const detail = thrown instanceof Error ? thrown.message : String(thrown);
      this.#writes.with({ result: 'failure' }).add();
      if (detail !== this.#lastFailure) log.warn('last-good snapshot not written', { path, detail });
      this.#lastFailure = detail;
    }
    this.#writing = false;
  }

  /** What is known, in the order of the streams' ages, as far as the file takes it. */
  #collect(): Map<string, LastGood> {
    const { limits, maxAgeMs } = this.#options;
    const known = new Map<string, LastGood>();
    for (const [key, stream] of this.#kept) {
      const entry = stream.lastGood();
      if (entry !== undefined) known.set(key, entry);
    }
    for (const [key, entry] of this.#earlier) {
      if (!known.has(key) && this.#ageMs(entry.at) <= maxAgeMs) known.set(key, entry);
    }
    let left = limits.values.last_good_bytes;
    for (const [key, entry] of known) {
      const size = sizeOf(key, entry);
      if (size <= left) {
        left -= size;
      } else {
        limits.hit('last_good_bytes');
        known.delete(key);
      }
    }
    return known;
  }
}

function stale(ageMs: number): { fault: 'stale'; detail: string } {
  return { fault: 'stale', detail: `its newest word is ${Math.round(ageMs / 1000)} s old` };
}

interface RememberedOptions<Output extends DescMessage> {
  readonly memory: LastGoodMemory;
  readonly key: string;
  readonly handler: KeptStreamHandler<Output>;
  readonly waitMs: number;
}

/** One stream: hears what the channel says before its handler does. */
class RememberedStream<Input extends DescMessage = DescMessage, Output extends DescMessage = DescMessage>
  implements KeptStreamHandler<Output>
{
  readonly #output: Output;
  readonly #facts: RememberedOptions<Output>;
  readonly #snapshot: StreamSnapshot<Output>;
  #waiting: Timer | undefined;
  /** The control plane spoke, or rejected the question. */
  #answered = false;
  /** Wall-clock time when the stream ended that has not spoken since. */
  #interruptedAt: number | undefined;
  #rejected = false;
  /** Served with what the earlier life knew. */
  earlier = false;

  constructor(method: DescMethodServerStreaming<Input, Output>, facts: RememberedOptions<Output>) {
    this.#output = method.output;
    this.#facts = facts;
    this.#snapshot = snapshotOf(method);
  }

  /** Whether what it said is known to be true now. */
  get live(): boolean {
    return this.#answered && !this.#rejected && this.#interruptedAt === undefined;
  }

  /** `running` was opened for this stream; `forget` is called when it is cancelled. */
  run(running: RunningStream, forget: () => void): RunningStream {
    const { key, memory, waitMs } = this.#facts;
    if (!this.#answered && memory.earlier(key) !== undefined) {
      if (memory.silent || waitMs === 0) this.#recall();
      else this.#waiting = memory.clock.after(waitMs, () => this.#waited(), true);
    }
    return {
      cancel: () => {
        this.#waiting?.cancel();
        forget();
        running.cancel();
      },
    };
  }

  onMessage(message: MessageShape<Output>, first: boolean): void {
    this.#settle();
    this.#interruptedAt = undefined;
    this.#snapshot.apply(message, first);
    this.#facts.memory.spoke(this.#facts.key);
    this.#facts.handler.onMessage(message, first);
  }

  onRejected(status: GrpcStatus): void {
    this.#rejected = true;
    this.#settle();
    this.#facts.memory.spoke(this.#facts.key);
    this.#facts.handler.onRejected(status);
  }

  onInterrupted(): void {
    const { handler, memory } = this.#facts;
    this.#interruptedAt ??= memory.clock.wall();
    memory.failed();
    this.#recall();
    handler.onInterrupted?.();
  }

  /** What may be written down of it; undefined before it spoke in this life, and when its question was refused. */
  lastGood(): LastGood | undefined {
    const messages = this.#rejected ? [] : this.#snapshot.messages();
    if (messages.length === 0) return undefined;
    return {
      at: this.#interruptedAt ?? this.#facts.memory.clock.wall(),
      messages: messages.map((message) => toBinary(this.#output, message)),
    };
  }

  #settle(): void {
    this.#answered = true;
    this.earlier = false;
    this.#waiting?.cancel();
  }

  #waited(): void {
    this.#facts.memory.limits.hit('last_good_wait_ms');
    this.#recall();
  }

  /** Tells the handler what the earlier life knew, once. */
  #recall(): void {
    const { handler, key, memory } = this.#facts;
    if (this.#answered || this.earlier) return;
    const found = memory.earlier(key);
    if (found === undefined) return;
    let messages: MessageShape<Output>[];
    try {
      messages = found.entry.messages.map((bytes) => fromBinary(this.#output, bytes));
    } catch (thrown) {
      memory.unreadable(key, thrown instanceof Error ? thrown.message : String(thrown));
      return;
    }
    this.earlier = true;
    for (const [index, message] of messages.entries()) handler.onMessage(message, index === 0);
    handler.onInterrupted?.(found.ageMs);
  }
}
