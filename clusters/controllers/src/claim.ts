import { isNotFound } from '@mesh/kube/api-error';
import type { KubeClient } from '@mesh/kube/client';
import { controllerOf, controllerRef, isDeleting } from '@mesh/kube/objects';
import { apiVersionOf, type ResourceType } from '@mesh/kube/resources';
import { type LabelSelector, matchesSelector, selectorText } from '@mesh/kube/selector';
import type { KubeObject, OwnerReference, Stored } from '@mesh/kube/types';

interface ClaimOptions<Child extends KubeObject> {
  client: KubeClient;
  childType: ResourceType<Child>;
  ownerType: ResourceType;
  owner: Stored<KubeObject>;
  selector: LabelSelector;
}

/**
 * The children an owner controls, read from the server so that none is missed or counted twice. Matching ones without
 * a controller are adopted. Children whose labels were changed away are not listed and are let go by `release`.
 */
export async function claimChildren<Child extends KubeObject>(
  options: ClaimOptions<Child>,
): Promise<Stored<Child>[]> {
  const { client, childType, owner, selector } = options;
  const namespace = owner.metadata.namespace;
  const { items } = await client.listAll(childType, { namespace, labelSelector: selectorText(selector) });
  const claimed: Stored<Child>[] = [];
  let mayAdopt: boolean | undefined;
  for (const child of items) {
    const controller = controllerOf(child);
    if (controller?.uid === owner.metadata.uid) {
      claimed.push(child);
    } else if (controller === undefined && !isDeleting(child) && !isDeleting(owner)) {
      mayAdopt ??= await isStanding(options);
      const adopted = mayAdopt ? await adopt(options, child) : undefined;
      if (adopted !== undefined) claimed.push(adopted);
    }
  }
  return claimed;
}

/** Takes our controller reference off children that no longer match. */
export async function release<Child extends KubeObject>(
  { client, childType, owner, selector }: ClaimOptions<Child>,
  candidates: readonly Stored<Child>[],
): Promise<void> {
  for (const child of candidates) {
    if (controllerOf(child)?.uid !== owner.metadata.uid || isDeleting(child)) continue;
    if (matchesSelector(selector, child.metadata.labels)) continue;
    const ownerReferences = child.metadata.ownerReferences?.filter(({ uid }) => uid !== owner.metadata.uid);
    await patchOwners(client, childType, { child, ownerReferences: ownerReferences ?? [] });
  }
}

/**
 * Whether the owner is not being deleted as the server knows it now: a cached one may be older than the deletion that
 * let its children go, and who adopts them again has them deleted.
 */
async function isStanding<Child extends KubeObject>(options: ClaimOptions<Child>): Promise<boolean> {
  const { client, ownerType, owner } = options;
  const current = await client.find(ownerType, owner.metadata);
  return current !== undefined && current.metadata.uid === owner.metadata.uid && !isDeleting(current);
}

async function adopt<Child extends KubeObject>(
  { client, childType, ownerType, owner }: ClaimOptions<Child>,
  child: Stored<Child>,
): Promise<Stored<Child> | undefined> {
  const reference = controllerRef(owner, { kind: ownerType.kind, apiVersion: apiVersionOf(ownerType) });
  const ownerReferences = [...(child.metadata.ownerReferences ?? []), reference];
  return await patchOwners(client, childType, { child, ownerReferences });
}

async function patchOwners<Child extends KubeObject>(
  client: KubeClient,
  type: ResourceType<Child>,
  { child, ownerReferences }: { child: Stored<Child>; ownerReferences: OwnerReference[] },
): Promise<Stored<Child> | undefined> {
  const { uid, resourceVersion } = child.metadata;
  const owners = ownerReferences.length === 0 ? null : ownerReferences;
  const body = { metadata: { uid, resourceVersion, ownerReferences: owners } };
  try {
    return await client.patch(type, child.metadata, { patch: { type: 'merge', body } });
  } catch (thrown) {
    if (isNotFound(thrown)) return undefined;
    throw thrown;
  }
}
