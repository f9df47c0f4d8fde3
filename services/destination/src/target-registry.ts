/** One shared resolution per target, recomputed when an object that it depends on changed. */
import { targetTopics } from './changes.ts';
import type { ClusterObjects } from './cluster-objects.ts';
import { type Resolution, resolveEndpoints, type Scope } from './endpoints.ts';
import type { Notifier } from './notifier.ts';
import type { Settings } from './settings.ts';
import { formatTarget, type Target } from './target.ts';

interface Watched {
  resolution: Resolution;
  readonly listeners: Set<() => void>;
  readonly unsubscribe: () => void;
}

interface RegistryOptions {
  objects: ClusterObjects;
  notifier: Notifier;
  settings: Settings;
}

export interface WatchedTarget {
  readonly resolution: Resolution;
  stop(): void;
}

export class TargetRegistry {
  readonly #options: RegistryOptions;
  readonly #watched: Map<string, Watched> = new Map();

  constructor(options: RegistryOptions) {
    this.#options = options;
  }

  /** Targets that somebody watches now. */
  get size(): number {
    return this.#watched.size;
  }

  watch(target: Target, scope: Scope, onChange: () => void): WatchedTarget {
    const key = `${scope} ${formatTarget(target, this.#options.settings.clusterDomain)}`;
    const entry = this.#watched.get(key) ?? this.#start(key, { target, scope });
    entry.listeners.add(onChange);
    return {
      get resolution() {
        return entry.resolution;
      },
      stop: () => {
        entry.listeners.delete(onChange);
        if (entry.listeners.size > 0 || this.#watched.get(key) !== entry) return;
        this.#watched.delete(key);
        entry.unsubscribe();
      },
    };
  }

  #start(key: string, { target, scope }: { target: Target; scope: Scope }): Watched {
    const { objects, settings, notifier } = this.#options;
    const resolve = (): Resolution => resolveEndpoints(objects, { ...target, scope }, settings);
    const entry: Watched = {
      resolution: resolve(),
      listeners: new Set(),
      unsubscribe: notifier.subscribe(targetTopics(target.namespace, target.service), () => {
        entry.resolution = resolve();
        for (const listener of [...entry.listeners]) listener();
      }),
    };
    this.#watched.set(key, entry);
    return entry;
  }
}
