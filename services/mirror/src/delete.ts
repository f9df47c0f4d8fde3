import { isNotFound } from '@mesh/kube/api-error';
import type { KubeClient } from '@mesh/kube/client';
import type { endpointSlices, services } from '@mesh/kube/resources';
import type { EndpointSlice, Service, Stored } from '@mesh/kube/types';

/** Deletes this object and never another of its name that came after it. */
export async function deleteExactly(
  client: KubeClient,
  type: typeof services | typeof endpointSlices,
  { metadata: { namespace, name, uid } }: Stored<Service> | Stored<EndpointSlice>,
): Promise<void> {
  try {
    await client.delete(type, { namespace, name }, { preconditions: { uid } });
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown;
  }
}
