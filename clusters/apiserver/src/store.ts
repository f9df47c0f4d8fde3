/**
 * The versioned store: every object, the last events of all kinds, and the journal they are written to.
 *
 * One counter numbers all writes, as etcd's revision does. Objects are immutable once stored. The window of past
 * events serves three things: watches that resume, lists at an older version (pages of one list are consistent),
 * and the answer 410 for anything older than it.
 */
import type { LimitLedger } from '@mesh/limits/limits';
import type { EventType, Journal, JournalEntry } from './journal.ts';
import { clone, deepEqual, deepFreeze } from './json.ts';
import type { ApiserverLimit } from './limits.ts';
import { namespaceOf, objectKey, type KubeObject } from './object.ts';

export interface StoreEvent {
  readonly version: number;
  readonly type: EventType;
  /** `group/plural`. */
  readonly resource: string;
  readonly key: string;
  /** For DELETED the last state, with the version of the deletion. */
  readonly object: KubeObject;
  readonly previous: KubeObject | undefined;
}

export type WriteResult =
  | { readonly kind: 'ok'; readonly object: KubeObject }
  | { readonly kind: 'exists' | 'missing' | 'conflict' };

type Listener = (event: StoreEvent) => void;

interface StoreOptions {
  limits: LimitLedger<ApiserverLimit>;
  journal?: Journal;
  /** A snapshot could not be written. */
  onFault?: (error: unknown) => void;
}

export class Store {
  readonly #limits: LimitLedger<ApiserverLimit>;
  readonly #journal: Journal | undefined;
  readonly #onFault: (error: unknown) => void;
  readonly #objects: Map<string, Map<string, KubeObject>> = new Map();
  /** Objects of a kind in order of key, until the next write to that kind. */
  readonly #ordered: Map<string, KubeObject[]> = new Map();
  readonly #listeners: Set<Listener> = new Set();
  #window: StoreEvent[] = [];
  #version = 0;
  /** Highest version whose event is no longer in the window. */
  #compacted = 0;

  constructor({ limits, journal, onFault = () => {} }: StoreOptions) {
    this.#limits = limits;
    this.#onFault = onFault;
    this.#journal = journal;
    if (journal === undefined) return;
    const { version, objects, entries } = journal.load();
    this.#version = version;
    this.#compacted = version;
    for (const { resource, object } of objects) {
      this.#kind(resource).set(objectKey(namespaceOf(object), object.metadata.name), deepFreeze(object));
    }
    for (const entry of entries) this.#record(this.#replay(entry));
  }

  /** The version of the last write. */
  get version(): number {
    return this.#version;
  }

  /** Watches from a version below this one cannot be served. */
  get compactedVersion(): number {
    return this.#compacted;
  }

  get(resource: string, namespace: string, name: string): KubeObject | undefined {
    return this.#objects.get(resource)?.get(objectKey(namespace, name));
  }

