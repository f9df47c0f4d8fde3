/** Streams a value that is computed anew whenever one of its topics changes. */
import { create, type DescMessage, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import type { GrpcSink } from '@mesh/control-api/response-sink';
import type { GrpcStatus } from '@mesh/control-api/status';
import type { Notifier } from './notifier.ts';

interface ValueStream<Output extends DescMessage> {
  sink: GrpcSink<Output>;
  schema: Output;
  notifier: Notifier;
  /** What the value depends on; asked again with each value, because that may change too. */
  topics: () => readonly string[];
  /** Undefined: nothing to say now, wait. A status ends the stream. */
  compute: () =>
    | { readonly kind: 'value'; readonly value: MessageInitShape<Output> }
    | { readonly kind: 'wait' }
    | { readonly kind: 'end'; readonly status: GrpcStatus };
}

/** Sends the value now and after each change that makes it differ; a slow reader gets the newest one only. */
export function streamValue<Output extends DescMessage>(stream: ValueStream<Output>): void {
  const { sink, schema, compute } = stream;
  let sent: Buffer | undefined;
  let writable = true;
  let subscribed: readonly string[] = [];
  let unsubscribe = (): void => {};
  const publish = (): void => {
    if (!sink.open || !writable) return;
    const topics = stream.topics();
    if (topics.join(' ') !== subscribed.join(' ')) {
      unsubscribe();
      unsubscribe = stream.notifier.subscribe(topics, publish);
      subscribed = topics;
    }
    const result = compute();
    if (result.kind === 'wait') return;
    if (result.kind === 'end') {
      unsubscribe();
      sink.end(result.status);
      return;
    }
    const message = create(schema, result.value);
    // Maps keep the order they were filled in, which the pure functions behind `compute` fix.
    const bytes = Buffer.from(toBinary(schema, message));
    if (sent?.equals(bytes) === true) return;
    sent = bytes;
    writable = sink.send(message);
  };
  sink.onCancel(() => unsubscribe());
  sink.onDrain(() => {
    writable = true;
    publish();
  });
  publish();
}
