import type { Timer } from '@mesh/clock/clock';
import { describeError } from '@mesh/errors/mesh-error';
import { isNotFound } from '@mesh/kube/api-error';
import { Reconciler, type ReconcileResult } from '@mesh/kube/controller';
import { discover } from '@mesh/kube/discovery';
import { isDeleting, keyOf, parseKey } from '@mesh/kube/objects';
import { jsonEqual } from '@mesh/kube/patch';
import { customResourceDefinitions, type ResourceType } from '@mesh/kube/resources';
import type { KubeObject, OwnerReference, Stored } from '@mesh/kube/types';
import type { Controller, ControllerContext } from './context.ts';
import { byOwner, typeKey } from './informer-set.ts';
import { OwnerResolver } from './owner-resolver.ts';

const orphanFinalizer = 'orphan';
const foregroundFinalizer = 'foregroundDeletion';
/** Types appear and vanish with CustomResourceDefinitions, which we watch, and rarely otherwise. */
const rediscoverMs = 60_000;

/**
 * Deletes what its owners left behind: dependents of owners that are gone (background), dependents before their
 * owner (foreground finalizer), or only the references to it (orphan finalizer). Every deletable type is watched.
 */
export class GarbageCollector implements Controller {
  readonly name = 'garbage-collector';
  readonly #context: ControllerContext;
  readonly #queue: Reconciler;
  readonly #types: Map<string, { type: ResourceType; off: () => void }> = new Map();
  readonly #owners: OwnerResolver;
  #timer: Timer | undefined;
  #offDefinitions: () => void = () => {};
  #discovering: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#owners = new OwnerResolver(context, () => [...this.#types.values()].map(({ type }) => type));
    const log = context.log.with({ controller: this.name });
    this.#queue = new Reconciler({
      ...context,
      name: this.name,
      concurrency: 4,
      retryBaseMs: 50,
      retryCapMs: 30_000,
      reconcile: (key) => this.#reconcile(key),
      onError: ({ key, attempt, error }) => {
        if (attempt > 3)
          log.warn('reconcile failed, trying again', { key, attempt, error: describeError(error) });
      },
    });
  }

  start(): void {
    const { clock, informers } = this.#context;
    this.#queue.start();
    this.#timer = clock.every(rediscoverMs, () => this.#discoverSoon(), true);
    this.#offDefinitions = informers.of(customResourceDefinitions).onChange(() => this.#discoverSoon());
    this.#discoverSoon();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#offDefinitions();
    for (const { off } of this.#types.values()) off();
    await this.#discovering;
    await this.#queue.stop();
  }

  #discoverSoon(): void {
    this.#discovering = this.#discovering.then(async () => {
      if (this.#stopped) return;
      try {
        await this.#discover();
      } catch (thrown) {
        this.#context.log.warn('discovery failed, trying again', { error: describeError(thrown) });
        this.#context.clock.after(1000, () => this.#discoverSoon(), true);
      }
    });
  }

  async #discover(): Promise<void> {
    const { client, informers } = this.#context;
    const { served, failed } = await discover(client);
    if (this.#stopped) return;
    const wanted = new Map<string, ResourceType>();
    for (const { type, verbs } of served) {
      // Events are many, short-lived and owned by nobody
      if (type.kind === 'Event') continue;
      if (['list', 'watch', 'delete'].every((verb) => verbs.includes(verb))) wanted.set(typeKey(type), type);
    }
    for (const [key, type] of wanted) {
      if (this.#types.has(key)) continue;
      const off = informers.of(type).onChange((objectKey, { object, previous }) => {
        this.#onChange(key, { objectKey, object, previous });
      });
      this.#types.set(key, { type, off });
    }
    if (failed.length > 0) return;
    for (const [key, { type, off }] of this.#types) {
      if (wanted.has(key)) continue;
      off();
      this.#types.delete(key);
      await informers.drop(type);
    }
  }

  #onChange(
    key: string,
    change: {
      objectKey: string;
      object: Stored<KubeObject> | undefined;
      previous: Stored<KubeObject> | undefined;
    },
  ): void {
    const { objectKey, object, previous } = change;
    if (object === undefined) {
      if (previous === undefined) return;
      for (const dependent of this.#dependentsOf(previous.metadata.uid)) this.#queue.add(dependent.queueKey);
      this.#wakeOwners(previous);
      return;
    }
    // most changes are of status, and say nothing about owners
    if (previous !== undefined && sameFate(object, previous)) return;
    if (ownersOf(object).length > 0 || isHeld(object)) this.#queue.add(`${key} ${objectKey}`);
  }

  /** Owners in foreground deletion wait for their dependents to vanish. */
  #wakeOwners(gone: Stored<KubeObject>): void {
    for (const { uid } of ownersOf(gone)) {
      const owner = this.#owners.cached(uid);
      if (owner !== undefined && isHeld(owner.object)) this.#queue.add(owner.queueKey);
    }
  }

  async #reconcile(queueKey: string): Promise<ReconcileResult> {
    const { client } = this.#context;
    const space = queueKey.indexOf(' ');
    const type = this.#types.get(queueKey.slice(0, space))?.type;
    if (type === undefined) return;
    const object = await client.find(type, parseKey(queueKey.slice(space + 1)));
    if (object === undefined) return;
    if (isDeleting(object)) {
      if (hasFinalizer(object, orphanFinalizer)) return await this.#orphan(type, object);
      if (hasFinalizer(object, foregroundFinalizer)) return await this.#foreground(type, object);
      return;
    }
    await this.#collect(type, object);
  }

  async #collect(type: ResourceType, object: Stored<KubeObject>): Promise<void> {
    const owners = ownersOf(object);
    if (owners.length === 0) return;
    const solid: OwnerReference[] = [];
    const waiting: OwnerReference[] = [];
    for (const reference of owners) {
      const owner = await this.#owners.resolve(reference, object);
      if (owner === undefined) continue;
      if (isDeleting(owner) && hasFinalizer(owner, foregroundFinalizer)) waiting.push(reference);
      else solid.push(reference);
    }
    if (solid.length > 0) {
      if (solid.length === owners.length) return;
      await this.#setOwners(type, { object, ownerReferences: solid });
      return;
    }
    const { uid, resourceVersion } = object.metadata;
    await this.#context.client
      .delete(type, object.metadata, {
        propagationPolicy: waiting.length > 0 ? 'Foreground' : inheritedPolicy(object),
        preconditions: { uid, resourceVersion },
      })
      .catch(ignoreGone);
  }

  /** Lets the owner go once nothing that blocks it is left. */
  async #foreground(type: ResourceType, owner: Stored<KubeObject>): Promise<ReconcileResult> {
    const { uid } = owner.metadata;
    let blocked = false;
    for (const dependent of await this.#readDependents(uid)) {
      const reference = ownersOf(dependent.object).find((candidate) => candidate.uid === uid);
      if (reference === undefined) continue;
      if (reference.blockOwnerDeletion === true) blocked = true;
      this.#queue.add(dependent.queueKey);
    }
    if (blocked) return { requeueAfterMs: 500 };
    await this.#removeFinalizer(type, { object: owner, finalizer: foregroundFinalizer });
    return undefined;
  }

  /** Takes the owner's reference off its dependents, then lets it go. */
  async #orphan(type: ResourceType, owner: Stored<KubeObject>): Promise<ReconcileResult> {
    const { uid } = owner.metadata;
    for (const { type: dependentType, object } of await this.#readDependents(uid)) {
      const ownerReferences = ownersOf(object).filter((reference) => reference.uid !== uid);
      await this.#setOwners(dependentType, { object, ownerReferences });
    }
    await this.#removeFinalizer(type, { object: owner, finalizer: orphanFinalizer });
    return undefined;
  }

  async #setOwners(
    type: ResourceType,
    { object, ownerReferences }: { object: Stored<KubeObject>; ownerReferences: OwnerReference[] },
  ): Promise<void> {
    const { uid, resourceVersion } = object.metadata;
    const owners = ownerReferences.length === 0 ? null : ownerReferences;
    const body = { metadata: { uid, resourceVersion, ownerReferences: owners } };
    await this.#context.client
      .patch(type, object.metadata, { patch: { type: 'merge', body } })
      .catch(ignoreGone);
  }

  async #removeFinalizer(
    type: ResourceType,
    { object, finalizer }: { object: Stored<KubeObject>; finalizer: string },
  ): Promise<void> {
    const { uid, resourceVersion, finalizers = [] } = object.metadata;
    const body = {
      metadata: { uid, resourceVersion, finalizers: finalizers.filter((one) => one !== finalizer) },
    };
    await this.#context.client
      .patch(type, object.metadata, { patch: { type: 'merge', body } })
      .catch(ignoreGone);
  }

  #dependentsOf(uid: string): { type: ResourceType; queueKey: string; object: Stored<KubeObject> }[] {
    const found: { type: ResourceType; queueKey: string; object: Stored<KubeObject> }[] = [];
    for (const [key, { type }] of this.#types) {
      for (const object of this.#context.informers.of(type).byIndex(byOwner, uid)) {
        found.push({ type, object, queueKey: `${key} ${keyOf(object)}` });
      }
    }
    return found;
  }

  /** The known dependents as the server has them now. */
  async #readDependents(
    uid: string,
  ): Promise<{ type: ResourceType; queueKey: string; object: Stored<KubeObject> }[]> {
    for (const { type } of this.#types.values()) await this.#context.informers.of(type).synced;
    const found: { type: ResourceType; queueKey: string; object: Stored<KubeObject> }[] = [];
    for (const { type, queueKey, object } of this.#dependentsOf(uid)) {
      const current = await this.#context.client.find(type, object.metadata);
      if (current === undefined || current.metadata.uid !== object.metadata.uid) continue;
      if (ownersOf(current).some((reference) => reference.uid === uid)) {
        found.push({ type, queueKey, object: current });
      }
    }
    return found;
  }
}

