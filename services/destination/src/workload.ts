/** What a pod means to those who call it: identity, owner and labels. */
import { annotationOf, controllerOf, labelOf, namespaceOf } from '@mesh/kube/objects';
import type { Node, Pod } from '@mesh/kube/types';
import { controlPlaneLabel, proxyVersionAnnotation } from '@mesh/multicluster/workload-names';
import { identityName } from '@mesh/trust/names';
import type { Settings } from './settings.ts';

export const zoneLabel = 'topology.kubernetes.io/zone';

/** A pod with a proxy beside it. */
export function isMeshed(pod: Pod): boolean {
  return (
    annotationOf(pod, proxyVersionAnnotation) !== undefined || labelOf(pod, controlPlaneLabel) !== undefined
  );
}

/** The identity that the pod's proxy proves; undefined without a proxy. */
export function podIdentity(pod: Pod, { cluster, trustSuffix }: Settings): string | undefined {
  const serviceAccount = pod.spec?.serviceAccountName;
  if (!isMeshed(pod) || serviceAccount === undefined || serviceAccount === '') return undefined;
  return identityName({ serviceAccount, namespace: namespaceOf(pod), cluster, suffix: trustSuffix });
}

/** Kind in lower case and name of what the pod was made by; its own for a bare pod. */
function workloadOf(pod: Pod): { kind: string; name: string } {
  const owner = controllerOf(pod);
  if (owner === undefined) return { kind: 'pod', name: pod.metadata?.name ?? '' };
  const hash = labelOf(pod, 'pod-template-hash');
  // A Deployment names its ReplicaSets after itself and this hash.
  if (owner.kind === 'ReplicaSet' && hash !== undefined && owner.name.endsWith(`-${hash}`)) {
    return { kind: 'deployment', name: owner.name.slice(0, -hash.length - 1) };
  }
  return { kind: owner.kind === 'Job' ? 'k8s_job' : owner.kind.toLowerCase(), name: owner.name };
}

/** Labels of the pod in metrics of its callers. */
export function podLabels(pod: Pod, node: Node | undefined): Record<string, string> {
  const labels: Record<string, string> = { pod: pod.metadata?.name ?? '' };
  const workload = workloadOf(pod);
  if (workload.kind !== 'pod') labels[workload.kind] = workload.name;
  const optional: [string, string | undefined][] = [
    ['serviceaccount', pod.spec?.serviceAccountName],
    ['control_plane_ns', labelOf(pod, controlPlaneLabel)],
    ['pod_template_hash', labelOf(pod, 'pod-template-hash')],
    ['zone', node === undefined ? undefined : labelOf(node, zoneLabel)],
  ];
  for (const [name, value] of optional) if (value !== undefined) labels[name] = value;
  return labels;
}
