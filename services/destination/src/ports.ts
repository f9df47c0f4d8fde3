/** Which ports of pods are opaque or pass the proxy by, as annotations say. */
import { servingContainers } from '@mesh/kube/objects';
import type { Namespace, Pod } from '@mesh/kube/types';
import { annotated } from '@mesh/multicluster/opaque-ports';
import { portListed } from '@mesh/multicluster/port-list';
import {
  defaultSkippedPorts,
  initContainerName,
  opaquePortsAnnotation,
  skipInboundAnnotation,
  skipInboundSetting,
} from '@mesh/multicluster/workload-names';

interface PodPortQuestion {
  pod: Pod;
  namespace: Namespace | undefined;
  port: number;
  fallback: string;
}

/** Whether a container port of a pod is opaque. */
export function isOpaquePodPort({ pod, namespace, port, fallback }: PodPortQuestion): boolean {
  const list = annotated(pod, namespace, opaquePortsAnnotation) ?? fallback;
  return portListed(list, port, containerPortName(pod, port));
}

/**
 * Whether connections to a container port bypass the pod's proxy: by what its redirection was set up with at the start, whatever was
 * annotated since.
 */
export function isSkippedPodPort({ pod, namespace, port }: Omit<PodPortQuestion, 'fallback'>): boolean {
  const init = pod.spec?.initContainers?.find(({ name }) => name === initContainerName);
  const told =
    init === undefined
      ? annotated(pod, namespace, skipInboundAnnotation)
      : init.env?.find(({ name }) => name === skipInboundSetting)?.value;
  const list = told ?? defaultSkippedPorts;
  return portListed(list, port, containerPortName(pod, port));
}

function containerPortName(pod: Pod, port: number): string | undefined {
  for (const container of servingContainers(pod.spec)) {
    const found = container.ports?.find(
      ({ containerPort, protocol }) => containerPort === port && (protocol ?? 'TCP') === 'TCP',
    );
    if (found?.name !== undefined) return found.name;
  }
  return undefined;
}
