import { backoffMs, type Clock, pause, type Random, type Timer } from '@mesh/clock/clock';
import { isExpired, KubeApiError } from './api-error.ts';
import type { KubeClient } from './client.ts';
import { keyOf, refKey } from './objects.ts';
import type { ResourceType } from './resources.ts';
import { type IndexFunction, Store } from './store.ts';
import type { KubeObject, Stored } from './types.ts';
import type { Watch, WatchEnd, WatchEvent } from './watch.ts';

export interface InformerOptions<T extends KubeObject> {
  client: KubeClient;
  type: ResourceType<T>;
  clock: Clock;
  random: Random;
  /** All namespaces when absent. */
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  /** Extra ways to find objects, for `byIndex`. */
  indexers?: Readonly<Record<string, IndexFunction<T>>>;
  /** Report every key again this often, for state outside the API that nothing announces. Never when absent. */
  resyncMs?: number;
  /** Objects per page of a list. Default 500. */
  pageSize?: number;
  /** Told of each failed list or watch; the informer tries again by itself. */
  onError?: (error: unknown) => void;
}

/** What happened to a key. Absent `object`: it is gone. Equal `object` and `previous`: a resync. */
export interface Change<T extends KubeObject> {
  object: Stored<T> | undefined;
  previous: Stored<T> | undefined;
}

export type ChangeListener<T extends KubeObject> = (key: string, change: Change<T>) => void;

const retry = { baseMs: 250, capMs: 15_000, jitter: 0.3 };
/** Of a wait that a server asks for: what stands before an API server may ask for days, which no timer can wait either. */
const longestAskedMs = 60_000;
/** A watch that was open for so long worked. */
const steadyMs = 1000;

/**
 * A local copy of one collection, kept current by list and watch.
 *
 * While the API server is away the last known state stays readable, and `ageMs` says how old it is. Objects are
 * shared by all readers: never change them.
 */
export class Informer<T extends KubeObject> {
  readonly type: ResourceType<T>;
  /** Resolves once the first list is complete; never rejects. */
  readonly synced: Promise<void>;
  readonly #options: InformerOptions<T>;
  readonly #store: Store<T>;
  readonly #listeners: Set<ChangeListener<T>> = new Set();
  #markSynced: () => void = () => {};
  #isSynced = false;
  #running: AbortController | undefined;
  #loop: Promise<void> = Promise.resolve();
  #watch: Watch | undefined;
  #resync: Timer | undefined;
  #version = '';
  #connected = false;
  #currentUntil: number | undefined;

  constructor(options: InformerOptions<T>) {
    this.#options = options;
    this.type = options.type;
    this.#store = new Store(options.indexers);
    this.synced = new Promise((resolve) => {
      this.#markSynced = resolve;
    });
  }

