/** Which ports of Services and pods are opaque or pass the proxy by, as annotations say. */
import { annotationOf } from '@mesh/kube/objects';
import type { Namespace, Pod, Service } from '@mesh/kube/types';
import { portListed } from '@mesh/multicluster/port-list';
import { opaquePortsAnnotation, skipInboundAnnotation } from '@mesh/multicluster/workload-names';

interface ServicePortQuestion {
  service: Service;
  namespace: Namespace | undefined;
  port: number;
  /** List that holds when neither object says anything. */
  fallback: string;
}

/** Whether a port of a Service is opaque: the Service's own annotation, else its namespace's, else the default. */
export function isOpaqueServicePort({ service, namespace, port, fallback }: ServicePortQuestion): boolean {
  const name = service.spec?.ports?.find((candidate) => candidate.port === port)?.name;
  return portListed(annotated(service, namespace, opaquePortsAnnotation) ?? fallback, port, name);
}

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

/** Whether connections to a container port bypass the pod's proxy. */
export function isSkippedPodPort({ pod, namespace, port }: Omit<PodPortQuestion, 'fallback'>): boolean {
  const list = annotated(pod, namespace, skipInboundAnnotation);
  return list !== undefined && portListed(list, port, containerPortName(pod, port));
}

function annotated(
  object: Pod | Service,
  namespace: Namespace | undefined,
  annotation: string,
): string | undefined {
  return (
    annotationOf(object, annotation) ??
    (namespace === undefined ? undefined : annotationOf(namespace, annotation))
  );
}

function containerPortName(pod: Pod, port: number): string | undefined {
  for (const container of pod.spec?.containers ?? []) {
    const found = container.ports?.find(({ containerPort }) => containerPort === port);
    if (found?.name !== undefined) return found.name;
  }
  return undefined;
}
