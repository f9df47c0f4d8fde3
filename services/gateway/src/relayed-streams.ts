/** Control streams as a worker has them: opened by the primary, which holds the only connection. */
import {
  create,
  type DescMessage,
  type DescMethodServerStreaming,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from '@bufbuild/protobuf';
import type { RunningStream } from '@mesh/control-api/grpc-client';
import type { GrpcCode } from '@mesh/control-api/status';
import { type ControlStreams, type KeptStreamHandler, methodName } from '@mesh/dataplane/control-channel';
import type { ToPrimary, ToWorker } from './worker-messages.ts';

interface Follower {
  onMessage(bytes: Uint8Array, first: boolean): void;
  onInterrupted(agoMs: number): void;
  onRejected(code: number, message: string): void;
}

export class RelayedStreams implements ControlStreams {
  readonly #send: (message: ToPrimary) => void;
  readonly #followers: Map<number, Follower> = new Map();
  #next = 1;

  constructor(send: (message: ToPrimary) => void) {
    this.#send = send;
  }

  keep<Input extends DescMessage, Output extends DescMessage>(
    method: DescMethodServerStreaming<Input, Output>,
    input: MessageInitShape<Input>,
    handler: KeptStreamHandler<Output>,
  ): RunningStream {
    const stream = this.#next++;
    this.#followers.set(stream, {
      onMessage: (bytes, first) => handler.onMessage(fromBinary(method.output, bytes), first),
      onInterrupted: (agoMs) => handler.onInterrupted?.(agoMs),
      onRejected: (code, message) => handler.onRejected({ code: code as GrpcCode, message }),
    });
    this.#send({
      kind: 'watch',
      stream,
      method: methodName(method),
      input: toBinary(method.input, create(method.input, input)),
    });
    return {
      cancel: () => {
        if (this.#followers.delete(stream)) this.#send({ kind: 'cancel', stream });
      },
    };
  }

  /** Takes what is about a stream; what the worker has cancelled meanwhile is dropped. */
  receive(message: Extract<ToWorker, { stream: number }>): void {
    const follower = this.#followers.get(message.stream);
    if (follower === undefined) return;
    switch (message.kind) {
      case 'message':
        follower.onMessage(message.bytes, message.first);
        return;
      case 'interrupted':
        follower.onInterrupted(message.agoMs);
        return;
      case 'rejected':
        this.#followers.delete(message.stream);
        follower.onRejected(message.code, message.message);
    }
  }
}
