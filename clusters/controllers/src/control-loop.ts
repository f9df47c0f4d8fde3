import { describeError } from '@mesh/errors/mesh-error';
import { isConflict } from '@mesh/kube/api-error';
import { Reconciler, type ReconcileResult } from '@mesh/kube/controller';
import type { Informer } from '@mesh/kube/informer';
import type { ResourceType } from '@mesh/kube/resources';
import type { KubeObject, Stored } from '@mesh/kube/types';
import type { Controller, ControllerContext } from './context.ts';

interface ControlLoopOptions {
  name: string;
  reconcile: (key: string) => Promise<ReconcileResult>;
  concurrency?: number;
}

/** A work queue fed by informers: the shape of every controller here. */
export class ControlLoop implements Controller {
  readonly name: string;
  readonly queue: Reconciler;
  readonly #context: ControllerContext;
  readonly #sources: Informer<KubeObject>[] = [];
  readonly #off: (() => void)[] = [];
  #stopped = false;

  constructor(context: ControllerContext, { name, reconcile, concurrency = 4 }: ControlLoopOptions) {
    this.name = name;
    this.#context = context;
    const log = context.log.with({ controller: name });
    this.queue = new Reconciler({
      name,
      reconcile,
      concurrency,
      clock: context.clock,
      random: context.random,
      retryBaseMs: 50,
      retryCapMs: 30_000,
      onError: ({ key, attempt, error }) => {
        // a conflict only says that somebody else was faster
        if (isConflict(error) && attempt < 5) return;
        log.warn('reconcile failed, trying again', { key, attempt, error: describeError(error) });
      },
    });
  }

  /** Every change of an object of this type adds the keys that it, and what it replaced, belong to. */
  watch<T extends KubeObject>(type: ResourceType<T>, keysOf: (object: Stored<T>) => readonly string[]): this {
    const informer = this.#context.informers.of(type);
    this.#sources.push(informer as unknown as Informer<KubeObject>);
    const off = informer.onChange((_key, { object, previous }) => {
      if (object !== undefined) for (const key of keysOf(object)) this.queue.add(key);
      if (previous !== undefined) for (const key of keysOf(previous)) this.queue.add(key);
    });
    this.#off.push(off);
    return this;
  }

  start(): void {
    void Promise.all(this.#sources.map(({ synced }) => synced)).then(() => {
      if (!this.#stopped) this.queue.start();
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const off of this.#off) off();
    await this.queue.stop();
  }
}
