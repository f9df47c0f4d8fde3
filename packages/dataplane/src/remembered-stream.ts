/** One control stream that goes by what an earlier life of the program was told, until the control plane speaks. */
import {
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
import type { CredentialStore } from '@mesh/trust/credentials';
import { type KeptStreamHandler, methodName, statusText } from './control-channel.ts';
import type { LastGood } from './last-good-file.ts';
import type { DataplaneLimit } from './limits.ts';
import { snapshotOf, type StreamSnapshot } from './stream-snapshot.ts';

/** What a stream said to the earlier life. */
export interface EarlierWord {
  readonly entry: LastGood;
  readonly ageMs: number;
}

/** What a stream needs of the memory that it is part of. */
export interface StreamMemory {
  readonly clock: Clock;
  readonly limits: LimitLedger<DataplaneLimit>;
  /** Whether a stream failed and none has spoken since: then nobody waits for an answer first. */
  readonly silent: boolean;
  /** Undefined when there is nothing, or nothing that may be used. */
  earlier(key: string): EarlierWord | undefined;
  /** A stream of `method` spoke. `changed`: something else than it said before. */
  spoke(key: string, method: string, changed: boolean): void;
  /** A stream failed. */
  failed(): void;
  /** A stream goes by what was true until `at`, wall-clock ms, for want of an answer; `fault`: why, as far as it is known. */
  unanswered(at: number, fault: string): void;
  /** What was remembered of a stream is of no use. */
  unreadable(key: string, detail: string): void;
}

export interface RememberedOptions<Output extends DescMessage = DescMessage> {
  readonly memory: StreamMemory;
  readonly key: string;
  readonly handler: KeptStreamHandler<Output>;
  /** What the question is asked with. */
  readonly credentials: Pick<CredentialStore, 'whenPresent'>;
  /** An earlier word is better than none, and is gone by while an answer is waited for. */
  readonly meanwhile: boolean;
}

/** Hears what the channel says before its handler does. */
export class RememberedStream<
  Input extends DescMessage = DescMessage,
  Output extends DescMessage = DescMessage,
> implements KeptStreamHandler<Output>
{
  readonly #method: DescMethodServerStreaming<Input, Output>;
  readonly #facts: RememberedOptions<Output>;
  readonly #snapshot: StreamSnapshot<Output>;
  /** Kept until the next word: of thousands of endpoints, few change between two looks at what is to be written down. */
  #encoded: readonly Uint8Array[] | undefined;
  #stopWaiting: () => void = () => {};
  /** The control plane spoke, or rejected the question. */
  #answered = false;
  /** Wall-clock time when the stream ended that has not spoken since. */
  #interruptedAt: number | undefined;
  #rejected = false;
  /** Of what the handler was told from before: until when it was known to be true, wall-clock ms. */
  #recalledAt: number | undefined;
  /** The same, once it is gone by because no answer came. */
  earlierAt: number | undefined;
  /** What it ended with last; empty when it did not end. */
  fault = '';

  constructor(method: DescMethodServerStreaming<Input, Output>, facts: RememberedOptions<Output>) {
    this.#method = method;
    this.#facts = facts;
    this.#snapshot = snapshotOf(method);
  }

  /** Whether what it said is known to be true now. */
  get live(): boolean {
    return this.#answered && !this.#rejected && this.#interruptedAt === undefined;
  }

  /** `running` was opened for this stream; `forget` is called when it is cancelled. */
  run(running: RunningStream, forget: () => void): RunningStream {
    const { key, meanwhile, memory } = this.#facts;
    if (!this.#answered && memory.earlier(key) !== undefined) {
      if (meanwhile) this.#recall();
      if (memory.silent) this.#unanswered();
      else this.#wait();
    }
    return {
      cancel: () => {
        this.#stopWaiting();
        forget();
        running.cancel();
      },
    };
  }

  onMessage(message: MessageShape<Output>, first: boolean): void {
    const { handler, key, memory } = this.#facts;
    // Most streams say the same again after a reconnect; what they say later is news.
    const before = first ? this.#known() : undefined;
    this.#settle();
    this.#interruptedAt = undefined;
    this.#snapshot.apply(message, first);
    this.#encoded = undefined;
    memory.spoke(key, methodName(this.#method), before === undefined || !same(before, this.#known()));
    handler.onMessage(message, first);
  }

  onRejected(status: GrpcStatus): void {
    this.#rejected = true;
    this.#settle();
    this.#facts.memory.spoke(this.#facts.key, methodName(this.#method), true);
    this.#facts.handler.onRejected(status);
  }

  onInterrupted(_agoMs?: number, status?: GrpcStatus): void {
    const { handler, memory } = this.#facts;
    if (status !== undefined) this.fault = statusText(status);
    this.#interruptedAt ??= memory.clock.wall();
    memory.failed();
    this.#unanswered();
    handler.onInterrupted?.(0, status);
  }

  /** What may be written down of it; undefined before it spoke in this life, and when its question was refused. */
  lastGood(): LastGood | undefined {
    const messages = this.#rejected ? [] : this.#said();
    if (messages.length === 0) return undefined;
    return { at: this.#interruptedAt ?? this.#facts.memory.clock.wall(), messages };
  }

  /** In this life. */
  #said(): readonly Uint8Array[] {
    this.#encoded ??= this.#snapshot.messages().map((message) => toBinary(this.#method.output, message));
    return this.#encoded;
  }

  /** In this life, or before it spoke in the earlier one. */
  #known(): readonly Uint8Array[] {
    if (this.#answered) return this.#said();
    return this.#facts.memory.earlier(this.#facts.key)?.entry.messages ?? [];
  }

  #settle(): void {
    this.#answered = true;
    this.#recalledAt = undefined;
    this.earlierAt = undefined;
    this.#stopWaiting();
  }

  /** Before there are credentials nothing can be asked, and no answer be late. */
  #wait(): void {
    const { credentials, memory } = this.#facts;
    let timer: Timer | undefined;
    const leave = credentials.whenPresent(() => {
      timer = memory.clock.after(memory.limits.values.last_good_wait_ms, () => this.#waited(), true);
    });
    this.#stopWaiting = () => {
      leave();
      timer?.cancel();
    };
  }

  #waited(): void {
    this.#facts.memory.limits.hit('last_good_wait_ms');
    this.#unanswered();
  }

  /** No answer will be waited for any more: what was said before is gone by, and that is told. */
  #unanswered(): void {
    this.#stopWaiting();
    this.#recall();
    if (this.#recalledAt === undefined || this.earlierAt !== undefined) return;
    this.earlierAt = this.#recalledAt;
    this.#facts.memory.unanswered(this.earlierAt, this.fault);
  }

  /** Tells the handler what the earlier life knew, once. */
  #recall(): void {
    const { handler, key, memory } = this.#facts;
    if (this.#answered || this.#recalledAt !== undefined) return;
    const found = memory.earlier(key);
    if (found === undefined) return;
    let messages: MessageShape<Output>[];
    try {
      messages = found.entry.messages.map((bytes) => fromBinary(this.#method.output, bytes));
    } catch (thrown) {
      memory.unreadable(key, thrown instanceof Error ? thrown.message : String(thrown));
      return;
    }
    this.#recalledAt = found.entry.at;
    for (const [index, message] of messages.entries()) handler.onMessage(message, index === 0);
    handler.onInterrupted?.(found.ageMs);
  }
}

function same(some: readonly Uint8Array[], others: readonly Uint8Array[]): boolean {
  return (
    some.length === others.length &&
    some.every((bytes, index) => Buffer.compare(bytes, others[index] ?? new Uint8Array()) === 0)
  );
}
