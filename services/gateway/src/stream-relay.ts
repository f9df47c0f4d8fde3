/**
 * Control streams as the primary has them: one for each question, however many workers ask it. A worker that asks later,
 * because it was replaced, is told at once what is known, also while the control plane is away.
 */
import {
  type DescMessage,
  type DescMethodServerStreaming,
  fromBinary,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import type { Clock, Timer } from '@mesh/clock/clock';
import { Destination } from '@mesh/control-api/gen/linkerd/destination_pb';
import { Gateway } from '@mesh/control-api/gen/mesh/gateway/v1/gateway_pb';
import type { RunningStream } from '@mesh/control-api/grpc-client';
import type { GrpcStatus } from '@mesh/control-api/status';
import { type ControlStreams, type KeptStreamHandler, methodName } from '@mesh/dataplane/control-channel';
import { snapshotOf, type StreamSnapshot } from '@mesh/dataplane/stream-snapshot';

/** How long an answer is kept that no worker asks for: longer than it takes to replace all of them. */
const idleMs = 60_000;

/** One worker that follows one stream. */
export interface StreamFollower {
  onMessage(bytes: Uint8Array, first: boolean): void;
  /** `agoMs`: for how long it has been so already. */
  onInterrupted(agoMs: number): void;
  /** The last call: the stream is gone. */
  onRejected(status: GrpcStatus): void;
}

interface Shared extends RunningStream {
  readonly followers: Set<StreamFollower>;
  /** Tells `follower` what is known. */
  replay(follower: StreamFollower): void;
  idle: Timer | undefined;
  readonly rejected: GrpcStatus | undefined;
}

interface SharedOptions {
  readonly clock: Clock;
  readonly streams: ControlStreams;
  readonly input: Uint8Array;
  /** It is over, before its followers hear of it. */
  readonly onRejected: () => void;
}

interface Question {
  open(options: SharedOptions): Shared;
}

const questions: ReadonlyMap<string, Question> = new Map([
  question(Gateway.method.watch),
  question(Destination.method.get),
]);

function question<Input extends DescMessage, Output extends DescMessage>(
  method: DescMethodServerStreaming<Input, Output>,
): readonly [name: string, Question] {
  return [methodName(method), { open: (options) => new SharedStream(method, options) }];
}

class SharedStream<Input extends DescMessage, Output extends DescMessage>
  implements Shared, KeptStreamHandler<Output>
{
  readonly followers: Set<StreamFollower> = new Set();
  idle: Timer | undefined;
  rejected: GrpcStatus | undefined;
  readonly #clock: Clock;
  readonly #onRejected: () => void;
  readonly #output: Output;
  readonly #snapshot: StreamSnapshot<Output>;
  readonly #stream: RunningStream;
  /** When the stream ended that has not spoken since. */
  #silentSince: number | undefined;

  constructor(
    method: DescMethodServerStreaming<Input, Output>,
    { clock, streams, input, onRejected }: SharedOptions,
  ) {
    this.#clock = clock;
    this.#onRejected = onRejected;
    this.#output = method.output;
    this.#snapshot = snapshotOf(method);
    this.#stream = streams.keep(method, fromBinary(method.input, input), this);
  }

  replay(follower: StreamFollower): void {
    for (const [index, message] of this.#snapshot.messages().entries()) {
      follower.onMessage(toBinary(this.#output, message), index === 0);
    }
    if (this.#silentSince !== undefined) follower.onInterrupted(this.#clock.now() - this.#silentSince);
  }

  onMessage(message: MessageShape<Output>, first: boolean): void {
    this.#silentSince = undefined;
    this.#snapshot.apply(message, first);
    const bytes = toBinary(this.#output, message);
    for (const follower of this.followers) follower.onMessage(bytes, first);
  }

  onInterrupted(agoMs = 0): void {
    const now = this.#clock.now();
    this.#silentSince ??= now - agoMs;
    for (const follower of this.followers) follower.onInterrupted(now - this.#silentSince);
  }

  onRejected(status: GrpcStatus): void {
    this.rejected = status;
    const told = [...this.followers];
    this.followers.clear();
    this.#onRejected();
    for (const follower of told) follower.onRejected(status);
  }

  cancel(): void {
    this.idle?.cancel();
    this.#stream.cancel();
  }
}

export class StreamRelay {
  readonly #clock: Clock;
  readonly #streams: ControlStreams;
  readonly #shared: Map<string, Shared> = new Map();

  constructor({ clock, streams }: { clock: Clock; streams: ControlStreams }) {
    this.#clock = clock;
    this.#streams = streams;
  }

  /** Streams that are open; those of nobody are kept for a while. */
  get size(): number {
    return this.#shared.size;
  }

  /** Undefined for a method that workers have no business with, and when the answer is a rejection at once. */
  follow(method: string, input: Uint8Array, follower: StreamFollower): RunningStream | undefined {
    const key = `${method} ${Buffer.from(input).toString('base64')}`;
    const shared = this.#shared.get(key) ?? this.#open(method, input, key);
    if (shared === undefined) return undefined;
    if (shared.rejected !== undefined) {
      shared.cancel();
      follower.onRejected(shared.rejected);
      return undefined;
    }
    this.#shared.set(key, shared);
    shared.idle?.cancel();
    shared.followers.add(follower);
    shared.replay(follower);
    return {
      cancel: () => {
        if (!shared.followers.delete(follower) || shared.followers.size > 0) return;
        shared.idle = this.#clock.after(idleMs, () => this.#drop(key), true);
      },
    };
  }

  #open(method: string, input: Uint8Array, key: string): Shared | undefined {
    return questions.get(method)?.open({
      clock: this.#clock,
      streams: this.#streams,
      input,
      // Who asks from now on is not told what was so once: the control plane is asked again.
      onRejected: () => this.#drop(key),
    });
  }

  #drop(key: string): void {
    this.#shared.get(key)?.cancel();
    this.#shared.delete(key);
  }

  close(): void {
    for (const shared of this.#shared.values()) shared.cancel();
    this.#shared.clear();
  }
}