  start(): void {
    if (this.#running !== undefined) return;
    const running = new AbortController();
    this.#running = running;
    this.#loop = this.#run(running.signal);
    const { resyncMs, clock } = this.#options;
    if (resyncMs !== undefined) {
      this.#resync = clock.every(resyncMs, () => this.#resyncAll(), true);
    }
  }

  /** Stops following; what is known stays readable. */
  async stop(): Promise<void> {
    this.#running?.abort(new Error('informer stopped'));
    this.#watch?.stop();
    this.#resync?.cancel();
    await this.#loop;
    this.#running = undefined;
  }

  get hasSynced(): boolean {
    return this.#isSynced;
  }

  /** True while a watch is open. */
  get connected(): boolean {
    return this.#connected;
  }

  /** Milliseconds since the state was last known to be current: 0 while connected, Infinity before the first list. */
  get ageMs(): number {
    if (this.#connected) return 0;
    return this.#currentUntil === undefined
      ? Number.POSITIVE_INFINITY
      : this.#options.clock.now() - this.#currentUntil;
  }

  get size(): number {
    return this.#store.size;
  }

  /** `namespace` is undefined or empty for cluster-wide objects. */
  get(namespace: string | undefined, name: string): Stored<T> | undefined {
    return this.#store.get(refKey({ namespace, name }));
  }

  getByKey(key: string): Stored<T> | undefined {
    return this.#store.get(key);
  }

  list(namespace?: string): Stored<T>[] {
    return namespace === undefined ? [...this.#store.values()] : this.#store.byIndex('namespace', namespace);
  }

  byIndex(index: string, value: string): Stored<T>[] {
    return this.#store.byIndex(index, value);
  }

  /**
   * Calls `listener` after each change, and at once for everything already known.
   * Returns the function that takes it off again.
   */
  onChange(listener: ChangeListener<T>): () => void {
    this.#listeners.add(listener);
    for (const object of this.#store.values()) listener(keyOf(object), { object, previous: undefined });
    return () => this.#listeners.delete(listener);
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, random, onError } = this.#options;
    let failures = 0;
    let mustList = true;
    while (!signal.aborted) {
      try {
        if (mustList) {
          await this.#list(signal);
          mustList = false;
        }
        const { end, openMs } = await this.#follow();
        // that a watch opened, or said something, says little: an expired version is refused within it
        if (openMs >= steadyMs) failures = 0;
        if (end.kind === 'stopped') return;
        if (end.kind === 'failed') throw end.error;
        // a server that closes every watch at once would otherwise be asked in a tight loop
        if (openMs < steadyMs) await pause(clock, backoffMs(0, random, retry), signal);
      } catch (thrown) {
        if (signal.aborted) return;
        // any refusal of a watch may be about its version (too old, too new after a restore): start over
        if (thrown instanceof KubeApiError) mustList = true;
        const expired = isExpired(thrown);
        if (!expired) onError?.(thrown);
        if (!expired || failures > 0) {
          const askedMs = (thrown instanceof KubeApiError ? thrown.retryAfterMs : undefined) ?? 0;
          const pauseMs = Math.max(Math.min(askedMs, longestAskedMs), backoffMs(failures, random, retry));
          await pause(clock, pauseMs, signal);
        }
        failures++;
      }
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { client, type, namespace, labelSelector, fieldSelector, pageSize = 500 } = this.#options;
    const selection = { namespace, labelSelector, fieldSelector, limit: pageSize, signal };
    const { resourceVersion, items } = await client.listAll(type, selection);
    if (signal.aborted) return;
    const gone = new Set(this.#store.keys());
    for (const object of items) {
      gone.delete(keyOf(object));
      this.#put(object);
    }
    for (const key of gone) this.#remove(key);
    this.#version = resourceVersion;
    this.#currentUntil = this.#options.clock.now();
    this.#isSynced = true;
    this.#markSynced();
  }

  /** `openMs`: how long the watch was open. */
  async #follow(): Promise<{ end: WatchEnd; openMs: number }> {
    const { client, type, namespace, labelSelector, fieldSelector, clock } = this.#options;
    const selection = { namespace, labelSelector, fieldSelector, resourceVersion: this.#version };
    let openedAt = Number.POSITIVE_INFINITY;
    const watch = client.watch(type, selection, (event) => this.#apply(event));
    this.#watch = watch;
    void watch.opened.then((opened) => {
      if (!opened || this.#watch !== watch) return;
      this.#connected = true;
      openedAt = clock.now();
    });
    const end = await watch.done;
    const openMs = Math.max(0, clock.now() - openedAt);
    if (this.#connected) this.#currentUntil = clock.now();
    this.#connected = false;
    this.#watch = undefined;
    return { end, openMs };
  }

  #apply(event: WatchEvent<T>): void {
    const version = event.object.metadata.resourceVersion;
    if (event.type === 'DELETED') {
      this.#remove(keyOf(event.object));
    } else if (event.type !== 'BOOKMARK') {
      this.#put(event.object);
    }
    this.#version = version;
  }

  #put(object: Stored<T>): void {
    const key = keyOf(object);
    const previous = this.#store.get(key);
    const { resourceVersion, uid } = object.metadata;
    if (previous?.metadata.resourceVersion === resourceVersion && previous.metadata.uid === uid) return;
    this.#store.set(object);
    this.#notify(key, { object, previous });
  }

  #remove(key: string): void {
    const previous = this.#store.delete(key);
    if (previous !== undefined) this.#notify(key, { object: undefined, previous });
  }

  #resyncAll(): void {
    for (const object of this.#store.values()) this.#notify(keyOf(object), { object, previous: object });
  }

  #notify(key: string, change: Change<T>): void {
    for (const listener of this.#listeners) listener(key, change);
  }
}
