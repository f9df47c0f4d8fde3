import { isAlreadyExists } from './api-error.ts';
import type { KubeClient } from './client.ts';
import type { ObjectRef } from './objects.ts';
import { mergeDiff, subsetDiff } from './patch.ts';
import type { ResourceType } from './resources.ts';
import type { KubeObject, Stored } from './types.ts';

export type ApplyOutcome = 'created' | 'updated' | 'unchanged';

export interface ApplyResult<T extends KubeObject> {
  outcome: ApplyOutcome;
  object: Stored<T>;
}

interface EnsureOptions<T extends KubeObject> {
  /** What is stored, when the caller knows (from an informer); read from the server otherwise. */
  current?: Stored<T> | undefined;
  /** Top-level fields that are ours alone: anything in them that is not desired is removed. */
  exact?: readonly (keyof T & string)[];
  /** Whether a stored object of the name is the one that is meant; one that is not stays as it is. */
  mine?: (stored: Stored<T>) => boolean;
}

/**
 * Makes the stored object contain `desired`, writing nothing when it already does and only the difference otherwise.
 * Status is never compared or written; fields, labels and annotations that `desired` does not mention stay as they
 * are, and null removes one.
 *
 * @throws KubeApiError; a conflict when somebody else changed the object since `current` was read
 * @throws Error when the object is not `mine`
 */
export async function ensureObject<T extends KubeObject>(
  client: KubeClient,
  type: ResourceType<T>,
  desired: T & { metadata: { name: string; namespace?: string } },
  { current, exact = [], mine }: EnsureOptions<T> = {},
): Promise<ApplyResult<T>> {
  const ref: ObjectRef = desired.metadata;
  const known = current ?? (await client.find(type, ref));
  if (known === undefined) {
    try {
      return { outcome: 'created', object: await client.create(type, desired) };
    } catch (thrown) {
      if (!isAlreadyExists(thrown)) throw thrown;
      const other = await client.get(type, ref);
      return await ensureObject(client, type, desired, {
        current: other,
        exact,
        ...(mine === undefined ? {} : { mine }),
      });
    }
  }
  if (mine?.(known) === false) throw new Error(`${type.kind} ${ref.name} was made by somebody else`);
  const body = difference(known, desired, exact);
  if (body === undefined) return { outcome: 'unchanged', object: known };
  const { resourceVersion } = known.metadata;
  const guarded = { ...body, metadata: { ...metadataOf(body), resourceVersion } };
  const object = await client.patch(type, ref, { patch: { type: 'merge', body: guarded } });
  return { outcome: 'updated', object };
}

/** Server-side apply, taking over fields that other managers hold when `force` (default true). */
export async function serverSideApply<T extends KubeObject>(
  client: KubeClient,
  type: ResourceType<T>,
  object: T & { metadata: { name: string; namespace?: string } },
  { fieldManager, force = true }: { fieldManager: string; force?: boolean },
): Promise<Stored<T>> {
  const namespace = type.namespaced ? (object.metadata.namespace ?? client.namespace) : undefined;
  const patch = { type: 'apply' as const, body: object, fieldManager, force };
  return await client.patch(type, { namespace, name: object.metadata.name }, { patch });
}

function difference<T extends KubeObject>(
  current: Stored<T>,
  desired: T,
  exact: readonly string[],
): Record<string, unknown> | undefined {
  const wanted = { ...fieldsOf(desired) };
  for (const ignored of ['status', 'apiVersion', 'kind', ...exact]) delete wanted[ignored];
  const body: Record<string, unknown> = { ...subsetDiff(current, wanted) };
  const from = fieldsOf(current);
  const to = fieldsOf(desired);
  for (const field of exact) {
    Object.assign(body, mergeDiff({ [field]: from[field] }, { [field]: to[field] }));
  }
  return Object.keys(body).length === 0 ? undefined : body;
}

function fieldsOf(object: object): Record<string, unknown> {
  return object as Record<string, unknown>;
}

function metadataOf(body: Readonly<Record<string, unknown>>): object {
  const metadata = body['metadata'];
  return typeof metadata === 'object' && metadata !== null ? metadata : {};
}
