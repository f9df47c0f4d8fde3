import { keyOf } from '@mesh/kube/objects';
import { parseApiVersion, type ResourceType } from '@mesh/kube/resources';
import type { KubeObject, OwnerReference, Stored } from '@mesh/kube/types';
import type { ControllerContext } from './context.ts';
import { byUid, typeKey } from './informer-set.ts';

/** Finds the owners that references name. */
export class OwnerResolver {
  readonly #context: ControllerContext;
  readonly #types: () => readonly ResourceType[];

  /** `types` gives the types that are watched now. */
  constructor(context: ControllerContext, types: () => readonly ResourceType[]) {
    this.#context = context;
    this.#types = types;
  }

  /**
   * The owner, or undefined when it is certain that it does not exist: the server is asked, never only the cache.
   * @throws Error when the owner's type is not known, because then nothing is certain
   */
  async resolve(
    reference: OwnerReference,
    dependent: Stored<KubeObject>,
  ): Promise<Stored<KubeObject> | undefined> {
    const type = this.#typeOf(reference);
    if (type === undefined) {
      throw new Error(
        `the server has no ${reference.kind} in ${reference.apiVersion}, owner of ${keyOf(dependent)}`,
      );
    }
    const namespace = type.namespaced ? dependent.metadata.namespace : undefined;
    // a cluster-wide object cannot have an owner in a namespace; such a reference names nothing
    if (type.namespaced && namespace === undefined) return undefined;
    const cached = this.#context.informers.of(type).get(namespace, reference.name);
    if (cached !== undefined && cached.metadata.uid === reference.uid) return cached;
    const found = await this.#context.client.find(type, { namespace, name: reference.name });
    return found !== undefined && found.metadata.uid === reference.uid ? found : undefined;
  }

  /** An owner by uid among everything watched. */
  cached(uid: string): { object: Stored<KubeObject>; queueKey: string } | undefined {
    for (const type of this.#types()) {
      for (const object of this.#context.informers.of(type).byIndex(byUid, uid)) {
        return { object, queueKey: `${typeKey(type)} ${keyOf(object)}` };
      }
    }
    return undefined;
  }

  /** Versions of a group are views of the same objects, so any served version of the kind will do. */
  #typeOf({ apiVersion, kind }: OwnerReference): ResourceType | undefined {
    const { group } = parseApiVersion(apiVersion);
    return this.#types().find((type) => type.group === group && type.kind === kind);
  }
}
