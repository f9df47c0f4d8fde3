import { isDeepStrictEqual } from 'node:util';
import { isConflict, isNotFound } from '@mesh/kube/api-error';
import type { KubeClient } from '@mesh/kube/client';
import { pods } from '@mesh/kube/resources';
import type { Pod, Stored } from '@mesh/kube/types';
import type { PodWorker } from './pod-worker.ts';

/**
 * Writes the worker's present status where it differs from that of `known`, the pod as the informer has it.
 * False when somebody else was faster: it must be made again from what they wrote.
 */
export async function writeStatus(
  client: KubeClient,
  worker: Pick<PodWorker, 'pod' | 'status'>,
  known: Stored<Pod>,
): Promise<boolean> {
  const gated = (known.spec?.readinessGates ?? []).length > 0;
  // Conditions of gates are written by others: a list that was made without the newest one would undo it.
  const pod = gated ? await client.find(pods, known.metadata) : known;
  if (pod === undefined || pod.metadata.uid !== known.metadata.uid) return true;
  worker.pod = pod;
  const status = worker.status();
  const current = pod.status ?? {};
  const changed = Object.entries(status).some(
    ([field, value]) => !isDeepStrictEqual(value, (current as Record<string, unknown>)[field]),
  );
  if (!changed) return true;
  const { namespace, name, uid, resourceVersion } = pod.metadata;
  const metadata = { uid, ...(gated && { resourceVersion }) };
  try {
    worker.pod = await client.patch(
      pods,
      { namespace, name },
      { patch: { type: 'merge', body: { metadata, status } }, subresource: 'status' },
    );
  } catch (thrown) {
    if (isConflict(thrown)) return false;
    if (!isNotFound(thrown)) throw thrown;
  }
  return true;
}
