/** Which ports of Services are opaque: for the cluster that serves them, and for peers that import them. */
import { annotationOf, tcpPortOf } from '@mesh/kube/objects';
import type { Namespace, Pod, Service } from '@mesh/kube/types';
import { portListed } from './port-list.ts';
import { opaquePortsAnnotation } from './workload-names.ts';

interface ServicePortQuestion {
  service: Service;
  namespace: Namespace | undefined;
  port: number;
  /** List that holds when neither object says anything. */
  fallback: string;
}

/** Whether a port of a Service is opaque: the Service's own annotation, else its namespace's, else the default. */
export function isOpaqueServicePort({ service, namespace, port, fallback }: ServicePortQuestion): boolean {
  const name = tcpPortOf(service, port)?.name;
  return portListed(annotated(service, namespace, opaquePortsAnnotation) ?? fallback, port, name);
}

/** An annotation of an object, or of its namespace where the object has none. */
export function annotated(
  object: Pod | Service,
  namespace: Namespace | undefined,
  annotation: string,
): string | undefined {
  return (
    annotationOf(object, annotation) ??
    (namespace === undefined ? undefined : annotationOf(namespace, annotation))
  );
}
