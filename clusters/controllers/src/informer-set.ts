import type { Clock, Random } from '@mesh/clock/clock';
import { describeError } from '@mesh/errors/mesh-error';
import type { KubeClient } from '@mesh/kube/client';
import { Informer } from '@mesh/kube/informer';
import { apiVersionOf, type ResourceType } from '@mesh/kube/resources';
import type { IndexFunction } from '@mesh/kube/store';
import type { KubeObject, Pod } from '@mesh/kube/types';
import type { Logger } from '@mesh/telemetry/log';

interface InformerSetOptions {
  client: KubeClient;
  clock: Clock;
  random: Random;
  log: Logger;
}

/** Index of every informer: the uid of each owner. */
export const byOwner = 'owner';
/** Index of every informer: the object's own uid. */
export const byUid = 'uid';
/** Index of the pod informer: the node a pod is bound to, empty for none. */
export const byNode = 'node';

/** One shared informer per type, begun when first asked for. */
export class InformerSet {
  readonly #options: InformerSetOptions;
  readonly #informers: Map<string, Informer<KubeObject>> = new Map();

  constructor(options: InformerSetOptions) {
    this.#options = options;
  }

  of<T extends KubeObject>(type: ResourceType<T>): Informer<T> {
    const key = typeKey(type);
    let informer = this.#informers.get(key);
    if (informer === undefined) {
      informer = this.#create(type);
      this.#informers.set(key, informer);
      informer.start();
    }
    return informer as unknown as Informer<T>;
  }

  /** Forgets a type that the server no longer serves. */
  async drop(type: ResourceType): Promise<void> {
    const key = typeKey(type);
    const informer = this.#informers.get(key);
    this.#informers.delete(key);
    await informer?.stop();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#informers.values()].map((informer) => informer.stop()));
  }

  #create(type: ResourceType): Informer<KubeObject> {
    const { log, ...shared } = this.#options;
    const indexers: Record<string, IndexFunction<KubeObject>> = { [byOwner]: ownersOf, [byUid]: uidOf };
    if (type.kind === 'Pod' && type.group === '') indexers[byNode] = nodeOf;
    return new Informer<KubeObject>({
      ...shared,
      type,
      indexers,
      onError: (error) =>
        log.warn('watch failed, trying again', { type: typeKey(type), error: describeError(error) }),
    });
  }
}

/** `apps/v1/deployments`. */
export function typeKey(type: ResourceType): string {
  return `${apiVersionOf(type)}/${type.plural}`;
}

function ownersOf(object: KubeObject): readonly string[] {
  return object.metadata?.ownerReferences?.map(({ uid }) => uid) ?? [];
}

function uidOf(object: KubeObject): readonly string[] {
  return [object.metadata?.uid ?? ''];
}

function nodeOf(object: KubeObject): readonly string[] {
  const pod: Pod = object;
  return [pod.spec?.nodeName ?? ''];
}
