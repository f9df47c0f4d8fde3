/**
 * What the messages of one control stream add up to, so that a late follower can be told the same in few words. It is
 * applied as the data plane does it: the first set of a stream replaces what was known before.
 */
import {
  create,
  type DescMessage,
  type DescMethodServerStreaming,
  type MessageShape,
} from '@bufbuild/protobuf';
import {
  Destination,
  type Update,
  UpdateSchema,
  type WeightedAddr,
} from '@mesh/control-api/gen/linkerd/destination_pb';
import { methodName } from './control-channel.ts';
import { addressKey } from './endpoint-spec.ts';

export interface StreamSnapshot<Output extends DescMessage> {
  /** `first`: the first message of a stream, after the start or a reconnect. */
  apply(message: MessageShape<Output>, first: boolean): void;
  /** What a new stream would say; empty before the first message. */
  messages(): readonly MessageShape<Output>[];
}

/** For a stream of `method`. Endpoints are the only thing that is told in differences. */
export function snapshotOf<Input extends DescMessage, Output extends DescMessage>(
  method: DescMethodServerStreaming<Input, Output>,
): StreamSnapshot<Output> {
  return methodName(method) === methodName(Destination.method.get)
    ? (new EndpointSnapshot() as StreamSnapshot<DescMessage> as StreamSnapshot<Output>)
    : new LatestMessage<Output>();
}

/** Of streams whose messages are the whole truth each. */
class LatestMessage<Output extends DescMessage> implements StreamSnapshot<Output> {
  #latest: MessageShape<Output> | undefined;

  apply(message: MessageShape<Output>): void {
    this.#latest = message;
  }

  messages(): readonly MessageShape<Output>[] {
    return this.#latest === undefined ? [] : [this.#latest];
  }
}

interface Held {
  readonly address: WeightedAddr;
  /** Of the set that the address came in. */
  readonly setLabels: Record<string, string>;
}

/** Of `io.linkerd.proxy.destination.Destination/Get`. */
export class EndpointSnapshot implements StreamSnapshot<typeof UpdateSchema> {
  readonly #endpoints: Map<string, Held> = new Map();
  /** Nothing was said yet on the current stream that replaces what is known. */
  #fresh = true;
  /** Set while there are no endpoints: whether the service exists. */
  #none: boolean | undefined;
  #enoughReady = 0;

  apply({ update }: Update, first: boolean): void {
    if (first) this.#fresh = true;
    switch (update.case) {
      case 'add':
        if (this.#fresh) this.#endpoints.clear();
        this.#fresh = false;
        this.#none = undefined;
        this.#enoughReady = update.value.enoughReady;
        for (const address of update.value.addrs) {
          const key = addressKey(address.addr);
          if (key !== undefined) this.#endpoints.set(key, { address, setLabels: update.value.metricLabels });
        }
        return;
      case 'remove':
        if (this.#fresh) return;
        for (const address of update.value.addrs) this.#endpoints.delete(addressKey(address) ?? '');
        if (this.#endpoints.size === 0) this.#none = true;
        return;
      case 'noEndpoints':
        this.#fresh = false;
        this.#endpoints.clear();
        this.#none = update.value.exists;
        return;
      default:
    }
  }

  messages(): readonly Update[] {
    if (this.#none !== undefined) {
      return [create(UpdateSchema, { update: { case: 'noEndpoints', value: { exists: this.#none } } })];
    }
    const sets = new Map<string, { setLabels: Record<string, string>; addrs: WeightedAddr[] }>();
    for (const { address, setLabels } of this.#endpoints.values()) {
      const key = JSON.stringify(setLabels);
      const set = sets.get(key) ?? { setLabels, addrs: [] };
      sets.set(key, set);
      set.addrs.push(address);
    }
    const enoughReady = this.#enoughReady;
    return Array.from(sets.values(), ({ setLabels, addrs }) =>
      create(UpdateSchema, {
        update: { case: 'add', value: { addrs, metricLabels: setLabels, enoughReady } },
      }),
    );
  }
}
