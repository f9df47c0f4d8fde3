/**
 * What the messages of one control stream add up to, so that a late follower can be told the same in few words. It is
 * applied as the data plane does it: the first set of a stream replaces what was known before.
 */
import { create, type DescMessage, type MessageShape } from '@bufbuild/protobuf';
import { type Update, UpdateSchema, type WeightedAddr } from '@mesh/control-api/gen/linkerd/destination_pb';
import { addressKey } from '@mesh/dataplane/endpoint-spec';

export interface StreamSnapshot<Output extends DescMessage> {
  /** `first`: the first message of a stream, after the start or a reconnect. */
  apply(message: MessageShape<Output>, first: boolean): void;
  /** What a new stream would say; empty before the first message. */
  messages(): readonly MessageShape<Output>[];
}

/** Of streams whose messages are the whole truth each. */
export class LatestMessage<Output extends DescMessage> implements StreamSnapshot<Output> {
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

  apply({ update }: Update, first: boolean): void {
    if (first) this.#fresh = true;
    switch (update.case) {
      case 'add':
        if (this.#fresh) this.#endpoints.clear();
        this.#fresh = false;
        this.#none = undefined;
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
    return Array.from(sets.values(), ({ setLabels, addrs }) =>
      create(UpdateSchema, { update: { case: 'add', value: { addrs, metricLabels: setLabels } } }),
    );
  }
}