function ownersOf(object: KubeObject): OwnerReference[] {
  return object.metadata?.ownerReferences ?? [];
}

function hasFinalizer(object: KubeObject, finalizer: string): boolean {
  return object.metadata?.finalizers?.includes(finalizer) ?? false;
}

/** In deletion, and waiting for us. */
function isHeld(object: KubeObject): boolean {
  return (
    isDeleting(object) && (hasFinalizer(object, orphanFinalizer) || hasFinalizer(object, foregroundFinalizer))
  );
}

/** Nothing that decides about collection differs. */
function sameFate(left: Stored<KubeObject>, right: Stored<KubeObject>): boolean {
  const facts = ({
    metadata: { uid, ownerReferences, finalizers, deletionTimestamp },
  }: Stored<KubeObject>): object => ({
    uid,
    ownerReferences,
    finalizers,
    deletionTimestamp,
  });
  return jsonEqual(facts(left), facts(right));
}

/** A policy that an earlier deletion left on the object goes on to hold. */
function inheritedPolicy(object: KubeObject): 'Background' | 'Foreground' | 'Orphan' {
  if (hasFinalizer(object, orphanFinalizer)) return 'Orphan';
  return hasFinalizer(object, foregroundFinalizer) ? 'Foreground' : 'Background';
}

function ignoreGone(thrown: unknown): void {
  if (!isNotFound(thrown)) throw thrown;
}
