import type { Clock, Random } from '@mesh/clock/clock';
import type { KubeClient } from './client.ts';
import { apiVersionOf, events, type ResourceType } from './resources.ts';
import type { Event, KubeObject, Stored } from './types.ts';

interface RecorderOptions {
  client: KubeClient;
  clock: Clock;
  random: Random;
  /** Who reports, for example `deployment-controller`. */
  component: string;
  onError?: (error: unknown) => void;
}

export interface EventText {
  type: 'Normal' | 'Warning';
  /** UpperCamelCase word that machines may match. */
  reason: string;
  message: string;
}

/** How many distinct events are remembered for counting repeats. */
const remembered = 512;

/** Writes Events about objects. Repeats raise the count of the first one instead of adding more. */
export class EventRecorder {
  readonly #options: RecorderOptions;
  readonly #known: Map<string, Promise<Stored<Event> | undefined>> = new Map();

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  /** Never throws: a lost event must not stop the work it tells of. */
  record(type: ResourceType, object: Stored<KubeObject>, text: EventText): void {
    const key = `${object.metadata.uid} ${text.reason} ${text.message}`;
    const previous = this.#known.get(key) ?? Promise.resolve(undefined);
    const write = previous
      .then((event) => this.#write(type, object, { text, event }))
      .catch((error: unknown) => {
        this.#options.onError?.(error);
        return undefined;
      });
    this.#known.delete(key);
    this.#known.set(key, write);
    const oldest = this.#known.keys().next();
    if (this.#known.size > remembered && oldest.done !== true) this.#known.delete(oldest.value);
  }

  /** Resolves when everything recorded so far is written. */
  async flush(): Promise<void> {
    await Promise.all(this.#known.values());
  }

  async #write(
    type: ResourceType,
    object: Stored<KubeObject>,
    { text, event }: { text: EventText; event: Stored<Event> | undefined },
  ): Promise<Stored<Event>> {
    const { client, clock, random, component } = this.#options;
    const now = new Date(clock.wall()).toISOString().replace(/\.\d+Z$/, 'Z');
    if (event !== undefined) {
      const body = { count: (event.count ?? 1) + 1, lastTimestamp: now };
      return await client.patch(events, event.metadata, { patch: { type: 'merge', body } });
    }
    const { name, uid, resourceVersion, namespace = 'default' } = object.metadata;
    const suffix = Math.floor(random.next() * 2 ** 48)
      .toString(16)
      .padStart(12, '0');
    return await client.create(events, {
      metadata: { name: `${name.slice(0, 200)}.${suffix}`, namespace },
      involvedObject: {
        apiVersion: apiVersionOf(type),
        kind: type.kind,
        name,
        uid,
        resourceVersion,
        ...(type.namespaced && { namespace }),
      },
      ...text,
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component },
      reportingComponent: component,
      reportingInstance: component,
    });
  }
}