  /** Ordered by key, so that pages are stable. `namespace` undefined or empty means all. */
  list(resource: string, namespace = ''): KubeObject[] {
    let objects = this.#ordered.get(resource);
    if (objects === undefined) {
      objects = ordered(this.#objects.get(resource) ?? new Map());
      this.#ordered.set(resource, objects);
    }
    return objects.filter((object) => namespace === '' || object.metadata.namespace === namespace);
  }

  /** The list as it was at `version`, or undefined when that is older than the window. */
  listAt(resource: string, namespace: string, version: number): KubeObject[] | undefined {
    if (version >= this.#version) return this.list(resource, namespace);
    if (version < this.#compacted) return undefined;
    const objects = new Map(this.#objects.get(resource) ?? []);
    for (let index = this.#window.length - 1; index >= 0; index--) {
      const event = this.#window[index];
      if (event === undefined || event.version <= version) break;
      if (event.resource !== resource) continue;
      if (event.previous === undefined) objects.delete(event.key);
      else objects.set(event.key, event.previous);
    }
    return ordered(objects).filter((object) => namespace === '' || object.metadata.namespace === namespace);
  }

  create(resource: string, object: KubeObject): WriteResult {
    const key = objectKey(namespaceOf(object), object.metadata.name);
    if (this.#kind(resource).has(key)) return { kind: 'exists' };
    return { kind: 'ok', object: this.#write('ADDED', resource, key, object, undefined) };
  }

  /** Replaces the object if it is still `expected`. An unchanged object is not written again. */
  replace(resource: string, expected: KubeObject, object: KubeObject): WriteResult {
    const key = objectKey(namespaceOf(expected), expected.metadata.name);
    const current = this.#kind(resource).get(key);
    if (current === undefined) return { kind: 'missing' };
    if (current !== expected) return { kind: 'conflict' };
    if (deepEqual(current, object)) return { kind: 'ok', object: current };
    return { kind: 'ok', object: this.#write('MODIFIED', resource, key, object, current) };
  }

  remove(resource: string, expected: KubeObject): WriteResult {
    const key = objectKey(namespaceOf(expected), expected.metadata.name);
    const current = this.#kind(resource).get(key);
    if (current === undefined) return { kind: 'missing' };
    if (current !== expected) return { kind: 'conflict' };
    return { kind: 'ok', object: this.#write('DELETED', resource, key, clone(current), current) };
  }

  /** Events of `resource` after `version`, oldest first; undefined when the window no longer reaches back so far. */
  eventsAfter(resource: string, version: number): StoreEvent[] | undefined {
    if (version < this.#compacted) return undefined;
    return this.#window.filter((event) => event.version > version && event.resource === resource);
  }

  /** Calls `listener` in the same turn as each write, in order. Returns the way to stop. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#journal?.close();
  }

  #kind(resource: string): Map<string, KubeObject> {
    let objects = this.#objects.get(resource);
    if (objects === undefined) {
      objects = new Map();
      this.#objects.set(resource, objects);
    }
    return objects;
  }

  #write(
    type: EventType,
    resource: string,
    key: string,
    object: KubeObject,
    previous: KubeObject | undefined,
  ): KubeObject {
    const version = this.#version + 1;
    object.metadata.resourceVersion = String(version);
    deepFreeze(object);
    this.#journal?.append({ version, type, resource, key, object });
    const event: StoreEvent = { version, type, resource, key, object, previous };
    this.#record(event);
    if (
      this.#journal !== undefined &&
      this.#journal.entries >= this.#limits.values.apiserver_journal_entries
    ) {
      try {
        this.#journal.compact(this.#version, this.#everything());
      } catch (thrown) {
        // The write itself is done, and whoever watches must hear of it.
        this.#onFault(thrown);
      }
    }
    for (const listener of this.#listeners) listener(event);
    return object;
  }

  #replay({ version, type, resource, key, object }: JournalEntry): StoreEvent {
    const previous = this.#kind(resource).get(key);
    return { version, type, resource, key, object: deepFreeze(object), previous };
  }

  #record(event: StoreEvent): void {
    const objects = this.#kind(event.resource);
    this.#ordered.delete(event.resource);
    if (event.type === 'DELETED') objects.delete(event.key);
    else objects.set(event.key, event.object);
    this.#version = event.version;
    this.#window.push(event);
    const most = this.#limits.values.apiserver_watch_window;
    // Cut in large steps, so that a write does not move the whole window.
    if (this.#window.length < most * 1.25) return;
    const dropped = this.#window.length - most;
    this.#compacted = this.#window[dropped - 1]?.version ?? this.#compacted;
    this.#window = this.#window.slice(dropped);
  }

  *#everything(): Generator<{ resource: string; object: KubeObject }> {
    for (const [resource, objects] of this.#objects) {
      for (const object of objects.values()) yield { resource, object };
    }
  }
}

function ordered(objects: ReadonlyMap<string, KubeObject>): KubeObject[] {
  return [...objects].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, object]) => object);
}
