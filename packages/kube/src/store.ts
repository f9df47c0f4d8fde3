import { keyOf, namespaceOf } from './objects.ts';
import type { KubeObject, Stored } from './types.ts';

/** Values under which an object is found; none leaves it out of that index. */
export type IndexFunction<T extends KubeObject> = (object: Stored<T>) => readonly string[];

/** Objects of one type by key, with secondary indexes. Objects in it are shared and must not be changed. */
export class Store<T extends KubeObject> {
  readonly #objects: Map<string, Stored<T>> = new Map();
  readonly #indexes: Map<string, { of: IndexFunction<T>; keys: Map<string, Set<string>> }> = new Map();

  constructor(indexers: Readonly<Record<string, IndexFunction<T>>> = {}) {
    for (const [name, of] of Object.entries({ ...indexers, namespace: byNamespace })) {
      this.#indexes.set(name, { of, keys: new Map() });
    }
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): Stored<T> | undefined {
    return this.#objects.get(key);
  }

  keys(): IterableIterator<string> {
    return this.#objects.keys();
  }

  values(): IterableIterator<Stored<T>> {
    return this.#objects.values();
  }

  /** Objects whose index function gave `value`. */
  byIndex(index: string, value: string): Stored<T>[] {
    const known = this.#indexes.get(index);
    if (known === undefined) throw new Error(`there is no index ${index}`);
    const found: Stored<T>[] = [];
    for (const key of known.keys.get(value) ?? []) {
      const object = this.#objects.get(key);
      if (object !== undefined) found.push(object);
    }
    return found;
  }

  /** Stores the object and returns what it replaces. */
  set(object: Stored<T>): Stored<T> | undefined {
    const key = keyOf(object);
    const previous = this.#objects.get(key);
    if (previous !== undefined) this.#unindex(key, previous);
    this.#objects.set(key, object);
    for (const { of, keys } of this.#indexes.values()) {
      for (const value of of(object)) {
        const known = keys.get(value);
        if (known === undefined) keys.set(value, new Set([key]));
        else known.add(key);
      }
    }
    return previous;
  }

  delete(key: string): Stored<T> | undefined {
    const previous = this.#objects.get(key);
    if (previous === undefined) return undefined;
    this.#unindex(key, previous);
    this.#objects.delete(key);
    return previous;
  }

  #unindex(key: string, object: Stored<T>): void {
    for (const { of, keys } of this.#indexes.values()) {
      for (const value of of(object)) {
        const known = keys.get(value);
        known?.delete(key);
        if (known?.size === 0) keys.delete(value);
      }
    }
  }
}

function byNamespace(object: KubeObject): readonly string[] {
  return [namespaceOf(object)];
}
