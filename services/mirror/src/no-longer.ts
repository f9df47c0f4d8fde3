import type { Service, Stored } from '@mesh/kube/types';
import { importableAnnotations, importableLabels } from '@mesh/multicluster/import-rules';

/** `desired`, with null for copied labels and annotations that the peer does not send any more. */
export function noLonger<Desired extends Service>(
  desired: Desired,
  current: Stored<Service> | undefined,
): Desired {
  const { metadata } = desired;
  const removed = (
    stored: Readonly<Record<string, string>> | undefined,
    wanted: Readonly<Record<string, string>> | undefined,
    copied: (from: Readonly<Record<string, string>>) => Record<string, string>,
  ): Record<string, null> => {
    const gone = Object.keys(copied(stored ?? {})).filter((name) => wanted?.[name] === undefined);
    return Object.fromEntries(gone.map((name) => [name, null]));
  };
  const changed = {
    ...metadata,
    labels: {
      ...metadata?.labels,
      ...removed(current?.metadata.labels, metadata?.labels, importableLabels),
    },
    annotations: {
      ...metadata?.annotations,
      ...removed(current?.metadata.annotations, metadata?.annotations, importableAnnotations),
    },
  };
  return { ...desired, metadata: changed as Desired['metadata'] };
}
